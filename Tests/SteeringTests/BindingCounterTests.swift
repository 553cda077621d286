import Glibc
import KernelTestSupport
import Testing

@testable import Steering

/// Each binding's counter is the number of packets that it decided about.
@Suite(.kernel)
struct BindingCounterTests {
    private func packets(_ counter: BindingCounter) throws -> [String: UInt64] {
        Dictionary(uniqueKeysWithValues: try counter.counts().map { ($0.binding.description, $0.packets) })
    }

    @Test("Packets that were sent are the packets that are counted, of sources and interfaces too")
    func sent() async throws {
        try await withNetworkNamespace(routing: Flow.prefixes + ["198.51.100.0/24"]) {
            let steering = try SocketSteering.attach()
            let flow = Flow(.udp, .ipv4)
            let source = try IPPrefix("198.51.100.0/24")
            let bindings = try [
                Binding(.both, to: flow.prefix, ports: .all, .label("web")),
                Binding(.udp, to: flow.prefix, ports: [53], .label("web")),
                Binding(.both, to: flow.prefix, ports: .all, from: source, .refuse),
                Binding(
                    .both, to: flow.prefix, ports: .all, from: IPPrefix("198.51.100.7/32"), on: "lo", .label("web")),
                Binding(.udp, to: flow.only(9), ports: .all, .pass),
                Binding(.udp, to: flow.only(9), ports: [99], on: "lo", .pass),
                Binding(.both, to: Flow(.tcp, .ipv6).prefix, ports: [443], .label("v6")),
                // Decides about nothing: two longer ones do.
                Binding(.both, to: IPPrefix("192.0.0.0/16"), ports: [53], .refuse),
            ]
            try steering.apply(Policy(bindings))
            try send(100, to: flow.host(1, port: 53))  // Before it counts.
            let counter = try steering.countBindings(in: try .current())
            // Not of a prefix that is bound: for the ICMP error of a refusal the kernel looks up the sender's socket.
            let mine = try SocketAddress("127.0.0.1:4000")
            let stranger = try SocketAddress("198.51.100.9:4000"), admin = try SocketAddress("198.51.100.7:4000")
            try send(11, to: flow.host(1, port: 80), from: mine)
            try send(22, to: flow.host(1, port: 53), from: mine)
            try send(33, to: flow.host(2, port: 53), from: stranger)
            try send(44, to: flow.host(2, port: 1), from: admin)
            try send(55, to: flow.host(9, port: 98), from: stranger)
            try send(66, to: flow.host(9, port: 99), from: stranger)
            let six = Flow(.tcp, .ipv6)
            for _ in 0..<7 { _ = try Traffic.connect(.tcp, to: six.host(1, port: 443)) }
            try send(5, to: six.host(1, port: 444))  // No binding.
            let expected: [UInt64] = [11, 22, 33, 44, 55, 66, 7, 0]
            try untilCounted(expected.reduce(0, +)) { try counter.counts().map(\.packets).reduce(0, +) }
            let counts = Dictionary(uniqueKeysWithValues: try counter.counts().map { ($0.binding, $0.packets) })
            for (binding, count) in zip(bindings, expected) { try verify(counts[binding], is: count, "\(binding)") }
            try verify(counts.count, is: bindings.count)
        }
    }

    @Test("It agrees with the reference matcher on random policies and packets")
    func agreement() async throws {
        try await withNetworkNamespace {
            try shell("ip link add eth0 type veth peer name eth1")
            let steering = try SocketSteering.attach()
            let labels: [Label] = ["a", "b", "c"]
            var policies = RandomPolicies(seed: 11, labels: labels, conditions: true)
            for _ in 0..<30 {
                let policy = policies.policy(bindings: Int.random(in: 1...24, using: &policies.random))
                try steering.apply(policy)
                let counter = try steering.countBindings(in: try .current())
                // Of two that overlap and are equal in all else, either counts.
                struct Kind: Hashable {
                    let prefix: IPPrefix, precedence: Precedence, condition: Condition, outcome: Outcome
                    init(_ binding: Binding) {
                        (prefix, precedence) = (binding.prefix, binding.precedence)
                        (condition, outcome) = (binding.condition, binding.outcome)
                    }
                }
                var expected: [Kind: UInt64] = [:]
                for binding in policy.bindings { expected[Kind(binding)] = 0 }
                let matcher = ReferenceMatcher(policy)
                for _ in 0..<30 {
                    let packet = policies.packet(near: policy).asItArrives
                    _ = try steering.explain(packet, in: try .current())
                    if let winner = matcher.winner(for: packet) { expected[Kind(winner)]! += 1 }
                }
                var counts: [Kind: UInt64] = [:]
                for count in try counter.counts() { counts[Kind(count.binding), default: 0] += count.packets }
                try verify(counts, is: expected, "counts of \(policy.bindings)")
            }
        }
    }

    @Test("Two bindings that overlap, and mean the same, are no conflict: one of them counts")
    func ties() async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            let flow = Flow(.udp, .ipv4)
            try steering.apply(
                Policy([
                    Binding(.udp, to: flow.prefix, ports: [1, 2], .label("a")),
                    Binding(.udp, to: flow.prefix, ports: [2, 3], .label("a")),
                ]))
            let counter = try steering.countBindings(in: try .current())
            for port: UInt16 in 1...3 { try send(10, to: flow.host(1, port: port)) }
            try untilCounted(30) { try counter.counts().map(\.packets).reduce(0, +) }
            try verify(try counter.counts().allSatisfy { $0.packets == 10 || $0.packets == 20 }, "10 and 20")
        }
    }

    @Test("Bindings that stay keep their counts through changes and growth; others begin, and are forgotten")
    func changes() async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            let flow = Flow(.udp, .ipv4)
            let counter = try steering.countBindings(in: try .current(), atMost: 70_000)
            try verify(try counter.counts().isEmpty, "no bindings yet")
            let stays = try Binding(.udp, to: flow.prefix, ports: [80], .label("web"))
            let goes = try Binding(.udp, to: flow.prefix, ports: [81], .label("web"))
            try steering.apply(Policy([stays, goes]))
            try counter.refresh()
            try send(3, to: flow.host(1, port: 80))
            try send(4, to: flow.host(1, port: 81))
            try untilCounted(7) { try counter.counts().map(\.packets).reduce(0, +) }
            try steering.apply(Policy([stays] + RuleSets.hostLists.bindings(60_000, labels: 10)))
            try counter.refresh()
            try send(5, to: flow.host(1, port: 80))
            func count(_ binding: Binding) throws -> UInt64? {
                try counter.counts().first { $0.binding == binding }?.packets
            }
            try untilCounted(8) { try count(stays) ?? 0 }
            try verify(try count(goes), is: nil)
            try steering.apply(Policy([stays, goes]))
            try verify(try count(goes), is: 0)
            try verify(try count(stays), is: 8)
            // An interface that goes is no obstacle.
            try shell("ip link add eth0 type veth peer name eth1")
            try steering.bind(Binding(.udp, to: flow.prefix, ports: [80], on: "eth0", .refuse))
            try shell("ip link del eth0")
            try verify(try counter.counts().count, is: 3)
            try verify(try count(stays), is: 8)
            try verify(try NetworkNamespace.current().attachedPrograms().count, is: 2)

            let few = try steering.countBindings(in: try .current(), atMost: 3)
            try verifyThrows(.tooManyBindings) { _ = try steering.countBindings(in: try .current(), atMost: 2) }
            try steering.apply(
                Policy([1, 2, 3, 4].map { try Binding(.udp, to: flow.prefix, ports: [$0], .label("web")) }))
            try verifyThrows(.tooManyBindings) { _ = try few.counts() }
            steering.detach()
            try verifyThrows(.detached) { try counter.refresh() }
        }
    }
}

/// The finder that traces use, and the definition.
struct BindingFinderTests {
    @Test("It finds what the reference matcher finds")
    func agreement() {
        var policies = RandomPolicies(seed: 5, labels: ["a", "b", "c"], conditions: true)
        for _ in 0..<300 {
            let policy = policies.policy(bindings: Int.random(in: 0...40, using: &policies.random))
            let finder = BindingFinder(policy), matcher = ReferenceMatcher(policy)
            for _ in 0..<100 {
                let packet = policies.packet(near: policy)
                let (found, winner) = (finder.winner(for: packet), matcher.winner(for: packet))
                #expect(found?.precedence == winner?.precedence)
                #expect(found?.outcome == winner?.outcome)
                if let found { #expect(found.matches(packet)) }
            }
        }
    }
}
