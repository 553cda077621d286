import AddressPools
import Documents

/// Policies with all that they refer to, compiled for answering: one value that is replaced as a whole.
///
/// Nothing here belongs to a name, so that changing one policy moves all names that it matches at once.
public final class AddressPolicies: Sendable {
    /// The policies, in order.
    public let policies: [AddressPolicy]
    /// The pools by name, as they may be handed out.
    public let pools: [(name: String, addresses: PrefixPool)]
    /// How many names the lists have.
    public var nameCount: Int { names.count }
    /// How many bytes they take in memory.
    public var nameBytes: Int { names.size }

    let names: NameTable
    let classes: NameClasses
    let listNames: [String]
    /// Whether any policy asks where a client is, or answers by it.
    let dependsOnClients: Bool

    // What queries meet has no references in it: counting them would take longer than all else.

    /// The policies, ready to be asked.
    let rules: [Rule]
    /// For each name that a policy says by itself, where its mentions are. Those above it have one that says so.
    let index: KeyTable<Range<Int32>>
    let mentions: [Mention]
    /// The rules without such names.
    let general: [Int]
    /// The pools of each family, two for each pool.
    let familyPools: [FamilyPool]
    /// What rules match, where they match not all: classes of names, clients.
    let classSets: [NameClassSet]
    let clientSets: [PrefixPool]

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
        familyPools = pools.flatMap { pool in
            [.ipv4, .ipv6].map { family in FamilyPool(pool.addresses, family) }
        }
        var compilation = Compilation()
        for policy in policies {
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
            compilation.add(
                policy, isConditional ? classes.matching(list: list, attribute: policy.attribute) : nil, outcome)
        }
        rules = compilation.rules
        general = compilation.general
        classSets = compilation.classSets
        clientSets = compilation.clientSets
        (index, mentions) = compilation.index()
    }
}

extension AddressPolicies {
    /// A policy, ready to be asked.
    struct Rule: Sendable {
        let families: FamilySet
        let outcome: Outcome
        /// The number of its set of classes, or of clients; nil for all.
        let classes: Int?
        let clients: Int?
    }

    enum Outcome: Sendable {
        case pool(Int, AddressSelection, ttl: UInt32)
        case pass
        case refuse
        /// A policy of another site.
        case absent
    }

    /// That a policy says a name.
    struct Mention: Sendable {
        let rule: Int
        /// Whether it is all names that end with it.
        let isSuffix: Bool

        /// That a policy says a name below it: no policy is of this number.
        static let below = Mention(rule: .max, isSuffix: true)
        var isBelow: Bool { rule == .max }
    }

    /// Rules in the making.
    private struct Compilation {
        var rules: [Rule] = []
        var general: [Int] = []
        var classSets: [NameClassSet] = []
        var clientSets: [PrefixPool] = []
        private var mentions: [DNSName: [Mention]] = [:]

        mutating func add(_ policy: AddressPolicy, _ classes: NameClassSet?, _ outcome: Outcome) {
            let number = rules.count
            if let classes { classSets.append(classes) }
            if let clients = policy.clients { clientSets.append(clients) }
            rules.append(
                Rule(
                    families: FamilySet(policy.families), outcome: outcome,
                    classes: classes == nil ? nil : classSets.count - 1,
                    clients: policy.clients == nil ? nil : clientSets.count - 1))
            if case .absent = outcome { return }
            for (names, isSuffix) in [(policy.names, false), (policy.suffixes, true)] {
                for name in names {
                    mentions[name, default: []].append(Mention(rule: number, isSuffix: isSuffix))
                    if case .pass = outcome { continue }
                    var ancestor = name.parent
                    while let name = ancestor, name != .root {
                        if mentions[name]?.contains(where: \.isBelow) != true {
                            mentions[name, default: []].append(.below)
                        }
                        ancestor = name.parent
                    }
                }
            }
            if policy.names.isEmpty, policy.suffixes.isEmpty { general.append(number) }
        }

        func index() -> (KeyTable<Range<Int32>>, [Mention]) {
            var table = KeyTable<Range<Int32>>()
            var all: [Mention] = []
            var keys = NameKeys()
            for (name, mentions) in mentions {
                keys.read(name.wire.span, at: 0)
                let start = Int32(all.count)
                all += mentions
                table[keys.last] = start..<Int32(all.count)
            }
            return (table, all)
        }
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

/// A pool's addresses of one family, as far as a draw needs them.
struct FamilyPool: Sendable {
    /// What nearly all pools are: one prefix.
    struct Single: Sendable {
        let first: UInt128
        /// The bits that a draw chooses.
        let mask: UInt128
    }

    let isEmpty: Bool
    let single: Single?
    let addresses: PrefixPool

    init(_ pool: PrefixPool, _ family: IPFamily) {
        addresses = PrefixPool(pool.prefixes.filter { $0.family == family })
        isEmpty = addresses.isEmpty
        if let prefix = addresses.prefixes.first, addresses.prefixes.count == 1 {
            single = Single(first: prefix.first.bits, mask: prefix.last.bits - prefix.first.bits)
        } else {
            single = nil
        }
    }
}
