import AddressPools
import Documents

/// The policies of a file with their pools and lists, compiled for answering.
///
/// Immutable: a reload replaces the whole value. No state is kept per name, so changing one policy moves all names that
/// it matches at once.
public final class AddressPolicies: Sendable {
    /// The policies, in the order in which they are evaluated.
    public let policies: [AddressPolicy]
    /// The pools by name, each with the addresses that may be handed out: without drained prefixes, and without the
    /// ends of prefixes where the file excludes them.
    public let pools: [(name: String, addresses: PrefixPool)]
    /// The number of distinct names in all lists.
    public var nameCount: Int { names.count }
    /// The memory that the table of names takes, in bytes.
    public var nameBytes: Int { names.size }

    let names: NameTable
    let classes: NameClasses
    let listNames: [String]
    /// The site of the server, if it has one.
    let site: String?
    /// Whether the answers of any policy depend on the client.
    let dependsOnClients: Bool

    // The query path reads only values without references: reference counting would cost more than everything else.

    /// The policies in compiled form, by index.
    let rules: [Rule]
    /// For each explicit name or suffix of a policy, its range in `entries`. Their ancestors have entries, too.
    let index: KeyTable<Range<Int32>>
    let entries: [NameEntry]
    /// The indices of the rules without names, suffixes and clients.
    let general: [Int]
    /// The rules for clients, without names and suffixes.
    let byClient: ClientRules
    /// The pools by family: two entries per pool, IPv4 first.
    let familyPools: [FamilyPool]
    /// The classes of names in lists of single names. Names in lists of suffixes are suffixes, and not explicit.
    let explicitClasses: NameClassSet
    /// The classes of names in lists of suffixes that policies answer for.
    let answeredSuffixes: NameClassSet
    /// The classes of names above listed names that exist, and above those that policies pass.
    let existing: NameClasses.Above, passed: NameClasses.Above
    /// The classes and clients that rules are restricted to; a rule refers to them by index.
    let classSets: [NameClassSet]
    let clientSets: [PrefixPool]

    /// - Parameters:
    ///   - drained: For each pool, the families all of whose addresses are drained; may be empty.
    ///   - suffixLists: The lists whose names match together with all names below.
    init(
        policies: [AddressPolicy], pools: [(name: String, addresses: PrefixPool)], drained: [FamilySet] = [],
        names: NameTable, classes: NameClasses, listNames: [String], suffixLists: Set<Int> = [], site: String?
    ) {
        self.policies = policies
        self.pools = pools
        self.names = names
        self.classes = classes
        self.listNames = listNames
        self.site = site
        dependsOnClients = policies.contains(where: \.dependsOnClient)
        familyPools = pools.flatMap { pool in
            [.ipv4, .ipv6].map { family in FamilyPool(pool.addresses, family) }
        }
        let poolNumbers = Dictionary(uniqueKeysWithValues: zip(pools.map(\.name), pools.indices))
        let listNumbers = Dictionary(uniqueKeysWithValues: zip(listNames, listNames.indices))
        let classIndex = NameClasses.Index(classes)
        var compilation = Compilation()
        for policy in policies {
            let outcome: Outcome, drainedFamilies: FamilySet
            switch policy.outcome {
            case .pool(let name, let selection, let ttl):
                let pool = poolNumbers[name]!
                outcome = .pool(pool, selection, ttl: ttl)
                drainedFamilies = drained.isEmpty ? [] : drained[pool]
            case .pass: (outcome, drainedFamilies) = (.pass, [])
            case .refuse: (outcome, drainedFamilies) = (.refuse, [])
            case .nxdomain: (outcome, drainedFamilies) = (.nxdomain, [])
            }
            var sets: (own: NameClassSet, above: NameClassSet?)?
            if NameCondition.list.restricts(policy) {
                let list = policy.list.flatMap { listNumbers[$0] }
                let above = suffixLists.filter { list == nil || list == $0 }
                sets = (
                    classIndex.matching(list: list, attribute: policy.attribute),
                    above.isEmpty ? nil : classIndex.matching(lists: above, attribute: policy.attribute)
                )
            }
            compilation.add(policy, sets, outcome, drainedFamilies, isInForce: policy.isInForce(at: site))
        }
        func lists(where isIncluded: (AddressOutcome) -> Bool) -> Set<Int> {
            Set(
                listNames.indices.filter { list in
                    policies.contains { policy in
                        policy.isInForce(at: site) && isIncluded(policy.outcome)
                            && NameCondition.list.restricts(policy)
                            && (policy.list == nil || policy.list == listNames[list])
                    }
                })
        }
        let naming = lists(where: \.makesNamesExist)
        existing = classes.above(lists: naming)
        passed = classes.above(lists: lists { $0 == .pass })
        explicitClasses = classIndex.matching(
            lists: Set(listNames.indices).subtracting(suffixLists), attribute: nil)
        answeredSuffixes = classIndex.matching(lists: suffixLists.intersection(naming), attribute: nil)
        rules = compilation.rules
        general = compilation.general.filter { compilation.rules[$0].clients == nil }
        byClient = ClientRules(
            compilation.general.compactMap { rule in
                compilation.rules[rule].clients.map { (rule, compilation.clientSets[$0]) }
            })
        classSets = compilation.classSets
        clientSets = compilation.clientSets
        (index, entries) = compilation.index()
    }
}

extension AddressPolicies {
    enum Outcome: Sendable {
        case pool(Int, AddressSelection, ttl: UInt32)
        case pass
        case refuse
        case nxdomain
    }

    /// The entry of a name in a policy.
    struct NameEntry: Sendable {
        let rule: Int
        /// Whether it also covers all names below.
        let isSuffix: Bool
        /// Of ``isAncestor`` entries, whether the policies below only pass.
        var isPassed = false

        /// Whether it marks an ancestor of a policy's name, and belongs to no policy.
        var isAncestor: Bool { rule == .max }
    }

    /// Collects the compiled rules.
    private struct Compilation {
        var rules: [Rule] = []
        var general: [Int] = []
        var classSets: [NameClassSet] = []
        var clientSets: [PrefixPool] = []
        private var entries: [DNSName: [NameEntry]] = [:]
        /// The names that have an entry as ancestors of names that exist, or that policies pass.
        private var ancestors: [Bool: Set<DNSName>] = [:]

        mutating func add(
            _ policy: AddressPolicy, _ classes: (own: NameClassSet, above: NameClassSet?)?, _ outcome: Outcome,
            _ drained: FamilySet, isInForce: Bool
        ) {
            let number = rules.count
            if let classes {
                classSets.append(classes.own)
                if let above = classes.above { classSets.append(above) }
            }
            if let clients = policy.clients { clientSets.append(clients) }
            rules.append(
                Rule(
                    families: FamilySet(policy.families).subtracting(drained), named: FamilySet(policy.families),
                    outcome: outcome, answers: policy.answers,
                    classes: classes.map { $0.above == nil ? classSets.count - 1 : classSets.count - 2 },
                    classesAbove: classes?.above == nil ? nil : classSets.count - 1,
                    clients: policy.clients == nil ? nil : clientSets.count - 1))
            guard isInForce else { return }
            for (names, isSuffix) in [(policy.names, false), (policy.suffixes, true)] {
                for name in names {
                    entries[name, default: []].append(NameEntry(rule: number, isSuffix: isSuffix))
                    if policy.outcome == .nxdomain { continue }
                    let isPassed = policy.outcome == .pass
                    var ancestor = name.parent
                    while let name = ancestor, name != .root, ancestors[isPassed, default: []].insert(name).inserted {
                        entries[name, default: []].append(
                            NameEntry(rule: .max, isSuffix: true, isPassed: isPassed))
                        ancestor = name.parent
                    }
                }
            }
            if !NameCondition.names.restricts(policy) { general.append(number) }
        }

        func index() -> (KeyTable<Range<Int32>>, [NameEntry]) {
            var table = KeyTable<Range<Int32>>()
            var all: [NameEntry] = []
            var keys = NameKeys()
            for (name, entries) in entries {
                keys.read(name.wire.span, at: 0)
                let start = Int32(all.count)
                all += entries
                table[keys.last] = start..<Int32(all.count)
            }
            return (table, all)
        }
    }
}

/// The address families of a rule, as bits.
struct FamilySet: OptionSet, Sendable {
    let rawValue: UInt8

    static let ipv4 = FamilySet(rawValue: 1)
    static let ipv6 = FamilySet(rawValue: 2)

    init(rawValue: UInt8) { self.rawValue = rawValue }

    init(_ families: Set<IPFamily>) {
        self = families.reduce(into: []) { $0.insert($1 == .ipv4 ? .ipv4 : .ipv6) }
    }
}

/// The addresses of a pool in one family, prepared for draws.
struct FamilyPool: Sendable {
    /// The common case: a pool of one prefix.
    struct Single: Sendable {
        let first: UInt128
        /// The host bits, which a draw chooses.
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
