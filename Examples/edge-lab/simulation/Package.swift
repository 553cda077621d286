// swift-tools-version: 6.2
import PackageDescription

// A separate package, so that dependents of the libraries do not see it. Its answers are those of steer-dns: it uses
// the same responder and the same policy files.
let package = Package(
    name: "simulation",
    products: [.executable(name: "simulate", targets: ["simulate"])],
    dependencies: [
        .package(name: "swift-steering", path: "../../..", traits: ["YAML"]),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    ],
    targets: [
        .target(
            name: "Simulation",
            dependencies: [
                .product(name: "AddressPools", package: "swift-steering"),
                .product(name: "SteeringDNS", package: "swift-steering"),
            ]),
        .executableTarget(
            name: "simulate",
            dependencies: [
                "Simulation",
                .product(name: "AddressPools", package: "swift-steering"),
                .product(name: "SteeringDNS", package: "swift-steering"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .testTarget(name: "SimulationTests", dependencies: ["Simulation", "simulate"]),
    ]
)
