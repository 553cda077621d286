import AddressPools
import Documents

/// Everything that answers are made of: zones and policies. Immutable; a reload makes another and puts it in its place.
public final class Serving: Sendable {
    /// The policies.
    public let policies: AddressPolicies
    let zones: Zones
    /// Whether the network that EDNS tells of a client counts as the client (RFC 7871).
    public let usesClientSubnet: Bool
    let files: Files

    /// Where all of it was read: who writes it off-line reads names and records there again.
    struct Files: Sendable {
        var zones: [(origin: DNSName, path: String)] = []
        var lists: [(name: String, path: String)] = []
        /// What the lists were when they were read; nil where that cannot be known.
        var readLists: [FileIdentity]?
    }

    init(zones: Zones, policies: AddressPolicies, usesClientSubnet: Bool, files: Files) {
        self.zones = zones
        self.policies = policies
        self.usesClientSubnet = usesClientSubnet
        self.files = files
    }

    /// Counts at zero.
    public func counts(byAddress: Bool = false) -> AnswerCounts {
        var counts = AnswerCounts(policies: policies.policies.count)
        if byAddress {
            counts.byAddress = policies.pools.map { pool in
                Array(repeating: 0, count: pool.addresses.count <= 65_536 ? Int(pool.addresses.count) : 0)
            }
        }
        return counts
    }

    /// Adds to the count of an address; wrapping around, so that all bits set take one away.
    func countAddress(_ address: IPAddress, _ policy: Int, _ counts: inout AnswerCounts, by number: UInt64 = 1) {
        guard case .pool(let pool, _, _) = policies.outcome(of: policy),
            let index = policies.pools[pool].addresses.index(of: address), index <= 65_535,
            counts.byAddress?[pool].isEmpty == false
        else { return }
        counts.byAddress![pool][Int(index)] &+= number
    }
}
