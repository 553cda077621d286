import AddressPools
import Foundation
import SteeringDNS
import Synchronization

/// The times at which the data in force took effect, for commands that wait until older answers have expired.
final class PolicyTimes: Sendable {
    struct Times {
        /// When the server began to read the policy in force. Earlier changes to its files are in force.
        var read: Date
        /// The addresses of each pool, and the time since which they are in force.
        var pools: [String: (addresses: PrefixPool, since: Date)] = [:]
    }

    private let times: Mutex<Times>

    init(_ policies: AddressPolicies, readAt read: Date) {
        times = Mutex(Times(read: read))
        took(policies, readAt: read)
    }

    /// Records that a policy was just put in force.
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
