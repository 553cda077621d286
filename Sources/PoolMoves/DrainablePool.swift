import AddressPools
import Documents
import SteeringDNS

/// A pool of a policy file that names a file of drained prefixes (`drained-from`).
package struct DrainablePool: Sendable {
    /// The path of the policy file.
    package let policy: String
    /// The name of the pool in that file.
    package let name: String
    /// The addresses that are steered, and those that policies may answer with.
    package let addresses, answers: PrefixPool
    /// The highest TTL of the policies that answer from the pool, in seconds; 0 if there are none.
    package let ttl: UInt32
    /// The families that another pool takes over if all of this one is drained.
    private let replaced: Set<IPFamily>
    /// The path of the file of drained prefixes.
    package let drainedFile: String
    /// The path of the file of the pool's prefixes (`prefixes-from`); nil if there is none.
    package let prefixesFile: String?

    /// Finds a pool by name.
    package init(_ name: String, policy: String) throws(DocumentError) {
        try self.init(name, in: try NamePolicyOutline(contentsOf: policy), policy)
    }

    /// Finds the only pool that has a prefix.
    package init(with prefix: IPPrefix, policy: String) throws(DocumentError) {
        let outline = try NamePolicyOutline(contentsOf: policy)
        let names = outline.pools.pools.filter { $0.addresses.contains(prefix) }.map(\.name)
        guard let name = names.first else {
            throw DocumentError("no pool of \(policy) has all of \(prefix): name a prefix that one has")
        }
        guard names.count == 1 else {
            throw DocumentError(
                "the pools \(names.joined(separator: ", ")) of \(policy) all have \(prefix): choose one with --pool")
        }
        try self.init(name, in: outline, policy)
    }

    private init(_ name: String, in outline: NamePolicyOutline, _ policy: String) throws(DocumentError) {
        guard let pool = outline.pools[name] else {
            let names = outline.pools.pools.map(\.name).joined(separator: ", ")
            throw DocumentError(
                "there is no pool \(name) in \(policy): its pools are \(names.isEmpty ? "none" : names)")
        }
        guard let drainedFile = pool.drainedFile else {
            throw DocumentError(
                "the pool \(name) of \(policy) has no drained-from file: write \(name): { prefixes: ..., "
                    + "drained-from: \(name)-drained.txt } there; the file may be missing")
        }
        let answered = outline.answered.first { $0.pool.name == name }
        self.policy = policy
        self.name = name
        addresses = pool.addresses
        answers = answered?.answers ?? PrefixPool()
        ttl = answered?.ttl ?? 0
        replaced = answered?.replaced ?? []
        self.drainedFile = drainedFile
        prefixesFile = pool.prefixesFile
    }

    /// Stops answers from some of the pool's addresses.
    package func drain(_ prefixes: PrefixPool, _ clock: some MoveClock) throws(DocumentError) {
        if let stranger = prefixes.subtracting(addresses).prefixes.first {
            throw DocumentError("\(stranger) is not in the pool \(name), which has \(addresses): name some of these")
        }
        try PrefixFile.change(drainedFile) { file throws(DocumentError) in
            // Read under the lock, so that two commands cannot drain the last addresses together.
            let now = try DrainablePool(name, policy: policy)
            try now.refuseEmptying(of: now.answers.subtracting(prefixes), except: replaced)
            file.add(prefixes, comment: DrainedFile.comment(at: clock.second))
        }
    }

    /// Allows answers from drained addresses again.
    package func undrain(_ prefixes: PrefixPool) throws(DocumentError) {
        try PrefixFile.change(drainedFile) { file throws(DocumentError) in
            guard file.addresses.overlaps(prefixes) else {
                throw DocumentError("\(prefixes) is not drained: nothing was changed")
            }
            file.remove(prefixes)
        }
    }

    /// Throws if a family, not among those excepted, would have no address left to answer with.
    package func refuseEmptying(of remaining: PrefixPool, except: Set<IPFamily> = []) throws(DocumentError) {
        for family in [IPFamily.ipv4, .ipv6]
        where !except.contains(family) && !answers.restricted(to: family).isEmpty
            && remaining.restricted(to: family).isEmpty
        {
            throw DocumentError(
                "the pool \(name) would have no \(family) address left to answer with: add a prefix to it first, or a policy "
                    + "behind its own that answers the same queries from another pool")
        }
    }
}
