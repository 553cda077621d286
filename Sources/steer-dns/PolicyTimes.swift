import AddressPools
import Foundation
import SteeringDNS
import Synchronization

/// Since when what is in force is: for whoever waits until no answer of a former policy is kept any more.
final class PolicyTimes: Sendable {
    struct Times {
        /// When the reading of the policy in force began: what its files had then is in force.
        var read: Date
        /// Since when each pool is answered with the addresses that it is answered with now.
        var pools: [String: (addresses: PrefixPool, since: Date)] = [:]
    }

    private let times: Mutex<Times>

    init(_ policies: AddressPolicies, readAt read: Date) {
        times = Mutex(Times(read: read))
        took(policies, readAt: read)
    }

    /// A policy was put in force just now.
    func took(_ policies: AddressPolicies, readAt read: Date) {
        let now = Date.now
        times.withLock { times in
            let former = times.pools
            times = Times(read: read)
            for pool in policies.pools {
                let since = former[pool.name].flatMap { $0.addresses == pool.addresses ? $0.since : nil }
                times.pools[pool.name] = (pool.addresses, since ?? now)
            }
        }
    }

    var current: Times { times.withLock { $0 } }
}
