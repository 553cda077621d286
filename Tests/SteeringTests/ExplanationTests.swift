import Glibc
import KernelTestSupport
import Testing

@testable import Steering

/// What `explain` says is what packets meet.
@Suite(.kernel)
struct ExplanationTests {
    @Test("The binding, the reason and the socket are named, and the kernel agrees", arguments: Flow.all)
    func steered(_ flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let socket = try flow.socket()
            let steering = try SocketSteering.attach()
            try steering.sockets.register(socket.socket, as: "web")
            try steering.bind(Binding(.both, to: flow.everywhere, ports: .all, .refuse))
            try steering.bind(Binding(.both, to: flow.prefix, ports: [7000...7009], .label("web")))
            try steering.bind(Binding(.both, to: flow.prefix, ports: [7000...7001], .label("other")))
            try steering.bind(Binding(.both, to: flow.only(9), ports: .all, .pass))

            let found = try steering.explain(Packet(flow.transport, to: flow.host(1, port: 7005)), in: .current())
            try verify(found.candidates.map(\.binding.outcome), is: [.label("web"), .refuse])
            try verify(
                found.candidates.map(\.reason), is: [nil, "/\(flow.prefix.length) is longer than /0"])
            try verify(found.receiver?.cookie.rawValue, is: socket.cookie)
            try verify(found.owners[SocketCookie(socket.cookie)]?.map(\.pid), is: [getpid()])
            try verify(found.caveats, is: [])
            try verify(found.agrees, "\(found)")
            guard case .steered(let sockets) = found.decision else { throw Unmet(description: "\(found.decision)") }
            try verify(sockets.map(\.cookie.rawValue), is: [socket.cookie])

            let narrow = try steering.explain(Packet(flow.transport, to: flow.host(1, port: 7000)), in: .current())
            try verify(
                narrow.candidates.map(\.reason),
                is: [nil, "2 ports are fewer than 10", "/\(flow.prefix.length) is longer than /0"])
            try verify(narrow.decision, is: .withoutSocket(flow.destination("other"), .refuse))
            try verify(narrow.kernel, is: .refused)

            let passed = try steering.explain(Packet(flow.transport, to: flow.host(9, port: 1)), in: .current())
            try verify(passed.decision, is: .passed)
            try verify(passed.kernel, is: .refused)
            let refused = try steering.explain(Packet(flow.transport, to: flow.loopback), in: .current())
            try verify(refused.decision, is: .refused)
            try verify(refused.kernel, is: .refused)
        }
    }

    @Test("What decides instead is named: an established flow, another program, a missing route", arguments: Flow.all)
    func caveats(_ flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let socket = try flow.socket()
            let steering = try SocketSteering.attach()
            try steering.sockets.register(socket.socket, as: "web")
            try steering.bind(Binding(.both, to: flow.everywhere, ports: [7000], .label("web")))

            let conversation = try Conversation(
                flow.transport, with: flow.host(1, port: 7000), accepting: socket.descriptor)
            let client = try conversation.client.localAddress()
            let held = try steering.explain(
                Packet(flow.transport, to: flow.host(1, port: 7000), from: client), in: .current())
            try verify(held.receiver?.isConnected, is: true)
            try verify(
                held.caveats, is: ["this flow belongs to an established connection, so steering does not run for it"])

            let foreign = SocketAddress(
                flow.family == .ipv4 ? IPAddress(ipv4: 0xc633_6401) : IPAddress(ipv6: 0xfd00 << 112 | 1), port: 7000)
            let unrouted = try steering.explain(Packet(flow.transport, to: foreign), in: .current())
            try verify(unrouted.caveats.count == 1 && unrouted.caveats[0].contains("not routed"), "\(unrouted.caveats)")

            let newer = try SocketSteering.attach()
            let other = try flow.socket()
            try newer.sockets.register(other.socket, as: "web")
            try newer.bind(Binding(.both, to: flow.prefix, ports: [7000], .label("web")))
            let overruled = try steering.explain(Packet(flow.transport, to: flow.host(2, port: 7000)), in: .current())
            try verify(overruled.receiver?.cookie.rawValue, is: other.cookie)
            try verify(!overruled.agrees, "it agrees")
            try verify(overruled.caveats.count == 1 && overruled.caveats[0].contains("program"), "\(overruled.caveats)")

            let onLoopback = Packet(flow.transport, to: flow.host(2, port: 7000), on: "lo")
            try verify(try newer.explain(onLoopback, in: .current()).receiver?.cookie.rawValue, is: other.cookie)
            try verifyThrows(.unknownInterface) {
                _ = try steering.explain(Packet(flow.transport, to: flow.host(2, port: 1), on: "none"), in: .current())
            }
        }
    }

    @Test("It is right for SO_REUSEPORT groups, and for the stand-in of a closed member", arguments: Flow.all)
    func reuseport(_ flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let first = try TestSocket(flow.transport, on: flow.loopback, .reusePort)
            let second = try TestSocket(flow.transport, on: first.address, .reusePort)
            let steering = try SocketSteering.attach()
            for member in [first, second] { try steering.sockets.register(member.socket, as: "web") }
            try steering.bind(Binding(.both, to: flow.prefix, ports: [7000], .label("web")))

            let packet = Packet(flow.transport, to: flow.host(1, port: 7000), from: flow.host(2, port: 4711))
            let both = try steering.explain(packet, in: .current())
            try verify([first.cookie, second.cookie].contains(both.receiver?.cookie.rawValue ?? 0), "a member")
            try verify(both.agrees, "\(both)")
            let standIn = SocketCookie(second.cookie)
            try first.close()
            let one = try steering.explain(packet, in: .current())
            try verify(one.receiver?.cookie, is: standIn)
            try verify(one.agrees, "\(one)")
        }
    }

    @Test(
        "It agrees with the program on random policies and packets, in each form of tables",
        arguments: Tables.Form.allCases)
    func randomly(_ form: Tables.Form) async throws {
        try await withNetworkNamespace {
            let steering = try SocketSteering.attach()
            let sockets = try Flow.all.map { try $0.socket() }
            for socket in sockets { try steering.sockets.register(socket.socket, as: "a") }
            var policies = RandomPolicies(seed: 7, labels: ["a", "b"])
            for _ in 0..<3 {
                let policy = policies.policy(bindings: 12)
                try steering.apply(policy, as: form)
                for _ in 0..<10 {
                    let found = try steering.explain(policies.packet(near: policy), in: .current())
                    try verify(found.agrees, "\(found)")
                }
            }
        }
    }

    @Test("Source and destination of different families are refused")
    func families() async throws {
        try await withNetworkNamespace {
            let steering = try SocketSteering.attach()
            try verifyThrows(.invalidAddress) {
                _ = try steering.explain(
                    Packet(.tcp, to: SocketAddress("192.0.2.1:80"), from: SocketAddress("[::1]:80")),
                    in: .current())
            }
        }
    }
}

extension Explanation {
    /// The socket that the kernel gives the packet to.
    fileprivate var receiver: Receiver? {
        if case .delivered(let receiver) = kernel { receiver } else { nil }
    }
}
