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
    /// Faults in the files that keep nothing from being served, one sentence each: the place, the fault and the remedy.
    ///
    /// At most ``mostWarnings`` per zone, and one that says how many more there are.
    public let warnings: [String]
    let files: Files

    /// The name of a list that was read from standard input, which cannot be read again; nil if there is none.
    package var listFromStandardInput: String? { files.lists.first { $0.path == "-" }?.name }

    /// The files that the data was read from. Writing an offline zone reads them again.
    struct Files: Sendable {
        var zones: [(origin: DNSName, path: String)] = []
        /// The files that zone files include.
        var includedZones: [String] = []
        var lists: [(name: String, path: String)] = []
        /// The identities of the list files when they were read; nil if a change could go unnoticed.
        var readLists: [FileIdentity]?
        /// How many names each list has.
        var summaries: [NameListSummary] = []
    }

    init(zones: Zones, policies: AddressPolicies, usesClientSubnet: Bool, files: Files, warnings: [String] = []) {
        self.zones = zones
        self.policies = policies
        self.usesClientSubnet = usesClientSubnet
        self.files = files
        self.warnings = warnings
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

    /// Adds to the counts of an answer's addresses. Wraps around, so `.max` subtracts one.
    func countAddresses(of answer: Responder.Answer, _ counts: inout AnswerCounts, by number: UInt64 = 1) {
        guard let policy = answer.policy, case .pool(let pool, _, _) = policies.outcome(of: policy),
            counts.byAddress?[pool].isEmpty == false
        else { return }
        let addresses = policies.pools[pool].addresses
        forEachAddress(of: answer) { address in
            guard let index = addresses.index(of: address), index <= 65_535 else { return }
            counts.byAddress![pool][Int(index)] &+= number
        }
    }

    /// Calls a closure with each address that a policy gave an answer, in order.
    func forEachAddress(of answer: Responder.Answer, _ body: (IPAddress) -> Void) {
        guard let policy = answer.policy, let first = answer.address else { return }
        guard policies.rules[policy].answers > 1,
            var draws = policies.draws(first.family, for: policy, seed: answer.seed)
        else { return body(first) }
        while let address = draws.next() { body(address) }
    }
}

// MARK: - Warnings

extension ServedData {
    /// The largest number of warnings about one zone.
    public static let mostWarnings = 1_000

    /// Returns the same data with warnings.
    func with(warnings: [String]) -> ServedData {
        ServedData(
            zones: zones, policies: policies, usesClientSubnet: usesClientSubnet, files: files, warnings: warnings)
    }

    /// Returns the warnings about zones, without those about names that policies or other zones give an address.
    func warnings(of zones: [CheckedZone]) -> [String] {
        var lookup = Lookup(FastGenerator())
        return zones.flatMap { zone in
            let warnings = zone.warnings { lookup.hasAddress($0, self) }
            let shown = warnings.prefix(Self.mostWarnings).map(\.description)
            let rest = warnings.count - shown.count
            if rest == 0 { return shown }
            return shown + ["\(zone.origin): \(rest) more warnings are not shown; remedy these first"]
        }
    }
}
