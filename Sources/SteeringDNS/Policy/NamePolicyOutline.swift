import AddressPools
import Documents

/// The pools and files that a policy file refers to.
///
/// Zones and lists are not read, so this is fast even if a list has millions of names.
package struct NamePolicyOutline: Sendable {
    /// A pool that policies answer from.
    package struct AnsweredPool: Sendable {
        package let pool: NamedPools.Pool
        /// The addresses that policies may answer with, at any site.
        package let answers: PrefixPool
        /// The highest TTL of the policies that answer from the pool, in seconds.
        package let ttl: UInt32
    }

    /// All pools of the document, including those that no policy answers from.
    package let pools: NamedPools
    /// The pools that policies answer from, in document order; empty without `names`.
    package let answered: [AnsweredPool]
    /// The files that the document includes, and the prefix and zone files that it refers to, without lists.
    package let files: [String]
    /// The files of drained prefixes, which may be missing.
    package let optionalFiles: [String]

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
            files = source.included + pools.pools.compactMap(\.prefixesFile)
            optionalFiles = pools.pools.compactMap(\.drainedFile)
            return
        }
        let draft = try NamePolicyDecoder(source: source, directory: directory).draft(of: root)
        pools = draft.pools
        answered = draft.pools.pools.compactMap { Self.answered($0, by: draft.policies.map(\.policy)) }
        files = source.included + pools.pools.compactMap(\.prefixesFile) + draft.zones.map(\.path)
        optionalFiles = pools.pools.compactMap(\.drainedFile)
    }

    private static func answered(_ pool: NamedPools.Pool, by policies: [AddressPolicy]) -> AnsweredPool? {
        var prefixes: [IPPrefix] = []
        var ttl: UInt32?
        for policy in policies {
            guard case .pool(pool.name, let selection, let seconds) = policy.outcome else { continue }
            ttl = max(ttl ?? 0, seconds)
            for family in policy.families {
                let own = pool.handedOut.restricted(to: family).prefixes
                prefixes += selection == .fixed ? own.first.map { [IPPrefix(first: $0)] } ?? [] : own
            }
        }
        return ttl.map { AnsweredPool(pool: pool, answers: PrefixPool(prefixes), ttl: $0) }
    }
}

extension IPPrefix {
    /// Makes the prefix of a prefix's first address alone.
    fileprivate init(first prefix: IPPrefix) {
        self.init(masking: prefix.first, length: prefix.family.bitWidth)
    }
}
