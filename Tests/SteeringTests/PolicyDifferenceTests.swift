import KernelTestSupport
import Steering
import Testing

@Suite
struct PolicyDifferenceTests {
    private func binding(
        _ protocols: ProtocolMatch, _ prefix: String, _ ports: String, from source: String? = nil,
        on interface: InterfaceName? = nil, _ outcome: Outcome
    ) throws -> Binding {
        try Binding(
            protocols, to: IPPrefix(prefix), ports: PortSet(ports), from: source.map { try IPPrefix($0) },
            on: interface, outcome)
    }

    @Test("Equal policies do not differ")
    func equal() throws {
        let policy = try Policy([binding(.tcp, "192.0.2.0/24", "80", .label("web"))])
        let difference = try policy.difference(from: policy)
        #expect(difference.isEmpty && difference.handovers.isEmpty)
    }

    @Test("Ports and protocols of the same change are joined")
    func joined() throws {
        let former = try Policy([binding(.both, "192.0.2.0/24", "all", .label("a"))])
        let new = try Policy([
            binding(.both, "192.0.2.0/24", "all", .label("a")), binding(.tcp, "192.0.2.0/24", "80,443", .label("b")),
            binding(.udp, "192.0.2.0/24", "80,443", .label("b")), binding(.udp, "192.0.2.7/32", "53", .pass),
        ])
        let difference = try new.difference(from: former)
        #expect(difference.added.count == 3 && difference.removed.isEmpty)
        #expect(
            difference.handovers.map(\.description) == [
                "tcp+udp 192.0.2.0/24 80,443: label a -> label b", "tcp+udp 192.0.2.7/32 80,443: label a -> label b",
                "udp 192.0.2.7/32 53: label a -> pass",
            ])
        let back = try former.difference(from: new)
        #expect(back.removed == difference.added && back.handovers.count == 3)
    }

    @Test("A prefix that longer ones cover wholly hands nothing over")
    func covered() throws {
        let halves = try ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"].map { try binding(.both, $0, "80", .refuse) }
        let whole = try ["0.0.0.0/0", "::/0"].map { try binding(.both, $0, "80", .label("web")) }
        #expect(try Policy(halves + whole).difference(from: Policy(halves)).handovers.isEmpty)
        #expect(try Policy(halves.dropLast() + whole).difference(from: Policy(halves.dropLast())).handovers.count == 1)
        #expect(try Policy(whole).difference(from: Policy()).handovers.count == 2)
    }

    @Test("Options are a change, not a handover")
    func options() throws {
        let former = try Policy([binding(.tcp, "192.0.2.0/24", "80", .label("web"))])
        var new = former
        new["web"] = LabelOptions(withoutSocket: .pass)
        let difference = try new.difference(from: former)
        #expect(difference.handovers.isEmpty && difference.changedOptions.count == 1 && !difference.isEmpty)
        #expect(difference.changedOptions["web"]?.before.withoutSocket == .refuse)
        #expect(difference.changedOptions["web"]?.after.withoutSocket == .pass)
    }

    @Test("A conflict in either is an error")
    func conflict() throws {
        let bad = try Policy([binding(.tcp, "::/0", "1-2", .refuse), binding(.tcp, "::/0", "2-3", .pass)])
        #expect(throws: SteeringError.self) { try bad.difference(from: Policy()) }
        #expect(throws: SteeringError.self) { try Policy().difference(from: bad) }
    }

    @Test("What differs by source and interface is told so, and nothing else")
    func conditions() throws {
        let wide = try binding(.tcp, "192.0.2.0/24", "80", .label("a"))
        let blocked = try binding(.tcp, "192.0.2.0/24", "80", from: "198.51.100.0/24", .refuse)
        let trusted = try binding(.tcp, "192.0.2.0/24", "80-81", on: "eth1", .label("b"))
        let difference = try Policy([wide, blocked, trusted]).difference(from: Policy([wide]))
        #expect(
            difference.handovers.map(\.description) == [
                "tcp 192.0.2.0/24 80 from 198.51.100.0/24: label a -> refuse",
                "tcp 192.0.2.0/24 80 on eth1: label a -> label b",
                "tcp 192.0.2.0/24 81 on eth1: not steered -> label b",
            ])
        // Of a longer prefix, so that the source outranks no more.
        let host = try binding(.tcp, "192.0.2.7/32", "80", on: "eth1", .pass)
        #expect(
            try Policy([wide, blocked, host]).difference(from: Policy([wide, blocked, trusted])).handovers
                .map(\.description) == [
                    "tcp 192.0.2.0/24 80 on eth1: label b -> label a",
                    "tcp 192.0.2.0/24 81 on eth1: label b -> not steered",
                    "tcp 192.0.2.7/32 80 from 198.51.100.0/24 on eth1: refuse -> pass",
                    "tcp 192.0.2.7/32 80 on eth1: label b -> pass",
                    "tcp 192.0.2.7/32 81 on eth1: label b -> not steered",
                ])
        // Two halves are all there is.
        let halves = try ["0.0.0.0/1", "128.0.0.0/1"].map {
            try binding(.tcp, "192.0.2.0/24", "80", from: $0, .label("b"))
        }
        #expect(try Policy(halves + [wide]).difference(from: Policy(halves)).handovers.isEmpty)
    }

    @Test("A packet's outcome changes exactly where a handover says so", arguments: [false, true])
    func agreesWithTheReference(conditions: Bool) throws {
        var policies = RandomPolicies(seed: 31, labels: ["a", "b", "c"], conditions: conditions)
        var changed = 0, unchanged = 0
        for _ in 0..<400 {
            let former = policies.policy(bindings: Int.random(in: 0...14, using: &policies.random))
            var new = policies.policy(bindings: Int.random(in: 0...14, using: &policies.random))
            if Bool.random(using: &policies.random) {
                // Mostly the former one.
                new = former
                for binding in former.bindings where Int.random(in: 0..<4, using: &policies.random) == 0 {
                    new.unbind(binding)
                }
                let more = policies.policy(bindings: 2).bindings
                for binding in more {
                    var next = new
                    next.bind(binding)
                    if (try? next.validate()) != nil { new = next }
                }
            }
            let difference = try new.difference(from: former)
            let (old, own) = (Set(former.bindings), Set(new.bindings))
            #expect(Set(difference.added) == own.subtracting(old) && Set(difference.removed) == old.subtracting(own))
            #expect(difference.added == difference.added.sorted() && difference.removed == difference.removed.sorted())

            let before = ReferenceMatcher(former), after = ReferenceMatcher(new)
            let prefixes = Set((former.bindings + new.bindings).map(\.prefix))
            for sample in 0..<60 {
                let packet = policies.packet(near: sample % 2 == 0 ? former : new)
                let deciding = [before, after].map { $0.winner(for: packet) }
                let outcomes = deciding.map { $0?.outcome }
                let longest = prefixes.filter { $0.contains(packet.destination.address) }.max { $0.length < $1.length }
                let source = deciding.compactMap { $0?.source }.max { $0.length < $1.length }
                let covering = difference.handovers.filter {
                    $0.prefix == longest && $0.protocols.contains(packet.transport)
                        && $0.ports.contains(packet.destination.port) && $0.source == source
                        && $0.interface == deciding.compactMap { $0?.interface }.first
                }
                if outcomes[0] == outcomes[1] {
                    #expect(covering.isEmpty, "\(packet)")
                    unchanged += 1
                } else {
                    #expect(covering.count == 1 && [covering[0].before, covering[0].after] == outcomes)
                    changed += 1
                }
            }
        }
        #expect(changed > 2000 && unchanged > 2000, "\(changed) changed, \(unchanged) did not")
    }
}
