// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that whoever imports the libraries does not see it. scripts/bench builds and
// runs it.
let package = Package(
    name: "steering-benchmarks",
    dependencies: [
        .package(name: "swift-steering", path: ".."),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    ],
    targets: [
        // Loading and running BPF programs other than the library's own.
        .target(name: "CBench", linkerSettings: [.linkedLibrary("bpf")]),
        .executableTarget(
            name: "bench",
            dependencies: [
                "CBench",
                .product(name: "Steering", package: "swift-steering"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
    ],
    cLanguageStandard: .c17
)
