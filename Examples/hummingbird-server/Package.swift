// swift-tools-version: 6.2
import PackageDescription

// A separate package, so that dependents of the main package do not fetch Hummingbird. (Its directory must not be named
// hummingbird, which SwiftPM would confuse with that package.)
let package = Package(
    name: "hummingbird-server",
    dependencies: [
        .package(name: "swift-steering", path: "../..", traits: ["NIO", "ServiceLifecycle", "Logging"]),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.20.0"),
        .package(
            url: "https://github.com/apple/swift-configuration", from: "1.0.0", traits: ["CommandLineArguments"]),
    ],
    targets: [
        .executableTarget(
            name: "hummingbird-server",
            dependencies: [
                .product(name: "Steering", package: "swift-steering"),
                .product(name: "SteeringNIO", package: "swift-steering"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Configuration", package: "swift-configuration"),
            ])
    ]
)
