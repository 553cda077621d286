// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that nobody who imports the libraries sees it. Its answers are steer-dns's: it asks the same
// responder, which reads the same policy files.
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
