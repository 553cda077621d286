// swift-tools-version: 6.2
import PackageDescription

/// Copies whose size the compiler knows are checked. It takes an optimised build.
let fortified: [CSetting] = [.define("_FORTIFY_SOURCE", to: "2", .when(configuration: .release))]

let package = Package(
    name: "swift-steering",
    products: [
        .library(name: "AddressPools", targets: ["AddressPools"]),
        .library(name: "Steering", targets: ["Steering"]),
        .library(name: "PolicyFiles", targets: ["PolicyFiles"]),
        .library(name: "SteeringNIO", targets: ["SteeringNIO"]),
        .library(name: "SteeringDNS", targets: ["SteeringDNS"]),
    ],
    traits: [
        .trait(name: "YAML", description: "policies may be YAML beside JSON, by way of Yams"),
        .trait(name: "NIO", description: "SteeringNIO, by way of SwiftNIO"),
        .trait(name: "ServiceLifecycle", description: "SteeringNIO's steering as a service of swift-service-lifecycle"),
        .trait(name: "Logging", description: "SteeringNIO's services say what they do, by way of swift-log"),
        .trait(name: "Metrics", description: "SteeringNIO reports the counters, by way of swift-metrics"),
        // A consumer chooses; `traits: []` fetches nothing at all.
        .default(enabledTraits: ["YAML", "NIO", "ServiceLifecycle", "Logging", "Metrics"]),
    ],
    dependencies: [
        // Only executables use it, and none is a product: whoever imports a library does not fetch it.
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        // Only Documents uses it; fetched only with the trait.
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
        // The command serves its counters with it; SteeringNIO uses it, fetched only with the trait.
        .package(url: "https://github.com/apple/swift-nio", from: "2.81.0"),
        // steerd uses them; SteeringNIO, too, fetched only with their traits.
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.6.0"),
        // Only SteeringNIO uses it; fetched only with the trait.
        .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
    ],
    targets: [
        // Values: addresses, prefixes, ports, pools.
        .target(name: "AddressPools"),

        // The kernel half: libbpf, the ABI header, the compiled BPF program.
        .systemLibrary(
            name: "CLibBPF", path: "CBPF/CLibBPF", pkgConfig: "libbpf", providers: [.apt(["libbpf-dev"])]),
        .target(
            name: "CSteering", dependencies: ["CLibBPF"], path: "CBPF/CSteering", exclude: ["steering.bpf.o"],
            cSettings: fortified),

        // Below both halves: socket addresses for the kernel, passed descriptors, users. No libbpf.
        .target(name: "LinuxSockets", dependencies: ["AddressPools"]),

        // Bindings, policies, sockets; the classifier; what speaks to the kernel.
        .target(name: "Steering", dependencies: ["AddressPools", "LinuxSockets", "CLibBPF", "CSteering"]),

        // Processes, their events and the service manager, for the commands that serve or run programs.
        .target(name: "ServiceSupport", dependencies: ["Steering", "LinuxSockets", "CSteering"]),

        // What people write, YAML or JSON: nodes with their places, for both halves.
        .target(
            name: "Documents",
            dependencies: [
                "AddressPools", .product(name: "Yams", package: "Yams", condition: .when(traits: ["YAML"])),
            ]),

        // Policies of sockets as files.
        .target(name: "PolicyFiles", dependencies: ["Steering", "Documents"]),

        // Names: zone files, address policies, answers. No system calls but its sockets', no libbpf.
        .target(name: "CSteeringDNS", cSettings: fortified),
        .target(name: "SteeringDNS", dependencies: ["AddressPools", "LinuxSockets", "Documents", "CSteeringDNS"]),

        // Pools that are drained and moved, for both commands; the steering is a parameter.
        .target(
            name: "PoolMoves",
            dependencies: [
                "SteeringDNS", "Documents", "MetricsHTTP",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
            ]),

        // Metrics over HTTP, for steer and steer-dns: apart from CommandSupport, so that the others do not link SwiftNIO.
        .target(
            name: "MetricsHTTP",
            dependencies: [
                "AddressPools", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
            ]),

        // Channels, datagrams and worker groups of SwiftNIO.
        .target(
            name: "SteeringNIO",
            dependencies: [
                "Steering",
                .product(name: "NIOCore", package: "swift-nio", condition: .when(traits: ["NIO"])),
                .product(name: "NIOPosix", package: "swift-nio", condition: .when(traits: ["NIO"])),
                .product(
                    name: "ServiceLifecycle", package: "swift-service-lifecycle",
                    condition: .when(traits: ["ServiceLifecycle"])),
                .product(name: "Logging", package: "swift-log", condition: .when(traits: ["Logging"])),
                .product(name: "Metrics", package: "swift-metrics", condition: .when(traits: ["Metrics"])),
            ]),

        // What the commands have in common: arguments, output, signals.
        .target(name: "CCommandSupport"),
        .target(
            name: "CommandSupport",
            dependencies: [
                "CCommandSupport", .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ]),

        // The command.
        .executableTarget(
            name: "steer",
            dependencies: [
                "CommandSupport", "Steering", "PolicyFiles", "SteeringDNS", "Documents", "PoolMoves", "MetricsHTTP",
                "ServiceSupport",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),

        // The socket activation service.
        .executableTarget(
            name: "steerd",
            dependencies: [
                "CommandSupport", "Steering", "PolicyFiles", "ServiceSupport", "LinuxSockets",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ]),

        // Runs programs that know nothing of it, and hands their sockets to steerd.
        .executableTarget(
            name: "steerd-run",
            dependencies: [
                "CommandSupport", "Steering", "ServiceSupport",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),

        // The DNS server and the zone generator; needs nothing of the kernel half.
        .executableTarget(
            name: "steer-dns",
            dependencies: [
                "CommandSupport", "SteeringDNS", "Documents", "PoolMoves", "MetricsHTTP", "LinuxSockets",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
            ]),

        .executableTarget(
            name: "echo-server",
            dependencies: ["Steering", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            path: "Examples/echo-server"),

        .executableTarget(
            name: "dns-server", dependencies: ["AddressPools", "SteeringDNS"], path: "Examples/dns-server"),

        .executableTarget(
            name: "nio-http",
            dependencies: [
                "Steering", "SteeringNIO",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Logging", package: "swift-log"),
            ], path: "Examples/nio-http"),
        .executableTarget(
            name: "any-port",
            dependencies: [
                "Steering", "SteeringNIO",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], path: "Examples/any-port"),
        .executableTarget(
            name: "udp-echo",
            dependencies: [
                "Steering", "SteeringNIO",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], path: "Examples/udp-echo"),
        .executableTarget(
            name: "virtual-hosts",
            dependencies: [
                "Steering", "SteeringNIO",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], path: "Examples/virtual-hosts"),
        .executableTarget(name: "least-privilege", dependencies: ["Steering"], path: "Examples/least-privilege"),

        .plugin(
            name: "RegenerateBPF",
            capability: .command(
                intent: .custom(
                    verb: "regenerate-bpf",
                    description: "Compile bpf-programs/steering.bpf.c into CBPF/CSteering/steering.bpf.o"),
                permissions: [.writeToPackageDirectory(reason: "writes the compiled BPF object")])),

        .target(
            name: "KernelTestSupport", dependencies: ["Steering", "CLibBPF", "CSteering"],
            path: "Tests/KernelTestSupport"),
        .target(
            name: "DNSTestSupport", dependencies: ["AddressPools", "SteeringDNS"], path: "Tests/DNSTestSupport"),
        .executableTarget(
            name: "steering-probe", dependencies: ["Steering", "CLibBPF", "CSteering"], path: "Tests/steering-probe"),
        .executableTarget(
            name: "steering-nio-probe",
            dependencies: [
                "Steering", "SteeringNIO", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
            ], path: "Tests/steering-nio-probe"),
        .testTarget(name: "AddressPoolsTests", dependencies: ["AddressPools"]),
        .testTarget(name: "CommandSupportTests", dependencies: ["CommandSupport"]),
        .testTarget(name: "PolicyFilesTests", dependencies: ["PolicyFiles", "SteeringDNS"]),
        .testTarget(
            name: "PoolMovesTests",
            dependencies: ["PoolMoves", "Documents", .product(name: "NIOEmbedded", package: "swift-nio")]),
        .testTarget(name: "SteeringDNSTests", dependencies: ["SteeringDNS", "DNSTestSupport"]),
        .testTarget(
            name: "SteerCommandTests",
            dependencies: [
                "Steering", "Documents", "KernelTestSupport", "steer", "steer-dns", "steerd", "steerd-run",
                "steering-probe",
            ]),
        .testTarget(
            name: "SteerDNSTests",
            dependencies: ["SteeringDNS", "DNSTestSupport", "KernelTestSupport", "steer-dns", "steer"],
            exclude: ["client.py", "readings.py"]),
        .testTarget(
            name: "SteeringNIOTests",
            dependencies: [
                "Steering", "SteeringNIO", "KernelTestSupport", "steering-nio-probe", "steerd", "steer", "nio-http",
                "any-port", "udp-echo", "virtual-hosts", "least-privilege",
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOEmbedded", package: "swift-nio"),
            ], exclude: ["udp-pairs.py", "spread.py"]),
        .testTarget(
            name: "SteeringTests",
            dependencies: ["Steering", "ServiceSupport", "KernelTestSupport", "CSteering", "steering-probe"]),
    ],
    cLanguageStandard: .c17
)
