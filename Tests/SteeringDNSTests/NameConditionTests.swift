import AddressPools
import Testing

@testable import SteeringDNS

/// The conditions of name policies: what they match, cover and overlap agree.
@Suite struct NameConditionTests {
    private static let prefixes = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24", "2001:db8::/32"]
    private static let names = [
        "example.com", "a.example.com", "b.example.com", "x.a.example.com", "y.x.a.example.com",
    ]
    private static let attributes = ["color=red", "color=blue", "size=big"]

    private struct Query {
        let name: DNSName
        let question: AddressQuestion
    }

    private func policies(_ policies: [AddressPolicy], _ classes: NameClasses = NameClasses()) -> AddressPolicies {
        AddressPolicies(
            policies: policies, pools: [], names: .empty, classes: classes, listNames: ["first", "second"], site: "here"
        )
    }

    @Test(
        "a condition that does not hold is named, and its policy does not decide", arguments: NameCondition.allCases)
    func alone(condition: NameCondition) throws {
        var policy = AddressPolicy(name: "a", outcome: .pass)
        switch condition {
        case .site: policy.site = "elsewhere"
        case .names: policy.suffixes = [try DNSName("b.example.com")]
        case .list: policy.attribute = "color=red"
        case .types: policy.families = [.ipv6]
        case .clients: policy.clients = try PrefixPool("10.0.0.0/8")
        }
        let last = AddressPolicy(name: "default", outcome: .pass)
        let policies = policies([policy, last])
        let name = try DNSName("a.example.com")
        var keys = NameKeys()
        keys.read(name.wire.span, at: 0)
        let question = AddressQuestion(
            nameClass: .unlisted, families: .ipv4, client: try IPAddress("192.0.2.1"), depth: 3, encloserDepth: 2,
            zoneDepth: 2)
        #expect(policies.firstMatch(keys, question) == 1)
        #expect(policies.mismatch(0, name, question) == condition && policies.mismatch(1, name, question) == nil)
        #expect(NameCondition.allCases.filter { $0.restricts(policy) } == [condition])
        #expect(policy.covers(policy) && policy.overlaps(policy))
        #expect(last.covers(policy) && !policy.covers(last) && last.overlaps(policy) && policy.overlaps(last))
        #expect(policy.isUnconditional == (condition == .site) && last.isUnconditional)
    }

    /// A policy with each condition or without.
    private func policy(_ generator: inout ZoneGenerator) throws -> AddressPolicy {
        func some(_ choices: [String]) -> [String] {
            generator.flip() ? [] : (0..<generator.number(1...2)).map { _ in generator.pick(choices) }
        }
        let prefixes = some(Self.prefixes)
        return AddressPolicy(
            name: "random", names: try some(Self.names).map { try DNSName($0) },
            suffixes: try some(Self.names).map { try DNSName($0) }, list: some(["first", "second"]).first,
            attribute: some(Self.attributes).first,
            families: generator.pick([[.ipv4], [.ipv6], [.ipv4, .ipv6]]),
            clients: prefixes.isEmpty ? nil : PrefixPool(try prefixes.map { try IPPrefix($0) }),
            site: some(["here", "elsewhere"]).first, outcome: .pass)
    }

    @Test("a policy that covers another one matches all its queries; policies that do not overlap share none")
    func agreement() throws {
        var generator = ZoneGenerator(seed: 1)
        var classes = NameClasses()
        // A name has one value of each attribute, as `overlaps` takes for granted.
        var kinds: [NameClass] = [.unlisted, try classes.nameClass(of: .init(listsBelow: [0]))]
        for list in 0...1 {
            for attributes in [[], ["color=red"], ["color=blue"], ["color=red", "size=big"], ["size=big"]] {
                kinds.append(try classes.nameClass(of: .init(memberships: [.init(list: list, attributes: attributes)])))
            }
        }
        let queries = try Self.names.flatMap { name in
            try kinds.flatMap { kind in
                try ["10.1.2.3", "10.2.0.0", "192.0.2.9", "2001:db8::1", "203.0.113.1"].flatMap { client in
                    try [FamilySet.ipv4, .ipv6].map { families in
                        Query(
                            name: try DNSName(name),
                            question: AddressQuestion(
                                nameClass: kind, families: families, client: try IPAddress(client),
                                depth: try DNSName(name).labelCount, encloserDepth: 2, zoneDepth: 2))
                    }
                }
            }
        }
        var covered = 0, apart = 0, matched = 0
        for _ in 0..<400 {
            let pair = [try policy(&generator), try policy(&generator)]
            let policies = policies(pair, classes)
            let covers = pair[0].covers(pair[1]), overlaps = pair[0].overlaps(pair[1])
            #expect(overlaps == pair[1].overlaps(pair[0]))
            covered += covers ? 1 : 0
            apart += overlaps ? 0 : 1
            guard covers || !overlaps else { continue }
            for query in queries where policies.mismatch(1, query.name, query.question) == nil {
                matched += 1
                let matchesBoth = policies.mismatch(0, query.name, query.question) == nil
                if matchesBoth != covers { Issue.record("\(pair) \(query)") }
            }
        }
        #expect(covered > 2 && apart > 60 && matched > 1_000, "\(covered) \(apart) \(matched)")
    }
}
