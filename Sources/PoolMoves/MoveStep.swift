import AddressPools

/// The steps of a move.
///
/// Hosts that serve a pool together must all complete a step before any continues.
package enum MoveStep: String, CaseIterable, Sendable {
    case bound, answering, expired, quiet, unbound, moved
}

/// What a move is to do.
package struct MovePlan: Sendable {
    /// The name of the pool.
    package let pool: String
    /// The path of the policy file.
    package let policy: String
    package let new: PrefixPool
    /// The old prefixes without the new ones.
    package let retired: PrefixPool
    /// The packets that may come to quiet prefixes in the time of ``quiet``.
    package let threshold: UInt64
    /// The time in seconds for which retired prefixes must be quiet.
    package let quiet: Double
    /// The last step to take.
    package let last: MoveStep

    package init(
        pool: String, policy: String, from old: PrefixPool, to new: PrefixPool, threshold: UInt64, quiet: Double,
        until last: MoveStep
    ) {
        self.pool = pool
        self.policy = policy
        self.new = new
        retired = old.subtracting(new)
        self.threshold = threshold
        self.quiet = quiet
        self.last = last
    }
}

/// A step that a move has completed.
package enum MoveProgress: Sendable, Equatable {
    /// The new prefixes are bound; these are all addresses of the pool.
    case bound(PrefixPool)
    /// Only the new prefixes are handed out; these are all addresses that DNS may answer with.
    case answering(PrefixPool)
    /// The last answer with these retired prefixes has expired; no more packets than allowed come to them; they are
    /// unbound.
    case expired(PrefixPool), quiet(PrefixPool), unbound(PrefixPool)
    /// The move is complete, or there was nothing to move; DNS may answer with these addresses.
    case moved(PrefixPool), nothingToMove(PrefixPool)

    package var step: MoveStep {
        switch self {
        case .bound: .bound
        case .answering: .answering
        case .expired: .expired
        case .quiet: .quiet
        case .unbound: .unbound
        case .moved, .nothingToMove: .moved
        }
    }
}

/// A reason to wait.
package enum MoveWait: Sendable, Equatable {
    /// A server does not answer by the changed file yet.
    case servers
    /// The last answer with these prefixes expires at this time, in seconds since 1970.
    case expiry(of: PrefixPool, at: Int)
    /// So many packets came to these prefixes in the time that was counted.
    case packets(UInt64, to: PrefixPool)
}
