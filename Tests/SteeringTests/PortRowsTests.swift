import CSteering
import KernelTestSupport
import Testing

@testable import Steering

/// Rows and chains, before they become tables, against the definition.
@Suite
struct PortRowsTests {
    private func rows(_ policy: Policy) throws -> PortRows {
        try PortRows(policy.records) { outcome in
            switch outcome {
            case PolicyRecord.refuse: cell(kind: STEERING_VERDICT, 0)
            case PolicyRecord.pass: cell(kind: STEERING_VERDICT, 1)
            default: cell(kind: STEERING_LABEL_OR_PASS, outcome * 4)
            }
        }
    }

    /// What the program will do with them.
    private func outcome(_ rows: PortRows, _ policy: Policy, _ packet: Packet) -> Outcome? {
        let destination = packet.destination
        let key = destination.address.leadingBits
        let host = PortRows.NamedPrefix(
            key: key, family: destination.address.family, length: UInt8(destination.address.family.bitWidth), row: 0)
        let row = rows.prefixes.filter { $0.contains(host) }.max { $0.length < $1.length }?.row ?? 0
        var cell = rows.rows[Int(row)].spans(packet.transport).last { $0.start <= destination.port }!.cell
        while let number = Chain.number(of: cell) {
            let chain = rows.chains[number]
            let condition = policy.records.conditions.values[Int(chain.condition)]
            cell = condition.matches(packet) ? chain.cell : chain.otherwise
        }
        switch Int(cell >> UInt32(STEERING_CELL_SHIFT)) {
        case 0: return nil
        case STEERING_VERDICT: return cell & 1 == 0 ? .refuse : .pass
        default: return policy.records.outcome((cell & UInt32(STEERING_CELL_MASK)) / 4)
        }
    }

    @Test("Rows and chains agree with the reference matcher", arguments: [false, true])
    func agreement(conditions: Bool) throws {
        var policies = RandomPolicies(seed: 41, labels: ["a", "b", "c"], conditions: conditions)
        var conditional = 0
        for _ in 0..<300 {
            let policy = policies.policy(bindings: .random(in: 1...24, using: &policies.random))
            let rows = try rows(policy), matcher = ReferenceMatcher(policy)
            #expect(rows.chains.isEmpty || conditions)
            for _ in 0..<100 {
                var packet = policies.packet(near: policy)
                if Int.random(in: 0..<9, using: &policies.random) == 0 { packet.source = nil }
                if Int.random(in: 0..<9, using: &policies.random) == 0 { packet.interface = nil }
                let winner = matcher.winner(for: packet)
                #expect(outcome(rows, policy, packet) == winner?.outcome, "\(packet) \(policy.bindings)")
                conditional += winner?.condition.isNone == false ? 1 : 0
            }
        }
        #expect(conditions == (conditional > 5000), "\(conditional) of 30,000 were decided by a condition")
    }

    @Test("Chains are named, end, are distinct, and have no link that cannot matter")
    func form() throws {
        var policies = RandomPolicies(seed: 42, labels: ["a", "b"], conditions: true)
        var longest = 0
        for _ in 0..<200 {
            let policy = policies.policy(bindings: 30)
            let rows = try rows(policy), conditions = policy.records.conditions.values
            var named = Set(rows.chains.compactMap { Chain.number(of: $0.otherwise) })
            for row in rows.rows {
                for span in row.tcp + row.udp { Chain.number(of: span.cell).map { _ = named.insert($0) } }
            }
            #expect(named == Set(rows.chains.indices))
            for (number, chain) in rows.chains.enumerated() {
                #expect(!rows.chains[..<number].contains(chain) && Chain.number(of: chain.cell) == nil)
                if let next = Chain.number(of: chain.otherwise) {
                    #expect(next < number && rows.chains[next].length + 1 == chain.length)
                } else {
                    #expect(chain.length == 1 && chain.otherwise != chain.cell)
                }
                let own = conditions[Int(chain.condition)]
                for later in rows.chainTable.links(of: chain.otherwise).links {
                    #expect(!own.contains(conditions[Int(later.condition)]))
                }
                longest = max(longest, chain.length)
            }
        }
        #expect(longest > 5, "the longest has \(longest) links: the sample shows little")
    }

    @Test("Bindings that say what others say anyway make no chains")
    func needless() throws {
        let address = try IPPrefix("192.0.2.0/24")
        func binding(_ length: Int, from source: String?, _ outcome: Outcome) throws -> Binding {
            try Binding(
                .tcp, to: IPPrefix(masking: address.first, length: length), ports: .all,
                from: source.map { try IPPrefix($0) }, outcome)
        }
        let all = try binding(24, from: nil, .label("a")), same = try binding(24, from: "10.0.0.0/8", .label("a"))
        #expect(try rows(Policy([all, same])).chains.isEmpty)
        // An exception makes a chain; what is the same again below it does not, nor what an outer source has decided.
        let other = try binding(24, from: "10.0.0.0/8", .label("b")),
            inner = try binding(24, from: "10.1.0.0/16", .label("b"))
        #expect(try rows(Policy([all, other, inner])).chains.map(\.length) == [1])
        let outer = try binding(25, from: "10.0.0.0/8", .refuse), deep = try binding(24, from: "10.1.0.0/16", .pass)
        #expect(try rows(Policy([all, other, deep, outer])).chains.map(\.length).sorted() == [1, 1, 2])
        // Nobody is left for what is below.
        #expect(try rows(Policy([other, deep, try binding(25, from: nil, .pass)])).chains.map(\.length) == [1, 2])
    }

    @Test("A thousand sources of one prefix are a chain of a thousand links")
    func manySources() throws {
        let policy = try Policy(
            (0..<1000).map { number in
                try Binding(
                    .tcp, to: IPPrefix("192.0.2.0/24"), ports: [80],
                    from: IPPrefix("10.\(number / 256).\(number % 256).0/24"), .refuse)
            })
        #expect(try rows(policy).chains.map(\.length).max() == 1000)
        #expect(try rows(policy).chains.count == 1000)
    }
}
