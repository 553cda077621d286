import Glibc
import KernelTestSupport
import Steering
import Testing

/// Steering in a network namespace other than the caller's, and the namespace's end.
@Suite(.kernel)
struct NetworkNamespaceTests {
    /// Runs a closure with a named network namespace that the flows' prefixes are routed in, and the path
    /// of it; afterwards the name is gone.
    private static func withNamedNamespace(_ test: String, _ body: (_ name: String, _ path: String) throws -> Void)
        throws
    {
        let name = "steering-\(test)-\(getpid())"
        try shell("ip netns add \(name)")
        defer { _ = try? shell("ip netns del \(name) 2>/dev/null") }
        try shell("ip -n \(name) link set lo up")
        try shell("ip -n \(name) route add local \(Flow.prefixes[0]) dev lo")
        try shell("ip -n \(name) -6 route add local \(Flow.prefixes[1]) dev lo")
        try body(name, "/run/netns/\(name)")
    }

    /// Runs a closure inside a namespace.
    private static func inside<Value: Sendable>(
        _ path: String, _ body: @escaping @Sendable () throws -> Value
    ) throws -> Value {
        try NetworkNamespace(path: path).run { Result { try body() } }.get()
    }

    @Test("A namespace that is given by path is steered from outside, and only it", arguments: Flow.all)
    func fromOutside(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            try Self.withNamedNamespace("outside-\(flow.transport)-\(flow.family)") { _, path in
                let steering = try SocketSteering.attach(to: NetworkNamespace(path: path))
                let socket = try Self.inside(path) { try flow.socket() }
                let here = try flow.socket()
                try verifyThrows(.foreignNetworkNamespace) { try steering.sockets.register(here.socket, as: "web") }
                try steering.sockets.register(socket.socket, as: "web")
                try steering.bind("web", .both, to: flow.pool, ports: [7000])
                let registered = try steering.sockets.list()
                try verify(registered.map(\.cookie.rawValue), is: [socket.cookie])
                try verify(registered.map(\.boundAddress), is: [try socket.address])

                let target = flow.host(1, port: 7000)
                let there = try Self.inside(path) { try Traffic.deliver(flow.transport, to: target, among: [socket]) }
                try verify(there, is: .to(0), "inside")
                let outside = try Traffic.deliver(flow.transport, to: target, among: [socket, here])
                try verify(outside, is: .refused, "outside")
            }
        }
    }

    @Test(
        "Paths that are no network namespace are refused by name",
        arguments: ["/nowhere", "/etc/passwd", "/proc/self/ns/mnt", ""])
    func badPath(path: String) throws {
        #expect { _ = try NetworkNamespace(path: path) } throws: {
            ($0 as? SteeringError)?.code == .networkNamespaceUnavailable
        }
    }

    @Test("A steering does not hold its network namespace, and says when it has ended")
    func namespaceEnds() async throws {
        try await withNetworkNamespace {
            try Self.withNamedNamespace("death") { name, path in
                // One end of the pair is here: it disappears when the namespace of the other end ends.
                try shell("ip link add probe0 type veth peer name probe1 netns \(name)")
                func isAlive() -> Bool { (try? shell("ip link show probe0")) != nil }

                let steering = try SocketSteering.attach(to: NetworkNamespace(path: path))
                try steering.bind("web", .tcp, to: PrefixPool("192.0.2.0/24"), ports: [7000])
                try verify(isAlive(), "the namespace has not ended yet")
                let policy = try steering.policy

                try shell("ip netns del \(name)")
                var waited = 0
                while isAlive(), waited < 100 {
                    usleep(100_000)
                    waited += 1
                }
                try verify(!isAlive(), "the steering holds the namespace")
                let socket = try TestSocket(.tcp, on: SocketAddress("127.0.0.1:0"))
                try verifyThrows(.networkNamespaceGone) { try steering.unbindAll() }
                try verifyThrows(.networkNamespaceGone) { try steering.apply(policy) }
                try verifyThrows(.networkNamespaceGone) { _ = try steering.sockets.list() }
                try verifyThrows(.networkNamespaceGone) { _ = try steering.metrics() }
                try verifyThrows(.networkNamespaceGone) { try steering.sockets.register(socket.socket, as: "web") }
                try verify(steering.policy, is: policy, "policy")
            }
        }
    }
}
