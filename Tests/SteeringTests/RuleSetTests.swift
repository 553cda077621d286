import KernelTestSupport
import Steering
import Testing

/// The program against the definition, on large policies of the kinds that classifiers find hard.
@Suite(.kernel)
struct RuleSetTests {
    /// What the reference matcher, which looks at every binding, can be asked in a few seconds.
    static let packets = ClassifierAgreementTests.pairs / 20

    @Test("The program agrees with the reference matcher on generated rule sets", arguments: RuleSets.allCases)
    func agreement(kind: RuleSets) async throws {
        let checked = try await withNetworkNamespace { try compare(kind, packets: Self.packets) }
        #expect(checked.pairs >= Self.packets)
        #expect(checked.outcomes["label", default: 0] > Self.packets / 20, "met only \(checked.outcomes)")
        #expect(checked.outcomes["none", default: 0] + checked.outcomes["pass", default: 0] > 0)
    }

    @Test("The same on rule sets that need larger programs, grown one into the other", arguments: [RuleSets.hostLists])
    func grown(kind: RuleSets) async throws {
        let checked = try await withNetworkNamespace {
            try compare(kind, packets: Self.packets / 5, sizes: [300, 20_000], outgrows: .smallest)
        }
        #expect(checked.pairs >= Self.packets / 5)
    }

    @Test("A rule set is the same on every run, has no conflict and both families", arguments: RuleSets.allCases)
    func reproducible(kind: RuleSets) throws {
        let bindings = kind.bindings(2000)
        #expect(bindings.count == 2000)
        #expect(bindings == kind.bindings(2000))
        #expect(bindings != kind.bindings(2000, seed: 2))
        #expect(Policy(bindings).count == 2000)
        try Policy(bindings).validate()
        #expect(Set(bindings.map(\.prefix.family)) == Set(IPFamily.allCases))
    }
}

/// Half of the labels have sockets; the others refuse.
private func compare(
    _ kind: RuleSets, packets: Int, sizes: [Int] = [30, 300, 3000], outgrows size: TableSize? = nil
) throws -> Agreement {
    let labels = 40
    var agreement = try Agreement(withSockets: (0..<labels / 2).map(RuleSets.label))
    var random = SeededGenerator(seed: 7)
    for size in sizes {
        let bindings = kind.bindings(size, labels: labels, seed: UInt64(size))
        let policy = Policy(bindings)
        try agreement.steering.apply(policy)
        let matcher = ReferenceMatcher(policy)
        for _ in 0..<(packets / sizes.count + 1) {
            let (transport, destination) = bindings.randomElement(using: &random)!.packet(around: &random)
            try agreement.check(Packet(transport, to: destination), policy, matcher)
        }
    }
    if let size {
        let memory = try agreement.steering.tables().memory
        try verify(memory > 2 * size.bytes, "\(memory) bytes of tables")
    }
    return agreement
}
