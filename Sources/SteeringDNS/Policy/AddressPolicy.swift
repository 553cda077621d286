import AddressPools

/// A rule that gives queries their addresses: what it matches, and what is answered.
///
/// Policies are ordered, and the first that matches a query decides. All conditions of one must hold.
public struct AddressPolicy: Sendable, Hashable {
    /// What the policy is called, in metrics and explanations: unique.
    public var name: String
    /// Names that match exactly; beside ``suffixes``, either will do. Without any of both, every name matches.
    public var names: [DNSName]
    /// Names that match, and with them all names below.
    public var suffixes: [DNSName]
    /// The list that must have the name, by its name.
    public var list: String?
    /// What the name must have in that list, or in any: such as `account=free`.
    public var attribute: String?
    /// The families that may be asked for: A is IPv4, AAAA is IPv6.
    public var families: Set<IPFamily>
    /// Where the client, or the network that EDNS tells of it, must be; nil for anywhere.
    public var clients: PrefixPool?
    /// The site of the server; nil for all.
    public var site: String?
    /// What is answered.
    public var outcome: AddressOutcome
    /// Whether no other policy, the last aside, may match a query that this one matches.
    public var isExclusive: Bool

    /// Makes a policy; without conditions it matches all queries.
    public init(
        name: String, names: [DNSName] = [], suffixes: [DNSName] = [], list: String? = nil, attribute: String? = nil,
        families: Set<IPFamily> = [.ipv4, .ipv6], clients: PrefixPool? = nil, site: String? = nil,
        outcome: AddressOutcome, isExclusive: Bool = false
    ) {
        self.name = name
        self.names = names
        self.suffixes = suffixes
        self.list = list
        self.attribute = attribute
        self.families = families
        self.clients = clients
        self.site = site
        self.outcome = outcome
        self.isExclusive = isExclusive
    }

    /// Whether it matches every query of every client, at its site.
    var isUnconditional: Bool {
        names.isEmpty && suffixes.isEmpty && list == nil && attribute == nil && clients == nil && families.count == 2
    }
}

/// What a policy answers.
public enum AddressOutcome: Sendable, Hashable {
    /// An address of a pool, which the policies have by its name.
    case pool(String, AddressSelection, ttl: UInt32)
    /// What the zone says, as if there were no policies.
    case pass
    /// REFUSED.
    case refuse
}

/// How an address is taken from a pool.
public enum AddressSelection: String, Sendable, Hashable, CaseIterable, CustomStringConvertible {
    /// At random for each query, all addresses alike.
    case random
    /// By the name: the same name always has the same address, on all servers, as long as the pool stays.
    case name
    /// By the client's network, a /24 or a /56: the same client always has the same address.
    case client
    /// The pool's first address.
    case fixed

    /// "random", "name", "client" or "fixed".
    public var description: String { rawValue }
}
