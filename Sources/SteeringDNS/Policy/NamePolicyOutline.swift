import AddressPools
import Documents

/// What a policy file says of names at first sight: the pools that they are answered from, and the files that it
/// names. Zones and lists are not read, so this takes no time even where a list has millions of names.
package struct NamePolicyOutline: Sendable {
    /// A pool that policies answer from.
    package struct AnsweredPool: Sendable {
        package let pool: NamedPools.Pool
        /// The addresses that policies may answer with, at whatever site.
        package let answers: PrefixPool
        /// How many seconds an answer is kept by whoever has asked, at most.
        package let ttl: UInt32
    }

    /// The pools of the document, whether anything is answered from them or not.
    package let pools: NamedPools
    /// Those that policies answer from, in the order of the document; empty where it has no names.
    package let answered: [AnsweredPool]
    /// The files of prefixes and of zones that it names. Lists of names are not among them.
    package let files: [String]

    /// Reads a policy file, of which `names` may be missing.
    package init(contentsOf path: String) throws(DocumentError) {
        let source = Source(name: path), directory = InputFile.directory(of: path)
        let root = try Document.root(
            of: try InputFile.contents(of: path), Document.format(of: path), in: source,
            empty: "write pools, names and bindings")
        let file = try Mapping(root, "a policy", keys: NamePolicyDecoder.documentKeys, in: source)
        guard file["names"] != nil else {
            pools = try NamedPools(of: file["pools"], in: source, directory: directory)
            answered = []
            files = Self.files(of: pools)
            return
        }
        let draft = try NamePolicyDecoder(source: source, directory: directory).draft(of: root)
        pools = draft.pools
        answered = draft.pools.pools.compactMap { Self.answered($0, by: draft.policies.map(\.policy)) }
        files = Self.files(of: draft.pools) + draft.zones.map(\.path)
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

    private static func files(of pools: NamedPools) -> [String] {
        pools.pools.flatMap { [$0.prefixesFile, $0.drainedFile].compactMap(\.self) }
    }
}

extension IPPrefix {
    /// The first address of another.
    fileprivate init(first prefix: IPPrefix) {
        self.init(masking: prefix.first, length: prefix.family.bitWidth)
    }
}
