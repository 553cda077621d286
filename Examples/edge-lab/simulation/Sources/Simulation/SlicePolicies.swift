import AddressPools
import SteeringDNS

/// The policies of a search.
///
/// They distribute names over k addresses, so that the attacked address shows which slice has the attacked name.
///
/// The first round uses `select: name`: the hash of a name selects one of k addresses. This needs no list of names,
/// even for 20 million of them. But the same hash would keep the names of a slice together, so it cannot divide a slice
/// further. Later rounds write the remaining suspects, by then few, to a list with the slice as an attribute, and have
/// one policy per slice with a pool of one address. All other names get a separate address.
struct SlicePolicies: Sendable {
    /// The number of slices.
    let count: Int
    private let ttl: Int
    private let folder: PolicyFolder
    private let slices: PrefixPool
    /// All addresses; those of the slices come first.
    let addresses: AddressNumbers

    /// The number of the address of all names before the search, and of names that are not suspected.
    var before: Int { count }
    var rest: Int { count + 1 }

    private static let beforePrefix = "203.0.113.1/32", restPrefix = "203.0.113.2/32"
    /// The maximum number of slices; more policies would make answers slow.
    static let largestCount = 1_024

    init(count: Int, ttl: Int) throws {
        self.count = count
        self.ttl = ttl
        folder = try PolicyFolder()
        slices = try PrefixPool(parsing: (0..<count).map(Self.prefix))
        addresses = try AddressNumbers(
            PrefixPool(slices.prefixes + PrefixPool(Self.beforePrefix, Self.restPrefix).prefixes))
    }

    /// Returns the prefix of a slice, from the network for benchmarks (RFC 2544).
    private static func prefix(_ slice: Int) -> String { "198.18.\(slice >> 8).\(slice & 255)/32" }

    /// Returns a policy with all names at one address.
    func beforeSearch() throws -> ServedData {
        try serving(
            pools: ["before: \(Self.beforePrefix)"], policies: [], "{ name: default, pool: before, ttl: \(ttl) }")
    }

    /// Returns a policy that divides all names into slices by their hashes.
    func byHash() throws -> ServedData {
        try serving(
            pools: ["slices: [\(slices)]"], policies: [],
            "{ name: default, pool: slices, select: name, ttl: \(ttl) }")
    }

    /// Returns a policy that divides suspected names, given by rank, into slices of equal size.
    func byList(_ suspects: [Int]) throws -> ServedData {
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

    private func serving(pools: [String], policies: [String], _ last: String) throws -> ServedData {
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
