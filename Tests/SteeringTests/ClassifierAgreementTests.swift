import Glibc
import KernelTestSupport
import Steering
import Testing

/// The program against the definition: random policies, random packets, BPF_PROG_TEST_RUN.
@Suite(.kernel)
struct ClassifierAgreementTests {
    /// 100,000 pairs here; `scripts/test --pairs 5000000` asks for more.
    static let pairs = getenv("STEERING_PAIRS").flatMap { Int(String(cString: $0)) } ?? 100_000  // of each form

    @Test(
        "The program agrees with the reference matcher on random policies and packets", arguments: Tables.Form.allCases)
    func agreement(form: Tables.Form) async throws {
        let seed: UInt64 = form == .dense ? 1 : 2
        let checked = try await withNetworkNamespace { try compare(pairs: Self.pairs, seed: seed, form) }
        #expect(checked.pairs >= Self.pairs)
        // Every kind of outcome was met, or the comparison shows nothing.
        #expect(checked.outcomes.count == 4, "met only \(checked.outcomes)")
    }

    @Test("The same for the programs of larger tables", arguments: TableSize.allCases.dropFirst())
    func larger(size: TableSize) async throws {
        let checked = try await withNetworkNamespace {
            let object = try BPFObject.compiled(Self.indexIsPort)
            try shell("ip link add eth0 type veth peer name eth1")
            return try compare(pairs: Self.pairs / 5, seed: 5, .dense, withConditions: object, size)
        }
        #expect(checked.pairs >= Self.pairs / 5)
        #expect(checked.outcomes.count == 7, "met only \(checked.outcomes)")
    }

    /// A test run has no ingress interface: this build takes the source port for its index.
    private static let indexIsPort = "-D'INGRESS_INTERFACE(ctx)=bpf_ntohs((ctx)->remote_port)'"

    @Test(
        "The same where sources and interfaces decide", arguments: Tables.Form.allCases)
    func conditions(form: Tables.Form) async throws {
        let object = try BPFObject.compiled(Self.indexIsPort)
        let checked = try await withNetworkNamespace {
            try shell("ip link add eth0 type veth peer name eth1")
            return try compare(pairs: Self.pairs, seed: form == .dense ? 3 : 4, form, withConditions: object)
        }
        #expect(checked.pairs >= Self.pairs)
        #expect(checked.outcomes.count == 7, "met only \(checked.outcomes)")
    }
}

private func compare(
    pairs: Int, seed: UInt64, _ form: Tables.Form, withConditions object: [UInt8]? = nil,
    _ size: TableSize = .smallest
) throws -> Agreement {
    let labels: [Label] = ["a", "b", "c", "d", "without"]
    let interfaces: [InterfaceName] = ["lo", "eth0", "eth1"]
    var agreement = try Agreement(withSockets: labels.dropLast(), object: object, size: size)
    var policies = RandomPolicies(seed: seed, labels: labels, conditions: object != nil, interfaces: interfaces)
    while agreement.pairs < pairs {
        let policy = policies.policy(bindings: Int.random(in: 1...24, using: &policies.random))
        try agreement.steering.apply(policy, as: form)
        let matcher = ReferenceMatcher(policy)
        for _ in 0..<500 {
            var packet = policies.packet(near: policy)
            if let source = packet.source, let interface = packet.interface {
                packet.source = SocketAddress(source.address, port: UInt16(if_nametoindex(interface.name)))
            }
            try agreement.check(packet, policy, matcher)
        }
    }
    return agreement
}
