import AddressPools
import SteeringDNS

/// The IPv4 addresses that a policy's pools have, numbered from 0: what requests are counted by.
struct AddressNumbers: Sendable {
    let pool: PrefixPool
    let count: Int

    init(of serving: Serving) throws(SimulationError) {
        try self.init(PrefixPool(serving.policies.pools.flatMap(\.addresses.prefixes)))
    }

    init(_ all: PrefixPool) throws(SimulationError) {
        pool = all.restricted(to: .ipv4)
        guard pool.count >= 1, pool.count <= UInt128(AnswerCache.addressLimit) else {
            throw SimulationError(
                "the pools have \(pool.count) addresses of IPv4: take 1 to \(AnswerCache.addressLimit), a /12 at most")
        }
        count = Int(pool.count)
    }

    /// The number of an address; policies answer with no other.
    @inline(__always)
    subscript(address: IPAddress) -> Int { Int(pool.index(of: address)!) }

    /// An address by its number.
    func address(_ number: Int) -> IPAddress { try! pool.address(at: UInt128(number)) }
}

extension Serving {
    /// The longest that an answer of any policy is remembered.
    var longestTTL: UInt32 {
        policies.policies.reduce(0) { longest, policy in
            guard case .pool(_, _, let ttl) = policy.outcome else { return longest }
            return max(longest, ttl)
        }
    }
}
