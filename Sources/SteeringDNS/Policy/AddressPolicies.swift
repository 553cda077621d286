import AddressPools
import Documents

/// Policies with all that they refer to, compiled for answering: one value that is replaced as a whole.
///
/// Nothing here belongs to a name, so that changing one policy moves all names that it matches at once.
public struct AddressPolicies: Sendable {
    /// The policies, in order.
    public let policies: [AddressPolicy]
    /// The pools by name, as they may be handed out.
    public let pools: [(name: String, addresses: PrefixPool)]
    /// How many names the lists have.
    public var nameCount: Int { names.count }
    /// How many bytes they take in memory.
    public var nameBytes: Int { names.size }

    let familyPools: [FamilyPools]
    let names: NameTable
    /// Whether any policy asks where a client is, or answers by it.
    let dependsOnClients: Bool
    let classes: NameClasses
    let listNames: [String]
    let rules: [Rule]
    /// For each name that a policy says by itself: the policies, and whether it is all of the name or the end. For those
    /// above it, none.
    let index: KeyTable<[Mention]>
    /// The rules without such names.
    let general: [Int]

    struct Mention {
        let rule: Int
        let isSuffix: Bool
    }

    /// A policy, ready to be asked.
    struct Rule: Sendable {
        let classes: NameClassSet?
        let families: FamilySet
        let clients: PrefixPool?
        let outcome: Outcome
    }

    enum Outcome: Sendable {
        case pool(Int, AddressSelection, ttl: UInt32)
        case pass
        case refuse
        /// A policy of another site.
        case absent
    }
}

/// The families of a rule, as bits.
struct FamilySet: OptionSet, Sendable {
    let rawValue: UInt8

    static let ipv4 = FamilySet(rawValue: 1)
    static let ipv6 = FamilySet(rawValue: 2)

    init(rawValue: UInt8) { self.rawValue = rawValue }

    init(_ families: Set<IPFamily>) {
        self = families.reduce(into: []) { $0.insert($1 == .ipv4 ? .ipv4 : .ipv6) }
    }
}

extension AddressPolicies {
    /// A pool's addresses of each family, since a query asks for one.
    struct FamilyPools: Sendable {
        let ipv4, ipv6: PrefixPool

        init(_ pool: PrefixPool) {
            ipv4 = PrefixPool(pool.prefixes.filter { $0.family == .ipv4 })
            ipv6 = PrefixPool(pool.prefixes.filter { $0.family == .ipv6 })
        }
    }

    init(
        policies: [AddressPolicy], pools: [(name: String, addresses: PrefixPool)], names: NameTable,
        classes: NameClasses, listNames: [String], site: String?
    ) {
        self.policies = policies
        self.pools = pools
        self.names = names
        self.classes = classes
        self.listNames = listNames
        dependsOnClients = policies.contains { policy in
            if case .pool(_, .client, _) = policy.outcome { return true }
            return policy.clients != nil
        }
        familyPools = pools.map { FamilyPools($0.addresses) }
        var index = KeyTable<[Mention]>()
        var general: [Int] = []
        var rules: [Rule] = []
        var keys = NameKeys()
        for (number, policy) in policies.enumerated() {
            let list = policy.list.flatMap { listNames.firstIndex(of: $0) }
            let isConditional = policy.list != nil || policy.attribute != nil
            let outcome: Outcome =
                switch policy.outcome {
                case _ where policy.site != nil && policy.site != site: .absent
                case .pool(let name, let selection, let ttl):
                    .pool(pools.firstIndex { $0.name == name }!, selection, ttl: ttl)
                case .pass: .pass
                case .refuse: .refuse
                }
            rules.append(
                Rule(
                    classes: isConditional ? classes.matching(list: list, attribute: policy.attribute) : nil,
                    families: FamilySet(policy.families), clients: policy.clients, outcome: outcome))
            if case .absent = outcome { continue }
            for (names, isSuffix) in [(policy.names, false), (policy.suffixes, true)] {
                for name in names {
                    keys.read(name.wire.span, at: 0)
                    index[keys.last] = (index[keys.last] ?? []) + [Mention(rule: number, isSuffix: isSuffix)]
                    if case .pass = outcome { continue }
                    for depth in 1..<max(1, keys.depth) where index[keys.keys[depth]] == nil {
                        index[keys.keys[depth]] = []
                    }
                }
            }
            if policy.names.isEmpty, policy.suffixes.isEmpty { general.append(number) }
        }
        self.rules = rules
        self.index = index
        self.general = general
    }

}
