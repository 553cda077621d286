import KernelTestSupport
import Steering
import Testing

@Suite
struct PolicyTests {
    private func binding(
        _ protocols: ProtocolMatch, _ prefix: String, _ ports: String, from source: String? = nil,
        on interface: InterfaceName? = nil, _ outcome: Outcome
    ) throws -> Binding {
        try Binding(
            protocols, to: IPPrefix(prefix), ports: PortSet(ports), from: source.map { try IPPrefix($0) },
            on: interface, outcome)
    }

    @Test("A policy is a set: order and repetition do not matter")
    func isASet() throws {
        let a = try binding(.tcp, "192.0.2.0/24", "80", .label("web"))
        let b = try binding(.udp, "2001:db8::/32", "all", .refuse)
        #expect(Policy([a, b, a]) == Policy([b, a]))
        var policy = Policy([a])
        policy.bind(b)
        policy.bind(b)
        #expect(policy == Policy([b, a]))
        #expect(policy.unbind(a) && !policy.unbind(a))
        #expect(policy.bindings == [b])
    }

    @Test("Bindings stand in their natural order, each once", arguments: [false, true])
    func naturalOrder(conditions: Bool) {
        var policies = RandomPolicies(seed: 11, labels: ["a", "b"], conditions: conditions)
        for _ in 0..<50 {
            let bindings = policies.policy(bindings: 40).bindings
            #expect(bindings == bindings.sorted() && Set(bindings).count == bindings.count)
            #expect(Policy((bindings + bindings).shuffled(using: &policies.random)).bindings == bindings)
        }
    }

    @Test("However it came about, a policy of the same bindings is the same", arguments: [false, true])
    func oneForm(conditions: Bool) {
        var policies = RandomPolicies(seed: 12, labels: ["a", "b", "c", "d"], conditions: conditions)
        for _ in 0..<100 {
            let start = policies.policy(bindings: 12), more = policies.policy(bindings: 12)
            var policy = start
            var expected = Set(start.bindings)
            for binding in (start.bindings + more.bindings).shuffled(using: &policies.random) {
                if Bool.random(using: &policies.random) {
                    policy.bind(binding)
                    expected.insert(binding)
                } else {
                    #expect(policy.unbind(binding) == (expected.remove(binding) != nil))
                }
                #expect(policy.bindings == expected.sorted() && policy.count == expected.count)
            }
            let anew = Policy(expected, options: start.options)
            #expect(policy == anew && policy.hashValue == anew.hashValue && policy.labels == anew.labels)
        }
    }

    @Test("Default options are none, so that setting them changes nothing")
    func defaultOptions() {
        var policy = Policy()
        policy["web"] = LabelOptions(withoutSocket: .pass)
        #expect(policy.labels == ["web"])
        policy["web"] = LabelOptions()
        #expect(policy == Policy())
    }

    @Test("A binding without ports or addresses is refused")
    func matchesNothing() throws {
        #expect(throws: SteeringError.self) { try Binding(.tcp, to: IPPrefix("192.0.2.0/24"), ports: [], .refuse) }
        var policy = Policy()
        #expect(throws: SteeringError.self) { try policy.bind("web", .tcp, to: PrefixPool(), ports: .all) }
        #expect(policy.isEmpty)
    }

    @Test("A source of another family matches nothing and is refused; one of length 0 is none")
    func sources() throws {
        for (prefix, source) in [("192.0.2.0/24", "2001:db8::/32"), ("::/0", "0.0.0.0/0")] {
            #expect {
                try binding(.tcp, prefix, "80", from: source, .refuse)
            } throws: { error in
                let error = error as? SteeringError
                return error?.code == .invalidBinding && error!.message.contains(source)
            }
        }
        let any = try binding(.tcp, "192.0.2.0/24", "80", from: "0.0.0.0/0", .refuse)
        #expect(try any == binding(.tcp, "192.0.2.0/24", "80", .refuse) && any.source == nil)
        var policy = Policy()
        let pool = try PrefixPool("192.0.2.0/24", "2001:db8::/32")
        #expect(throws: SteeringError.self) {
            try policy.bind("web", .tcp, to: pool, ports: .all, from: IPPrefix("10.0.0.0/8"))
        }
        #expect(policy.isEmpty)
        try policy.bind("web", .tcp, to: pool, ports: .all, on: "eth0")
        #expect(policy.bindings.map(\.interface) == ["eth0", "eth0"])
    }

    @Test("What is not known of a packet does not match what a binding asks for")
    func unknown() throws {
        let source = try binding(.tcp, "192.0.2.0/24", "80", from: "198.51.100.0/24", .refuse)
        let both = try binding(.tcp, "192.0.2.0/24", "80", from: "198.51.100.0/24", on: "eth0", .refuse)
        let to = try SocketAddress("192.0.2.1:80"), sender = try SocketAddress("198.51.100.7:4711")
        #expect(!source.matches(Packet(.tcp, to: to)) && !source.matches(Packet(.tcp, to: to, on: "eth0")))
        #expect(source.matches(Packet(.tcp, to: to, from: sender)))
        #expect(try !source.matches(Packet(.tcp, to: to, from: SocketAddress("198.51.101.7:4711"))))
        #expect(!both.matches(Packet(.tcp, to: to, from: sender)))
        #expect(!both.matches(Packet(.tcp, to: to, from: sender, on: "eth1")))
        #expect(both.matches(Packet(.tcp, to: to, from: sender, on: "eth0")))
        #expect("\(both)" == "tcp 192.0.2.0/24 80 from 198.51.100.0/24 on eth0 -> refuse")
    }

    @Test("Precedence: longer prefix, longer source, interface, fewer ports, one protocol")
    func precedence() throws {
        let ascending = [
            try binding(.both, "0.0.0.0/0", "all", .refuse), try binding(.tcp, "0.0.0.0/0", "all", .refuse),
            try binding(.both, "0.0.0.0/0", "1-100", .refuse), try binding(.both, "192.0.2.0/24", "all", .refuse),
            try binding(.both, "192.0.2.0/24", "80,443", .refuse), try binding(.udp, "192.0.2.0/24", "80,443", .refuse),
            try binding(.both, "192.0.2.0/24", "0", .refuse),
            try binding(.both, "192.0.2.0/24", "all", on: "eth0", .refuse),
            try binding(.tcp, "192.0.2.0/24", "80", on: "eth1", .refuse),
            try binding(.both, "192.0.2.0/24", "all", from: "128.0.0.0/1", .refuse),
            try binding(.tcp, "192.0.2.0/24", "80", from: "198.51.100.0/24", .refuse),
            try binding(.both, "192.0.2.0/24", "all", from: "198.51.100.0/24", on: "eth0", .refuse),
            try binding(.tcp, "192.0.2.7/32", "all", .refuse),
            try binding(.both, "192.0.2.7/32", "all", from: "198.51.100.7/32", .refuse),
        ]
        #expect(ascending.shuffled().sorted { $0.precedence < $1.precedence } == ascending)
    }

    @Test("Equal precedence, overlap and different outcomes conflict; the error names both and the overlap")
    func conflict() throws {
        let one = try binding(.tcp, "192.0.2.0/24", "80-89", .label("a"))
        let other = try binding(.tcp, "192.0.2.0/24", "85-94", .label("b"))
        #expect {
            try Policy([one, other]).validate()
        } throws: { error in
            let error = error as? SteeringError
            return error?.code == .conflictingBindings && error!.message.contains("\(one)")
                && error!.message.contains("\(other)") && error!.message.contains("85-89")
        }
    }

    @Test("What does not overlap, tie or differ is no conflict")
    func noConflict() throws {
        try Policy([
            binding(.tcp, "192.0.2.0/24", "80-89", .label("a")), binding(.tcp, "192.0.2.0/24", "90-99", .label("b")),
            binding(.udp, "192.0.2.0/24", "80-89", .label("c")), binding(.both, "192.0.2.0/24", "80-89", .refuse),
            binding(.tcp, "192.0.2.0/24", "80-88", .pass), binding(.tcp, "192.0.2.0/25", "80-89", .label("b")),
            binding(.tcp, "192.0.2.0/24", "75-84", .label("a")),
            binding(.tcp, "192.0.2.0/24", "80-89", from: "10.0.0.0/8", .label("b")),
            binding(.tcp, "192.0.2.0/24", "80-89", from: "11.0.0.0/8", .label("c")),
            binding(.tcp, "192.0.2.0/24", "80-89", on: "eth0", .label("b")),
            binding(.tcp, "192.0.2.0/24", "80-89", on: "eth1", .label("c")),
            binding(.tcp, "192.0.2.0/24", "80-89", from: "10.0.0.0/8", on: "eth1", .label("d")),
        ]).validate()
        #expect {
            try Policy([
                binding(.tcp, "192.0.2.0/24", "80", from: "10.0.0.0/8", on: "eth0", .label("a")),
                binding(.tcp, "192.0.2.0/24", "80", from: "10.0.0.0/8", on: "eth0", .label("b")),
            ]).validate()
        } throws: {
            ($0 as? SteeringError)?.message.contains("port 80 from 10.0.0.0/8 on eth0: make one narrower") == true
        }
    }

    @Test("The sweep finds a conflict exactly where trying every pair does", arguments: [false, true])
    func sweepAgreesWithPairs(conditions: Bool) throws {
        var random = SeededGenerator(seed: 7)
        var conflicts = 0
        let sources = try [nil, nil, nil, IPPrefix("10.0.0.0/8"), IPPrefix("11.0.0.0/8")]
        let interfaces: [InterfaceName?] = [nil, nil, nil, "eth0", "eth1"]
        for _ in 0..<3000 {
            let bindings = (0..<Int.random(in: 2...9, using: &random)).map { _ in
                let ports = PortSet(
                    (0..<Int.random(in: 1...2, using: &random)).map { _ in
                        let start = UInt16.random(in: 0...30, using: &random)
                        return PortRange(start...start + .random(in: 0...6, using: &random))
                    })
                return try! Binding(
                    ProtocolMatch.allCases.randomElement(using: &random)!, to: try! IPPrefix("192.0.2.0/24"),
                    ports: ports,
                    from: conditions ? sources.randomElement(using: &random)! : nil,
                    on: conditions ? interfaces.randomElement(using: &random)! : nil,
                    [.refuse, .pass, .label("a")].randomElement(using: &random)!)
            }
            let expected = bindings.contains { one in
                bindings.contains { other in
                    one.precedence == other.precedence && one.outcome != other.outcome
                        && one.ports.overlaps(other.ports) && one.source == other.source
                        && one.interface == other.interface
                        && TransportProtocol.allCases.contains {
                            one.protocols.contains($0) && other.protocols.contains($0)
                        }
                }
            }
            let found = (try? Policy(bindings).validate()) == nil
            #expect(found == expected, "\(bindings)")
            conflicts += found ? 1 : 0
        }
        #expect(
            conflicts > (conditions ? 50 : 300) && conflicts < 2700, "\(conflicts) of 3000: the sample shows little")
    }

    @Test("Thousands of bindings of one prefix compile in no time worth measuring", arguments: [20_000])
    func manyRanges(count: Int) throws {
        // Nested: each wider range is painted only where the narrower ones left it open.
        let policy = Policy(
            try (0..<count).map { index in
                try Binding(
                    .tcp, to: IPPrefix("192.0.2.0/24"),
                    ports: PortSet(PortRange(UInt16(index)...UInt16(65_535 - index))),
                    index.isMultiple(of: 2) ? .label("a") : .label("b"))
            })
        let tables = try Tables(policy) { $0 == "a" ? 1 : 2 }
        #expect(tables.size == .smallest)
    }
}
