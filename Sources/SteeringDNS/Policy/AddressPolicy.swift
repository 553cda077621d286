import AddressPools

/// A rule that decides the addresses of queries: conditions and an outcome.
///
/// Policies are ordered; the first one that matches a query decides. All conditions of a policy must hold.
public struct AddressPolicy: Sendable, Hashable {
    /// The policy's unique name, shown in metrics and explanations.
    public var name: String
    /// Names that match exactly.
    ///
    /// A query matches by these or by ``suffixes``; if both are empty, every name matches.
    public var names: [DNSName]
    /// Names that match together with all names below them.
    public var suffixes: [DNSName]
    /// The name of the list that the query's name must be in; nil for no condition.
    public var list: String?
    /// The attribute that the name must have in ``list``, or in any list if that is nil, such as `account=free`.
    public var attribute: String?
    /// The address families that match: IPv4 for A queries, IPv6 for AAAA queries.
    public var families: Set<IPFamily>
    /// The prefixes that the client must be in, or the client's network if EDNS client subnet is used; nil for all
    /// clients.
    public var clients: PrefixPool?
    /// The site at which the policy applies; nil for all sites.
    public var site: String?
    /// The answer to a query that matches.
    public var outcome: AddressOutcome
    /// The number of distinct addresses in an answer from a pool, from 1 to ``maximumAnswers``: fewer if the pool has
    /// fewer.
    public var answers: Int
    /// Whether ``NamePolicyFile`` refuses other policies that may match the same query, except an unconditional last
    /// one.
    public var isExclusive: Bool

    /// The highest number of addresses in an answer: with 16, most answers fit 512 bytes.
    public static let maximumAnswers = 16

    /// Makes a policy.
    ///
    /// Without conditions, it matches every query. Values are not checked here; the ranges below are those that
    /// ``NamePolicyFile`` accepts.
    ///
    /// - Parameters:
    ///   - name: The unique name: 1 to 64 visible ASCII characters except `"` and `\`.
    ///   - names: Names to match exactly.
    ///   - suffixes: Names to match together with all names below.
    ///   - list: The name of a list that must contain the query's name.
    ///   - attribute: An attribute, `key=value`, that the name must have in `list`, or in any list if that is nil.
    ///   - families: The address families to match.
    ///   - clients: The prefixes that the client must be in; nil for all clients.
    ///   - site: The site at which the policy applies; nil for all sites.
    ///   - outcome: The answer.
    ///   - answers: The number of distinct addresses in an answer from a pool, from 1 to ``maximumAnswers``.
    ///   - isExclusive: Whether an overlap with another policy, except an unconditional last one, is an error.
    public init(
        name: String, names: [DNSName] = [], suffixes: [DNSName] = [], list: String? = nil, attribute: String? = nil,
        families: Set<IPFamily> = [.ipv4, .ipv6], clients: PrefixPool? = nil, site: String? = nil,
        outcome: AddressOutcome, answers: Int = 1, isExclusive: Bool = false
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
        self.answers = answers
        self.isExclusive = isExclusive
    }
}

/// The answer of a policy.
public enum AddressOutcome: Sendable, Hashable {
    /// An address drawn from a pool, given by its name, with a TTL in seconds: 0 to 604,800 (one week) in a policy
    /// file.
    ///
    /// For a family all of whose addresses in the pool are drained, the policy does not match: a later one decides.
    case pool(String, AddressSelection, ttl: UInt32)
    /// The answer of the zone alone, as if there were no policies.
    case pass
    /// REFUSED. Types other than A and AAAA are refused only if both are.
    case refuse
    /// NXDOMAIN, for every type; NOERROR without records if the zone has the name, or names below it exist.
    case nxdomain
}

/// How an address is selected from a pool.
public enum AddressSelection: String, Sendable, Hashable, CaseIterable, CustomStringConvertible {
    /// A uniformly random address for each query.
    case random
    /// By hash of the name: the same address on every server, as long as the pool does not change.
    case name
    /// By hash of the client's network, a /24 or a /56: the same address for the same client, as long as the pool does
    /// not change.
    case client
    /// The first address of the pool in the family.
    case fixed

    /// The spelling in policy files: `random`, `name`, `client` or `fixed`.
    public var description: String { rawValue }
}
