import AddressPools
import SteeringDNS

/// The policies of a search: which names have which of k addresses, so that an attack on a name shows in which part of the
/// names it is.
///
/// The first round takes `select: name`: k addresses, and a name's is the one that its hash says. That needs no list of
/// the names, be they 20 million. But the same hash would put the names of one slice together again, whatever address
/// they get, so it cannot part them further. The next rounds write the names that are still suspected to a list, each
/// with its slice for an attribute, and have a policy for each slice, which leads to a pool of one address. By then they
/// are few. All other names go to an address of their own.
struct SlicePolicies: Sendable {
    /// How many slices there are.
    let count: Int
    private let ttl: Int
    private let folder: PolicyFolder
    private let slices: PrefixPool
    /// All addresses: those of the slices come first.
    let addresses: AddressNumbers

    /// The address of all names before the search, and of those that are not suspected in it, by number.
    var before: Int { count }
    var rest: Int { count + 1 }

    private static let beforePrefix = "203.0.113.1/32", restPrefix = "203.0.113.2/32"
    /// More policies would make each answer slow.
    static let largestCount = 1_024

    init(count: Int, ttl: Int) throws {
        self.count = count
        self.ttl = ttl
        folder = try PolicyFolder()
        slices = try PrefixPool(parsing: (0..<count).map(Self.prefix))
        addresses = try AddressNumbers(
            PrefixPool(slices.prefixes + PrefixPool(Self.beforePrefix, Self.restPrefix).prefixes))
    }

    /// Of the network for benchmarks (RFC 2544).
    private static func prefix(_ slice: Int) -> String { "198.18.\(slice >> 8).\(slice & 255)/32" }

    /// All names at one address.
    func beforeSearch() throws -> Serving {
        try serving(
            pools: ["before: \(Self.beforePrefix)"], policies: [], "{ name: default, pool: before, ttl: \(ttl) }")
    }

    /// All names in slices, by their hashes.
    func byHash() throws -> Serving {
        try serving(
            pools: ["slices: [\(slices)]"], policies: [],
            "{ name: default, pool: slices, select: name, ttl: \(ttl) }")
    }

    /// Suspected names, by rank, in slices that are of one size.
    func byList(_ suspects: [Int]) throws -> Serving {
        var list = ""
        for (index, rank) in suspects.enumerated() {
            list += "n\(rank).\(Authority.origin) slice=\(index % count)\n"
        }
        try folder.write(list, to: "suspects.txt")
        let used = 0..<min(count, suspects.count)
        return try serving(
            pools: ["rest: \(Self.restPrefix)"] + used.map { "slice-\($0): \(Self.prefix($0))" },
            policies: used.map {
                "{ name: slice-\($0), list: suspects, attribute: slice=\($0), pool: slice-\($0), ttl: \(ttl) }"
            },
            "{ name: default, pool: rest, ttl: \(ttl) }")
    }

    private func serving(pools: [String], policies: [String], _ last: String) throws -> Serving {
        let lists = policies.isEmpty ? "" : "\n  lists: { suspects: suspects.txt }"
        return try folder.serving(
            """
            pools:
            \(pools.map { "  \($0)" }.joined(separator: "\n"))
            names:
              zones: [example.com.zone]\(lists)
              policies:
            \((policies + [last]).map { "    - \($0)" }.joined(separator: "\n"))
            """)
    }
}
