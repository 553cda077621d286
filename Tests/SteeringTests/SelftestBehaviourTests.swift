import Glibc
import KernelTestSupport
import Steering
import Testing

/// What the kernel's own sk_lookup selftests demand of one program, with real traffic.
@Suite(.kernel)
struct SelftestBehaviourTests {
    @Test("A packet to one port reaches the server on another", arguments: Flow.all)
    func redirectPort(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            var server = try TestServer(flow.transport, on: flow.host(1, port: 8008), .freeBind)
            try steering.sockets.register(server.descriptor, as: "web")
            try steering.bind("web", .both, to: PrefixPool([flow.only(1)]), ports: [7007])
            try server.verifyAnswers(flow.host(1, port: 7007))
            try server.verifyAnswers(flow.host(1, port: 8008))
            try server.verifyRefused(flow.host(1, port: 7008))
        }
    }

    @Test("A packet to one address reaches the server on another", arguments: Flow.all)
    func redirectAddress(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            var server = try TestServer(flow.transport, on: flow.host(2, port: 7007), .freeBind)
            try steering.sockets.register(server.descriptor, as: "web")
            try steering.bind("web", .both, to: PrefixPool([flow.only(1)]), ports: [7007])
            try server.verifyAnswers(flow.host(1, port: 7007))
            try server.verifyAnswers(flow.host(2, port: 7007))
            try server.verifyRefused(flow.host(3, port: 7007))
        }
    }

    @Test(
        "A dual-stack IPv6 socket answers both families, wherever it is bound",
        arguments: TransportProtocol.allCases, ["[::]:0", "[::]:7007", "[::ffff:127.0.0.2]:0"])
    func dualStack(transport: TransportProtocol, bound: String) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            var server = try TestServer(transport, on: SocketAddress(bound), [.dualStack, .freeBind])
            try steering.sockets.register(server.descriptor, as: "web")
            try steering.bind("web", .both, to: PrefixPool(parsing: Flow.prefixes), ports: [7007])
            for family in IPFamily.allCases {
                try server.verifyAnswers(Flow(transport, family).host(1, port: 7007))
            }
        }
    }

    @Test(
        "An IPv6 socket that is bound to one IPv6 address is no dual-stack socket",
        arguments: TransportProtocol.allCases)
    func notDualStack(transport: TransportProtocol) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            let ipv6 = Flow(transport, .ipv6), ipv4 = Flow(transport, .ipv4)
            // bind(2) itself sets IPV6_V6ONLY then, whatever was asked for.
            var server = try TestServer(transport, on: ipv6.host(9, port: 0), [.dualStack, .freeBind])
            try steering.sockets.register(server.descriptor, as: "web")
            try steering.bind("web", .both, to: PrefixPool(parsing: Flow.prefixes), ports: [7007])
            try verify(try steering.sockets.list().map(\.destination), is: [ipv6.destination("web")])
            try server.verifyAnswers(ipv6.host(1, port: 7007))
            try server.verifyRefused(ipv4.host(1, port: 7007))
        }
    }

    @Test("A binding refuses, though a server is bound to exactly that address", arguments: Flow.all)
    func refuse(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            var server = try TestServer(flow.transport, on: flow.host(1, port: 7007), .freeBind)
            try server.verifyAnswers(flow.host(1, port: 7007))
            try steering.bind(Binding(.both, to: flow.only(1), ports: [7007], .refuse))
            try server.verifyRefused(flow.host(1, port: 7007))
            try steering.unbindAll()
            try server.verifyAnswers(flow.host(1, port: 7007))
        }
    }

    @Test(
        "A label without a socket refuses, or passes to a listener behind it, as its options say", arguments: Flow.all)
    func withoutSocket(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            // The server in front replies from here too, over a socket of its own.
            var behind = try TestServer(flow.transport, on: flow.host(1, port: 7007), [.freeBind, .reuseAddress])
            try steering.bind("web", .both, to: flow.pool, ports: [7007])
            try behind.verifyRefused(flow.host(1, port: 7007))
            try steering.update { $0["web"] = LabelOptions(withoutSocket: .pass) }
            try behind.verifyAnswers(flow.host(1, port: 7007))
            // Nobody listens there: the ordinary lookup refuses.
            try behind.verifyRefused(flow.host(2, port: 7007))

            // With a socket the option is without effect.
            var server = try flow.server()
            try steering.sockets.register(server.descriptor, as: "web")
            try server.verifyAnswers(flow.host(1, port: 7007))
            try steering.sockets.unregister("web")
            try behind.verifyAnswers(flow.host(1, port: 7007))
        }
    }

    @Test("Pass is an exception inside a wider binding", arguments: Flow.all)
    func pass(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            var server = try flow.server()
            var ordinary = try TestServer(flow.transport, on: flow.host(1, port: 7007), [.freeBind, .reuseAddress])
            try steering.sockets.register(server.descriptor, as: "web")
            try steering.bind("web", .both, to: flow.pool, ports: .all)
            try server.verifyAnswers(flow.host(1, port: 7007))
            try steering.bind(Binding(.both, to: flow.only(1), ports: [7007], .pass))
            try ordinary.verifyAnswers(flow.host(1, port: 7007))
            try server.verifyAnswers(flow.host(1, port: 7008))
            try server.verifyAnswers(flow.host(2, port: 7007))
        }
    }

    @Test("Neither the other protocol nor the other family follows a binding", arguments: Flow.all)
    func onlyItsOwn(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            for other in Flow.all {
                let socket = try other.socket()
                try steering.sockets.register(socket.socket, as: "web")
                let protocols: ProtocolMatch = flow.transport == .tcp ? .tcp : .udp
                try steering.update { policy throws(SteeringError) in
                    policy = Policy([try Binding(protocols, to: flow.prefix, ports: [7007], .label("web"))])
                }
                let delivery = try Traffic.deliver(other.transport, to: other.host(1, port: 7007), among: [socket])
                try verify(delivery, is: other == flow ? .to(0) : .refused, "\(other)")
            }
        }
    }

    @Test("A listener that stopped listening is refused and counted as incompatible", arguments: IPFamily.allCases)
    func incompatible(family: IPFamily) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let flow = Flow(.tcp, family)
            let steering = try SocketSteering.attach()
            let listener = try flow.socket()
            try steering.sockets.register(listener.socket, as: "web")
            try steering.bind("web", .tcp, to: flow.pool, ports: [7007])
            let target = flow.host(1, port: 7007)
            try verify(try Traffic.deliver(.tcp, to: target, among: [listener]), is: .to(0))

            try verify(shutdown(listener.descriptor, CInt(SHUT_RD)), is: 0, "shutdown")
            try verify(try Traffic.deliver(.tcp, to: target, among: []), is: .refused)
            try verify(try metrics(steering, flow.destination("web")), is: [2, 0, 1], "lookups, misses, incompatible")

            // It keeps its place, and answers again once it listens again.
            try verify(listen(listener.descriptor, 8), is: 0, "listen")
            try verify(try Traffic.deliver(.tcp, to: target, among: [listener]), is: .to(0))
            try verify(try metrics(steering, flow.destination("web")), is: [3, 0, 1], "lookups, misses, incompatible")
        }
    }

    @Test("Metrics count lookups, misses, refused and passed exactly", arguments: Flow.all)
    func exactMetrics(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            var server = try flow.server()
            var ordinary = try TestServer(flow.transport, on: flow.host(4, port: 7007), .freeBind)
            try steering.sockets.register(server.descriptor, as: "web")
            try steering.bind("web", .both, to: PrefixPool([flow.only(1)]), ports: [7007])
            try steering.bind("empty", .both, to: PrefixPool([flow.only(2)]), ports: [7007])
            try steering.bind(Binding(.both, to: flow.only(3), ports: [7007], .refuse))
            try steering.bind(Binding(.both, to: flow.only(4), ports: [7007], .pass))

            for _ in 0..<5 { try server.verifyAnswers(flow.host(1, port: 7007)) }
            for _ in 0..<4 { try server.verifyRefused(flow.host(2, port: 7007)) }
            for _ in 0..<3 { try server.verifyRefused(flow.host(3, port: 7007)) }
            for _ in 0..<2 { try ordinary.verifyAnswers(flow.host(4, port: 7007)) }
            try server.verifyRefused(flow.host(1, port: 7008))

            let all = try steering.metrics()
            try verify(all.refused, is: 3, "refused")
            try verify(all.passed, is: 2, "passed")
            for destination in all.destinations.keys {
                let expected: [UInt64] =
                    switch destination {
                    case flow.destination("web"): [5, 0, 0]
                    case flow.destination("empty"): [4, 4, 0]
                    default: [0, 0, 0]
                    }
                try verify(try metrics(steering, destination), is: expected, "metrics of \(destination)")
            }
            try verify(all.destinations.count, is: 8, "destinations")
        }
    }
}

/// Lookups, misses, incompatible.
private func metrics(_ steering: SocketSteering, _ destination: Destination) throws -> [UInt64] {
    let metrics = try steering.metrics().destinations[destination]
    return [metrics?.lookups ?? .max, metrics?.misses ?? .max, metrics?.incompatible ?? .max]
}
