import AddressPools
import Documents

/// The pools and files that a policy file refers to.
///
/// Lists are not read, and zones only for the files that they include, so this is fast even if a list has millions of
/// names.
package struct NamePolicyOutline: Sendable {
    /// A pool that policies answer from.
    package struct AnsweredPool: Sendable {
        package let pool: NamedPools.Pool
        /// The addresses that policies may answer with, at any site.
        package let answers: PrefixPool
        /// The highest TTL of the policies that answer from the pool, in seconds.
        package let ttl: UInt32
        /// The families that another pool takes over if all of this one is drained, for each of its policies.
        package let replaced: Set<IPFamily>
    }

    /// All pools of the document, including those that no policy answers from.
    package let pools: NamedPools
    /// The pools that policies answer from, in document order; empty without `names`.
    package let answered: [AnsweredPool]
    /// The files of drained prefixes, which may be missing.
    package let optionalFiles: [String]
    /// The files that the document refers to, apart from zone files and lists.
    private let ownFiles: [String]
    private let zones: [String]

    /// The files that the document includes, those of prefixes and clients, and the zone files with what they include,
    /// without lists.
    package var files: [String] { ownFiles + zones.flatMap(ZoneFile.files(from:)) }

    /// Reads a policy file, in which `names` is optional.
    package init(contentsOf path: String) throws(DocumentError) {
        let directory = InputFile.directory(of: path)
        let (root, source) = try Document.whole(
            of: try InputFile.contents(of: path), Document.format(of: path), named: path, directory: directory,
            empty: "write pools, names and bindings")
        let file = try Mapping(root, "a policy", keys: Document.keys, in: source)
        guard file["names"] != nil else {
            pools = try NamedPools(of: file["pools"], in: source, directory: directory)
            answered = []
            zones = []
            ownFiles = source.included + pools.pools.compactMap(\.prefixesFile)
            optionalFiles = pools.pools.compactMap(\.drainedFile)
            return
        }
        var decoder = NamePolicyDecoder(source: source, directory: directory)
        let draft = try decoder.draft(of: root)
        pools = draft.pools
        let policies = draft.policies.map(\.policy)
        var byPool: [String: [Int]] = [:]
        for (number, policy) in policies.enumerated() {
            guard case .pool(let name, _, _) = policy.outcome else { continue }
            byPool[name, default: []].append(number)
        }
        answered = draft.pools.pools.compactMap {
            Self.answered($0, by: byPool[$0.name] ?? [], of: policies, draft.pools)
        }
        zones = draft.zones.map(\.path)
        ownFiles = source.included + pools.pools.compactMap(\.prefixesFile) + draft.clientFiles
        optionalFiles = pools.pools.compactMap(\.drainedFile)
    }

    private static func answered(
        _ pool: NamedPools.Pool, by numbers: [Int], of policies: [AddressPolicy], _ pools: NamedPools
    ) -> AnsweredPool? {
        var prefixes: [IPPrefix] = []
        var ttl: UInt32?
        for policy in numbers.map({ policies[$0] }) {
            guard case .pool(_, let selection, let seconds) = policy.outcome else { continue }
            ttl = max(ttl ?? 0, seconds)
            for family in policy.families {
                let own = pool.handedOut.restricted(to: family)
                prefixes +=
                    selection == .fixed
                    ? own.addresses.prefix(policy.answers).map { IPPrefix(masking: $0, length: family.bitWidth) }
                    : own.prefixes
            }
        }
        let replaced = Set(IPFamily.allCases).filter { family in
            numbers.allSatisfy { isReplaced($0, family, policies, pools) }
        }
        return ttl.map { AnsweredPool(pool: pool, answers: PrefixPool(prefixes), ttl: $0, replaced: replaced) }
    }

    /// Whether a policy for the same queries answers them from another pool while this one is passed over.
    private static func isReplaced(
        _ number: Int, _ family: IPFamily, _ policies: [AddressPolicy], _ pools: NamedPools
    ) -> Bool {
        var policy = policies[number]
        guard case .pool(let own, _, _) = policy.outcome, policy.families.contains(family) else { return true }
        policy.families = [family]
        for other in policies[(number + 1)...] where other.covers(policy) {
            guard case .pool(let name, _, _) = other.outcome else { return false }
            if name != own, let pool = pools[name], !pool.handedOut.restricted(to: family).isEmpty { return true }
        }
        return false
    }
}
