import KernelTestSupport
import Testing

@testable import Steering

/// Sources and interfaces, with real packets, some of which come from elsewhere.
@Suite(.kernel, .serialized)
struct SecondStageTests {
    @Test("A binding on an interface answers there, and not on another", arguments: Flow.all)
    func interface(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let left = try Neighbour("left", number: 1), right = try Neighbour("right", number: 2)
            let steering = try SocketSteering.attach()
            var server = try flow.server(), other = try flow.server()
            try steering.sockets.register(server.descriptor, as: "web")
            try steering.sockets.register(other.descriptor, as: "other")
            let target = flow.host(9, port: 7000)
            for form in Tables.Form.allCases {
                let web = try Binding(.both, to: flow.prefix, ports: [7000], on: "left", .label("web"))
                try steering.apply(Policy([web]), as: form)
                try server.verifyAnswers(target, by: left)
                try server.verifyRefused(target, by: right)
                try server.verifyRefused(target)

                let rest = try Binding(.both, to: flow.prefix, ports: [7000], on: "right", .label("other"))
                try steering.apply(Policy([web, rest]), as: form)
                try server.verifyAnswers(target, by: left)
                try other.verifyAnswers(target, by: right)
                try server.verifyRefused(target)
            }
        }
    }

    @Test("A binding from a source prefix answers who is in it, and no one else", arguments: Flow.all)
    func source(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let isIPv4 = flow.family == .ipv4
            let prefix = try IPPrefix(isIPv4 ? "198.51.100.0/24" : "2001:db8:ffff::/48")
            // The second of them in the half of an IPv6 address that has a trie of its own.
            let addresses =
                isIPv4
                ? ["198.51.100.7", "198.51.100.8", "203.0.113.9"]
                : ["2001:db8:ffff::7", "2001:db8:ffff::8", "2001:db8:eeee::9"]
            let sources = try addresses.map { address in
                try shell("ip addr add \(address)/\(flow.family.bitWidth) dev lo \(isIPv4 ? "" : "nodad")")
                return SocketAddress(try IPAddress(address), port: 0)
            }
            let steering = try SocketSteering.attach()
            var server = try flow.server(), other = try flow.server()
            try steering.sockets.register(server.descriptor, as: "web")
            try steering.sockets.register(other.descriptor, as: "other")
            let target = flow.host(9, port: 7000)
            let host = IPPrefix(masking: sources[1].address, length: flow.family.bitWidth)
            var bindings = [
                try Binding(.both, to: flow.prefix, ports: [7000], from: prefix, .label("web")),
                try Binding(.both, to: flow.prefix, ports: [7000], from: host, .refuse),
            ]
            for form in Tables.Form.allCases {
                try steering.apply(Policy(bindings), as: form)
                try server.verifyAnswers(target, from: sources[0])
                try server.verifyRefused(target, from: sources[1])
                try server.verifyRefused(target, from: sources[2])
            }
            bindings.append(try Binding(.both, to: flow.prefix, ports: .all, .label("other")))
            for form in Tables.Form.allCases {
                try steering.apply(Policy(bindings), as: form)
                try server.verifyAnswers(target, from: sources[0])
                try server.verifyRefused(target, from: sources[1])
                try other.verifyAnswers(target, from: sources[2])
                try other.verifyAnswers(flow.host(9, port: 7001), from: sources[1])
            }
        }
    }

    @Test(
        "Bindings on an interface that does not exist match nothing; once it does, applying the policy again finds it")
    func absentInterface() async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let bpffs = try TestFileSystem()
            let flow = Flow(.tcp, .ipv4)
            let steerings = [
                try SocketSteering.attach(), try SocketSteering.load(into: try .current(), bpffs: bpffs.path),
            ]
            for (number, steering) in zip(1..., steerings) {
                let interface = try InterfaceName("in\(number)")
                var server = try flow.server()
                try steering.sockets.register(server.descriptor, as: "web")
                try steering.bind("web", .tcp, to: flow.pool, ports: [7000], on: "lo")
                for port in [7000, 7001] as [UInt16] {
                    try steering.bind(
                        "web", .tcp, to: flow.pool, ports: PortSet(PortRange(port)), on: port == 7000 ? "lo" : interface
                    )
                }
                try server.verifyAnswers(flow.host(1, port: 7000))
                try server.verifyRefused(flow.host(1, port: 7001))
                let neighbour = try Neighbour(interface, number: number)
                try server.verifyRefused(flow.host(1, port: 7001))
                try verify(try server.exchange(with: flow.host(1, port: 7001), by: neighbour), is: .refused)
                let policy = try steering.policy
                try steering.apply(policy)
                guard case .answered = try server.exchange(with: flow.host(1, port: 7001), by: neighbour) else {
                    throw Unmet(description: "no answer on \(interface)")
                }
                try server.verifyRefused(flow.host(1, port: 7001))
                steering.detach()
                if steering.bpffs != nil { try SocketSteering.unload(from: .current(), bpffs: bpffs.path) }
            }
        }
    }

    @Test(
        "A program for kernels without an ingress interface steers, and refuses policies that ask for one",
        arguments: [false, true])
    func withoutIngressInterface(isLoaded: Bool) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes + ["198.51.100.0/24"]) {
            let bpffs = try TestFileSystem()
            let namespace = try NetworkNamespace.current()
            var steering =
                isLoaded
                ? try SocketSteering.load(
                    into: namespace, bpffs: bpffs.path, readers: nil, hasIngressInterface: false)
                : try SocketSteering(namespace, object: nil, hasIngressInterface: false)
            let flow = Flow(.tcp, .ipv4)
            var server = try flow.server()
            try steering.sockets.register(server.descriptor, as: "web")
            try steering.bind("web", .both, to: flow.pool, ports: [7000], from: IPPrefix("198.51.100.0/24"))
            let policy = try steering.policy
            for _ in 0..<3 {
                try server.verifyAnswers(flow.host(1, port: 7000), from: SocketAddress("198.51.100.7:0"))
                try server.verifyRefused(flow.host(1, port: 7000))
                let error = try verifyThrows(.unsupportedKernel) {
                    try steering.bind("web", .tcp, to: flow.pool, ports: [7001], on: "lo")
                }
                try verify(error.message.contains("Linux 5.17"), error.message)
                try verify(steering.policy, is: policy)
                // What it knows of itself outlives a change of policy, and the process.
                try steering.unbindAll()
                try steering.apply(policy)
                if isLoaded {
                    let reader = try SocketSteering.open(namespace, bpffs: bpffs.path, for: .reading)
                    try verify(reader.policy, is: policy)
                    steering = try SocketSteering.open(namespace, bpffs: bpffs.path)
                }
            }
        }
    }
}
