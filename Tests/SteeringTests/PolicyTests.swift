import KernelTestSupport
import Steering
import Testing

@Suite
struct PolicyTests {
    private func binding(
        _ protocols: ProtocolMatch, _ prefix: String, _ ports: String, _ outcome: Outcome
    ) throws -> Binding {
        try Binding(protocols, to: IPPrefix(prefix), ports: PortSet(ports), outcome)
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

    @Test("Bindings stand in their natural order, each once")
    func naturalOrder() {
        var policies = RandomPolicies(seed: 11, labels: ["a", "b"])
        for _ in 0..<50 {
            let bindings = policies.policy(bindings: 40).bindings
            #expect(bindings == bindings.sorted() && Set(bindings).count == bindings.count)
            #expect(Policy((bindings + bindings).shuffled(using: &policies.random)).bindings == bindings)
        }
    }

    @Test("However it came about, a policy of the same bindings is the same")
    func oneForm() {
        var policies = RandomPolicies(seed: 12, labels: ["a", "b", "c", "d"])
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

    @Test("Precedence: longer prefix, then fewer ports, then one protocol")
    func precedence() throws {
        let ascending = [
            try binding(.both, "0.0.0.0/0", "all", .refuse), try binding(.tcp, "0.0.0.0/0", "all", .refuse),
            try binding(.both, "0.0.0.0/0", "1-100", .refuse), try binding(.both, "192.0.2.0/24", "all", .refuse),
            try binding(.both, "192.0.2.0/24", "80,443", .refuse), try binding(.udp, "192.0.2.0/24", "80,443", .refuse),
            try binding(.both, "192.0.2.0/24", "0", .refuse), try binding(.tcp, "192.0.2.7/32", "all", .refuse),
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
        ]).validate()
    }

    @Test("The sweep finds a conflict exactly where trying every pair does")
    func sweepAgreesWithPairs() throws {
        var random = SeededGenerator(seed: 7)
        var conflicts = 0
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
                    [.refuse, .pass, .label("a")].randomElement(using: &random)!)
            }
            let expected = bindings.contains { one in
                bindings.contains { other in
                    one.precedence == other.precedence && one.outcome != other.outcome
                        && one.ports.overlaps(other.ports)
                        && TransportProtocol.allCases.contains {
                            one.protocols.contains($0) && other.protocols.contains($0)
                        }
                }
            }
            let found = (try? Policy(bindings).validate()) == nil
            #expect(found == expected, "\(bindings)")
            conflicts += found ? 1 : 0
        }
        #expect(conflicts > 300 && conflicts < 2700, "\(conflicts) of 3000: the sample shows little")
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
