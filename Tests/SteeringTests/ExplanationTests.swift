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

            let found = try steering.explain(Packet(flow.transport, to: flow.host(1, port: 7005)))
            try verify(found.candidates.map(\.binding.outcome), is: [.label("web"), .refuse])
            try verify(
                found.candidates.map(\.reason), is: [nil, "/\(flow.prefix.length) is longer than /0"])
            try verify(found.kernel, is: .socket(SocketCookie(socket.cookie)))
            try verify(found.agrees, "\(found)")
            guard case .steered(let sockets) = found.decision else { throw Unmet(description: "\(found.decision)") }
            try verify(sockets.map(\.cookie.rawValue), is: [socket.cookie])

            let narrow = try steering.explain(Packet(flow.transport, to: flow.host(1, port: 7000)))
            try verify(narrow.candidates.map(\.reason), is: [nil, "2 ports are fewer than 10", "/\(flow.prefix.length) is longer than /0"])
            try verify(narrow.decision, is: .withoutSocket(flow.destination("other"), .refuse))
            try verify(narrow.kernel, is: .refused)

            try verify(steering.explain(Packet(flow.transport, to: flow.host(9, port: 1))).decision, is: .passed)
            try verify(steering.explain(Packet(flow.transport, to: flow.host(9, port: 1))).kernel, is: .none)
            try verify(steering.explain(Packet(flow.transport, to: flow.loopback)).decision, is: .refused)
            try verify(steering.explain(Packet(flow.transport, to: flow.loopback)).kernel, is: .refused)

            // Asking is not counted.
            try verify(steering.metrics().destinations[flow.destination("web")]?.lookups, is: 0)
            try verify(steering.metrics().refused, is: 0)
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
            let both = try steering.explain(packet)
            try verify(both.kernel, is: .socket(SocketCookie(first.cookie)))
            try verify(both.agrees, "\(both)")
            let standIn = SocketCookie(second.cookie)
            try first.close()
            let one = try steering.explain(packet)
            try verify(one.kernel, is: .socket(standIn))
            try verify(one.agrees, "\(one)")
        }
    }

    @Test("It agrees with the program on random policies and packets, in each form of tables", arguments: Tables.Form.allCases)
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
                    let (transport, destination) = policies.packet(near: policy)
                    let found = try steering.explain(Packet(transport, to: destination))
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
                    Packet(.tcp, to: SocketAddress("192.0.2.1:80"), from: SocketAddress("[::1]:80")))
            }
        }
    }
}
