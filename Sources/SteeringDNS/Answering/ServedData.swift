import AddressPools
import Documents

/// The zones and policies that answers are made of.
///
/// Immutable: a reload makes another value, which replaces this one.
public final class ServedData: Sendable {
    /// The policies.
    public let policies: AddressPolicies
    let zones: Zones
    /// Whether the network in EDNS client subnet (RFC 7871) counts as the client.
    public let usesClientSubnet: Bool
    let files: Files

    /// The files that the data was read from. Writing an offline zone reads them again.
    struct Files: Sendable {
        var zones: [(origin: DNSName, path: String)] = []
        var lists: [(name: String, path: String)] = []
        /// The identities of the list files when they were read; nil if a change could go unnoticed.
        var readLists: [FileIdentity]?
    }

    init(zones: Zones, policies: AddressPolicies, usesClientSubnet: Bool, files: Files) {
        self.zones = zones
        self.policies = policies
        self.usesClientSubnet = usesClientSubnet
        self.files = files
    }

    /// Returns counts of zero, with one element per policy.
    ///
    /// - Parameter byAddress: Whether to count per address, for pools of at most 65,536 addresses.
    /// - Returns: The counts, to be passed to ``Responder/respond(to:from:over:at:with:counting:into:)`` with this
    ///   value.
    public func counts(byAddress: Bool = false) -> AnswerCounts {
        var counts = AnswerCounts(policies: policies.policies.count)
        if byAddress {
            counts.byAddress = policies.pools.map { pool in
                Array(repeating: 0, count: pool.addresses.count <= 65_536 ? Int(pool.addresses.count) : 0)
            }
        }
        return counts
    }

    /// Returns whether a policy gives a name an address, of either family and for any client.
    func givesAddress(_ name: DNSName) -> Bool {
        var keys = NameKeys()
        keys.read(name.wire.span, at: 0)
        guard let encloser = zones.encloser(of: keys) else { return false }
        let facts = zones.facts[encloser]
        let question = AddressQuestion(
            nameClass: policies.names.nameClass(of: keys.last),
            encloserDepth: policies.depthOfExplicitName(above: keys, from: facts.depth) ?? facts.depth,
            zoneDepth: facts.zoneDepth)
        return facts.cut == nil && policies.givesAddresses(keys, question)
    }

    /// Adds to the counts of an answer's addresses. Wraps around, so `.max` subtracts one.
    func countAddresses(of answer: Responder.Answer, _ counts: inout AnswerCounts, by number: UInt64 = 1) {
        guard let policy = answer.policy, let first = answer.address,
            case .pool(let pool, _, _) = policies.outcome(of: policy), counts.byAddress?[pool].isEmpty == false
        else { return }
        let addresses = policies.pools[pool].addresses
        func count(_ address: IPAddress) {
            guard let index = addresses.index(of: address), index <= 65_535 else { return }
            counts.byAddress![pool][Int(index)] &+= number
        }
        guard policies.rules[policy].answers > 1,
            var draws = policies.draws(first.family, for: policy, seed: answer.seed)
        else { return count(first) }
        while let address = draws.next() { count(address) }
    }
}
