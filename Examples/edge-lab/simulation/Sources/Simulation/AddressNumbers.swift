import AddressPools
import SteeringDNS

/// The IPv4 addresses of all pools of a policy, numbered from 0, for counting requests.
struct AddressNumbers: Sendable {
    let pool: PrefixPool
    let count: Int

    init(of serving: ServedData) throws(SimulationError) {
        try self.init(PrefixPool(serving.policies.pools.flatMap(\.addresses.prefixes)))
    }

    init(_ all: PrefixPool) throws(SimulationError) {
        pool = all.restricted(to: .ipv4)
        guard pool.count >= 1, pool.count <= UInt128(AnswerCache.addressLimit) else {
            throw SimulationError(
                "the pools have \(pool.count) IPv4 addresses: use 1 to \(AnswerCache.addressLimit), a /12 at most")
        }
        count = Int(pool.count)
    }

    /// The number of an address, which must be one of the pools, as in every answer.
    @inline(__always)
    subscript(address: IPAddress) -> Int { Int(pool.index(of: address)!) }

    /// Returns the address with a number.
    func address(_ number: Int) -> IPAddress { try! pool.address(at: UInt128(number)) }
}

extension ServedData {
    /// The longest TTL of any policy, in seconds.
    var longestTTL: UInt32 {
        policies.policies.reduce(0) { longest, policy in
            guard case .pool(_, _, let ttl) = policy.outcome else { return longest }
            return max(longest, ttl)
        }
    }
}
