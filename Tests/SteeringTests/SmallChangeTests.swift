import KernelTestSupport
import Steering
import Testing

@testable import struct Steering.Compilation

/// Changes of a few bindings, which are written into the tables of the policy before.
@Suite(.kernel)
struct SmallChangeTests {
    static let packets = ClassifierAgreementTests.pairs / 50

    @Test(
        "Tables changed in place decide as the reference matcher does", arguments: RuleSets.allCases,
        Tables.Form.allCases)
    func agreement(kind: RuleSets, form: Tables.Form) async throws {
        let (agreement, inPlace, steps) = try await withNetworkNamespace { try change(kind, form) }
        #expect(agreement.pairs >= Self.packets)
        #expect(agreement.outcomes["label", default: 0] > Self.packets / 20, "met only \(agreement.outcomes)")
        #expect(inPlace * 2 > steps, "\(inPlace) of \(steps) changes were made in place: this shows little")
    }

    @Test("What former changes left unused is bounded")
    func garbage() throws {
        func number(_ label: Label) -> UInt32 { 1 }
        let bindings = RuleSets.scattered.bindings(200)
        var policy = Policy(bindings), hosts: [Binding] = []
        var compilation = try Compilation(policy, number: number)
        let clean = compilation.tables.words.count
        var wholes = 0
        for count in 0..<3000 {
            // All below one entry of the root, which is written anew each time.
            let host = IPPrefix(masking: IPAddress(ipv4: 0x0a00_0000 | UInt32(count)), length: 32)
            hosts.append(
                try Binding(bindings[0].protocols, to: host, ports: bindings[0].ports, bindings[0].outcome))
            policy.bind(hosts.last!)
            if hosts.count > 50 { policy.unbind(hosts.removeFirst()) }
            if try !compilation.change(to: policy, number: number) {
                compilation = try Compilation(policy, number: number)
                wholes += 1
            }
            try verify(compilation.tables.words.count < 2 * clean + 1000, "\(compilation.tables.words.count) words")
        }
        #expect(wholes > 0 && wholes < 100, "\(wholes) of 3,000 changes were compiled as a whole")
    }
}

/// Binds copies of bindings elsewhere, and unbinds them again; a few at a time.
private func change(
    _ kind: RuleSets, _ form: Tables.Form
) throws -> (agreement: Agreement, inPlace: Int, steps: Int) {
    let labels = 40, steps = 50
    var random = SeededGenerator(seed: 11)
    var agreement = try Agreement(withSockets: (0..<labels / 2).map(RuleSets.label))
    let bindings = kind.bindings(150, labels: labels, seed: 12)
    var policy = Policy(bindings), copies: [Binding] = [], inPlace = 0
    try agreement.steering.apply(policy, as: form)
    var compilation = try Compilation(policy, forms: [form], number: number)
    for _ in 0..<steps {
        var next = policy, changed: [Binding] = []
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            if copies.count > 10, Bool.random(using: &random) {
                changed.append(copies.remove(at: .random(in: copies.indices, using: &random)))
                next.unbind(changed.last!)
            } else {
                let copy = try copy(of: bindings.randomElement(using: &random)!, among: bindings, &random)
                guard !next.bindings.contains(copy) else { continue }
                next.bind(copy)
                // Conflicts are for other tests.
                guard (try? next.validate()) != nil else {
                    next.unbind(copy)
                    continue
                }
                changed.append(copy)
                copies.append(copy)
            }
        }
        policy = next
        try agreement.steering.update { $0 = next }
        if try compilation.change(to: policy, number: number) {
            inPlace += 1
        } else {
            compilation = try Compilation(policy, forms: [form], number: number)
        }
        let matcher = ReferenceMatcher(policy)
        for _ in 0...SmallChangeTests.packets / steps {
            let near = Bool.random(using: &random) ? changed.randomElement(using: &random) : nil
            let (transport, destination) = (near ?? bindings.randomElement(using: &random)!).packet(around: &random)
            try agreement.check(Packet(transport, to: destination), policy, matcher)
        }
    }
    return (agreement, inPlace, steps)
}

private func number(_ label: Label) -> UInt32 { UInt32(label.name.dropFirst("label-".count))! }

/// The same ports and outcome for another prefix: inside that of a binding, or around it.
private func copy(
    of binding: Binding, among others: [Binding], _ random: inout SeededGenerator
) throws -> Binding {
    let place = others.filter { $0.prefix.family == binding.prefix.family }.randomElement(using: &random)!.prefix
    let width = place.family.bitWidth
    let length = min(width, max(14, place.length + .random(in: -3...6, using: &random)))
    let address = PrefixPool([place]).randomAddress(using: &random)!
    return try Binding(
        binding.protocols, to: IPPrefix(masking: address, length: length), ports: binding.ports, binding.outcome)
}
