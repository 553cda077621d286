import KernelTestSupport
import Steering
import Testing

/// Many labels, large tables, and the way back.
@Suite(.kernel)
struct PolicyLimitsTests {
    /// A binding for each of some labels, all in 10.0.0.0/8.
    private static func policy(labels range: Range<Int>) throws -> Policy {
        Policy(
            try range.map { number in
                try Binding(
                    .both, to: IPPrefix("10.\(number / 256).\(number % 256).0/24"), ports: [80],
                    .label(Label("label\(number)")))
            })
    }

    private static func address(ofLabel number: Int) throws -> SocketAddress {
        try SocketAddress("10.\(number / 256).\(number % 256).1:80")
    }

    @Test("More than 1,024 labels are refused, and nothing changes")
    func tooManyLabels() async throws {
        try await withNetworkNamespace {
            let steering = try SocketSteering.attach()
            let socket = try Flow(.tcp, .ipv4).socket()
            try steering.sockets.register(socket.socket, as: "label0")
            try steering.apply(try Self.policy(labels: 0..<1000))
            let before = try steering.policy
            for number in [0, 1, 999] { _ = try steering.testRun(.tcp, to: Self.address(ofLabel: number)) }
            let metrics = try steering.metrics()

            try verifyThrows(.tooManyLabels) { try steering.apply(try Self.policy(labels: 0..<1025)) }
            try verify(steering.policy, is: before)
            try verify(try steering.metrics(), is: metrics)
            try verify(try steering.sockets.list().map(\.cookie.rawValue), is: [socket.cookie])
            try verify(try steering.testRun(.tcp, to: Self.address(ofLabel: 0)).cookie?.rawValue, is: socket.cookie)
            try verify(try steering.testRun(.tcp, to: Self.address(ofLabel: 999)).verdict, is: 0, "without socket")
            try verify(try steering.testRun(.tcp, to: Self.address(ofLabel: 1024)).verdict, is: 1, "not bound")

            // The last that fits, then a socket for a label more.
            try steering.apply(try Self.policy(labels: 0..<1024))
            try verifyThrows(.tooManyLabels) { try steering.sockets.register(socket.socket, as: "one-more") }
            try verify(try steering.sockets.list().map(\.destination.label), is: ["label0"])
            try steering.sockets.register(socket.socket, as: "label1023")
            try verify(try steering.testRun(.tcp, to: Self.address(ofLabel: 1023)).cookie?.rawValue, is: socket.cookie)
        }
    }

    @Test("Labels that a policy no longer names make room, and come back with counters at zero")
    func labelsAreFreed() async throws {
        try await withNetworkNamespace {
            let steering = try SocketSteering.attach()
            for round in 0..<4 {
                // Half the room each: the former policy's labels are held until the next is in force.
                let labels = (round % 3 * 512)..<(round % 3 * 512 + 512)
                try steering.apply(try Self.policy(labels: labels))
                let metrics = try steering.metrics()
                try verify(metrics.destinations.count, is: 4 * 512, "destinations")
                try verify(metrics.destinations.values.allSatisfy { $0.lookups == 0 && $0.misses == 0 }, "zero")
                for number in labels { _ = try steering.testRun(.tcp, to: Self.address(ofLabel: number)) }
                let counted = try steering.metrics().destinations.filter {
                    $0.value.lookups == 1 && $0.value.misses == 1
                }
                try verify(counted.count, is: 512, "counted once")
            }
        }
    }

    @Test("A label's socket does not become another label's")
    func numbersAreClean() async throws {
        try await withNetworkNamespace {
            let steering = try SocketSteering.attach()
            let socket = try Flow(.tcp, .ipv4).socket()
            try steering.apply(try Self.policy(labels: 0..<1))
            try steering.sockets.register(socket.socket, as: "label0")
            _ = try steering.testRun(.tcp, to: Self.address(ofLabel: 0))
            // Still registered, though no binding leads to it.
            try steering.apply(try Self.policy(labels: 1..<2))
            try verify(try steering.sockets.list().map(\.destination.label), is: ["label0"])
            let other = try steering.testRun(.tcp, to: Self.address(ofLabel: 1))
            try verify(other.verdict == 0 && other.cookie == nil, "label1 has no socket")
            try steering.apply(try Self.policy(labels: 0..<1))
            try verify(try steering.testRun(.tcp, to: Self.address(ofLabel: 0)).cookie?.rawValue, is: socket.cookie)
            try verify(
                try steering.metrics().destinations[Destination("label0", .ipv4, .tcp)]?.lookups, is: 2, "counted on")

            try steering.apply(try Self.policy(labels: 1..<2))
            try steering.sockets.unregister("label0")
            try steering.apply(try Self.policy(labels: 2..<3))
            try verify(try steering.testRun(.tcp, to: Self.address(ofLabel: 2)).cookie, is: nil)
            try verify(try steering.metrics().destinations.keys.count { $0.label == "label2" }, is: 4)
        }
    }

    @Test("A policy of 20,000 single addresses works, and so does the way back")
    func largePolicy() async throws {
        try await withNetworkNamespace {
            let steering = try SocketSteering.attach()
            let labels: [Label] = ["a", "b", "c"]
            let ports: [PortSet] = [[80, 443], [53], [8000...8999]]
            let servers = try Servers(labels)
            for server in servers.all { try steering.sockets.register(server.socket, as: server.destination.label) }
            var cookies: [Destination: SocketCookie] = [:]
            for socket in try steering.sockets.list() { cookies[socket.destination] = socket.cookie }

            // Scattered over everything, so that the tries cannot share nodes.
            var random = SeededGenerator(seed: 20_000)
            let bindings = try (0..<20_000).map { number in
                let address =
                    number % 2 == 0
                    ? IPAddress(ipv4: .random(in: 0...UInt32.max, using: &random))
                    : IPAddress(ipv6: 0x2001_0db8 << 96 | .random(in: 0..<(1 << 96), using: &random))
                let prefix = IPPrefix(masking: address, length: address.family.bitWidth)
                return try Binding(.both, to: prefix, ports: ports[number % 3], .label(labels[number % 3]))
            }
            let large = Policy(bindings), small = Policy(bindings.prefix(5))
            func check(_ policy: Policy, _ what: String) throws {
                let matcher = ReferenceMatcher(policy)
                for sample in 0..<400 {
                    // Of both policies, at times a neighbour that neither binds.
                    let near = sample % 3 == 0 ? bindings[sample % 5] : bindings.randomElement(using: &random)!
                    let ports = near.ports.ranges[0]
                    let port = sample % 4 == 0 ? ports.upper &+ 1 : ports.lower
                    let transport = TransportProtocol.allCases[sample % 2]
                    let packet = SocketAddress(near.prefix.first, port: port)
                    let (verdict, cookie) = try steering.testRun(transport, to: packet)
                    var expected: SocketCookie?
                    if case .label(let label) = matcher.winner(for: Packet(transport, to: packet))?.outcome {
                        expected = cookies[Destination(label, packet.address.family, transport)]
                    }
                    try verify(verdict == 1 && cookie == expected, "\(what): \(transport) \(packet)")
                }
            }
            for _ in 0..<2 {
                try steering.apply(large)
                try check(large, "large")
                try steering.apply(small)
                try check(small, "small again")
            }
            try steering.apply(large)
            try steering.unbind(bindings[0])
            try verify(
                try steering.testRun(.tcp, to: SocketAddress(bindings[0].prefix.first, port: 80)).cookie, is: nil)
            try check(Policy(bindings.dropFirst()), "large to large")
        }
    }
}
