import AddressPools
import Documents
import Glibc
import SteeringDNS

/// Moves a pool to other prefixes.
///
/// The progress is derived from the files and the policy in force, not from separate state: each step determines what
/// remains to be done. So an interrupted move continues when it is run again.
///
/// The order of the writes alone ensures that every address DNS answers with is steered at all times. A server reads
/// the file of prefixes before that of drained ones. So new prefixes are drained before they are added to the pool, and
/// old ones have left the pool, on all servers, before they are no longer drained.
package struct Move<Steering: PoolSteering> {
    package typealias Failure = Steering.Failure

    let plan: MovePlan
    let steering: Steering
    private let watch: ServerWatch
    private let clock: any MoveClock
    private let completed: (MoveProgress) throws(Failure) -> Void
    private let waiting: (MoveWait) -> Void
    /// The reason to wait that was reported last in this step.
    private var reason: MoveWait?

    /// Makes a move.
    ///
    /// - Parameters:
    ///   - completed: Called after each step that had something to do; may end the move by an error.
    ///   - waiting: Called with each new reason to wait.
    package init(
        _ plan: MovePlan, _ steering: Steering, _ watch: ServerWatch, _ clock: some MoveClock,
        completed: @escaping (MoveProgress) throws(Failure) -> Void, waiting: @escaping (MoveWait) -> Void
    ) {
        self.plan = plan
        self.steering = steering
        self.watch = watch
        self.clock = clock
        self.completed = completed
        self.waiting = waiting
    }

    package mutating func run() throws(Failure) {
        let lock = try locked()
        defer { close(lock) }
        try check()
        let isDone = try isDone()
        for step in MoveStep.allCases {
            if step == .moved, isDone { try complete(.nothingToMove(try pool().answers)) } else { try take(step) }
            if step == plan.last { break }
        }
    }

    /// Locks the policy file, so that only one move runs at a time.
    private func locked() throws(Failure) -> CInt {
        let number = open(plan.policy, O_RDONLY | O_CLOEXEC)
        guard number >= 0 else {
            throw .refused("\(plan.policy) cannot be read, \(String(cString: strerror(errno))): check its name")
        }
        guard flock(number, LOCK_EX | LOCK_NB) == 0 else {
            close(number)
            throw .busy("another move of a pool of \(plan.policy) is under way: wait until it ends")
        }
        return number
    }

    /// Returns whether the pool has all new and no retired prefixes, and none of them is drained.
    ///
    /// The files do not show whether it ever had retired ones.
    private func isDone() throws(Failure) -> Bool {
        let pool = try pool(), drained = try drainedLines(of: pool)
        return !plan.retired.isEmpty && plan.new.subtracting(pool.addresses).isEmpty
            && !pool.addresses.overlaps(plan.retired) && !drained.overlaps(plan.new) && !drained.overlaps(plan.retired)
    }

    private mutating func take(_ step: MoveStep) throws(Failure) {
        switch step {
        case .bound: try bindNew()
        case .answering: try answerFromNew()
        case .expired: try awaitExpiry()
        case .quiet: try awaitQuiet()
        case .unbound: try unbindOld()
        case .moved: try forgetDrained()
        }
    }

    private mutating func complete(_ progress: MoveProgress) throws(Failure) {
        reason = nil
        try completed(progress)
    }

    /// Reports a reason to wait, unless it is still the same.
    private mutating func wait(_ reason: MoveWait) {
        if reason != self.reason { waiting(reason) }
        self.reason = reason
    }

    // MARK: - Steps

    private mutating func bindNew() throws(Failure) {
        let pool = try pool(), new = plan.new
        let fresh = new.subtracting(pool.addresses)
        if !fresh.isEmpty {
            let file = try prefixesFile(of: pool)
            try change(pool.drainedFile) { $0.add(fresh, comment: DrainedFile.comment(at: clock.second)) }
            try change(file) { $0.add(new.intersection(fresh.union($0.addresses))) }
        }
        try apply()
        try checkBound(pool)
        try complete(.bound(try self.pool().addresses))
    }

    private mutating func answerFromNew() throws(Failure) {
        let pool = try pool(), leaving = leaving(pool), new = plan.new
        try change(pool.drainedFile) {
            $0.remove(new)
            $0.add(leaving, comment: DrainedFile.comment(at: clock.second))
        }
        try complete(.answering(try self.pool().answers))
    }

    private mutating func awaitExpiry() throws(Failure) {
        let leaving = leaving(try pool())
        if leaving.isEmpty { return }
        while true {
            let pool = try pool()
            try refuseAnswers(of: leaving, pool)
            let parts = try Failure.files { () throws(DocumentError) in try pool.status(of: leaving, watch) }
            if parts.allSatisfy({ $0.hasExpired(at: clock.now) }) { break }
            let expiries = parts.compactMap(\.expiry)
            wait(expiries.count < parts.count ? .servers : .expiry(of: leaving, at: expiries.max()!))
            clock.sleep(.milliseconds(100))
        }
        try complete(.expired(leaving))
    }

    private mutating func awaitQuiet() throws(Failure) {
        let leaving = leaving(try pool())
        if leaving.isEmpty { return }
        let arrivals = try Arrivals(at: leaving.prefixes, steering)
        while true {
            let before = try arrivals.packets().reduce(0, &+)
            // If another command removed bindings, their counts are gone: start over.
            guard try arrivals.follow(for: plan.quiet, clock) else { continue }
            let packets = try arrivals.packets().reduce(0, &+) &- before
            if packets <= plan.threshold { break }
            wait(.packets(packets, to: leaving))
        }
        try complete(.quiet(leaving))
    }

    private mutating func unbindOld() throws(Failure) {
        let pool = try pool(), leaving = leaving(pool)
        if leaving.isEmpty { return }
        try refuseAnswers(of: leaving, pool)
        let file = try prefixesFile(of: pool)
        try change(file) { $0.remove(leaving) }
        do throws(Failure) { try apply() } catch {
            try change(file) { $0.add(leaving) }
            throw error
        }
        if let stuck = self.leaving(try self.pool()).prefixes.first {
            throw .refused("\(stuck) of the pool \(plan.pool) is written in \(plan.policy), too: remove it there")
        }
        try complete(.unbound(leaving))
    }

    /// Removes prefixes that have left the pool from the file of drained ones, once no server has them in the pool.
    private mutating func forgetDrained() throws(Failure) {
        let pool = try pool()
        let file = try prefixesFile(of: pool), gone = plan.retired.subtracting(pool.addresses)
        if try drainedLines(of: pool).overlaps(gone) {
            try awaitServers(of: file)
            try change(pool.drainedFile) { $0.remove(gone) }
        }
        // Not required for safety; it only makes the reported progress true for all servers.
        if !watch.servers.isEmpty { try awaitServers(of: pool.drainedFile) }
        try complete(.moved(try self.pool().answers))
    }

    private mutating func awaitServers(of file: String) throws(Failure) {
        while true {
            let since = try Failure.files { () throws(DocumentError) in try watch.inForce(file, pool: plan.pool) }
            if let since, since <= clock.now { return }
            wait(.servers)
            clock.sleep(.milliseconds(100))
        }
    }

    // MARK: - The files

    func pool() throws(Failure) -> DrainablePool {
        try Failure.files { () throws(DocumentError) in try DrainablePool(plan.pool, policy: plan.policy) }
    }

    /// Returns the retired prefixes that are still in the pool.
    private func leaving(_ pool: DrainablePool) -> PrefixPool { pool.addresses.intersection(plan.retired) }

    private func drainedLines(of pool: DrainablePool) throws(Failure) -> PrefixPool {
        try Failure.files { () throws(DocumentError) in try PrefixFile(pool.drainedFile).addresses }
    }

    private func change(_ file: String, _ body: (inout PrefixFile) -> Void) throws(Failure) {
        try Failure.files { () throws(DocumentError) in try PrefixFile.change(file, body) }
    }

    /// Applies the policy file, unless DNS could then answer with addresses that it does not steer.
    private func apply() throws(Failure) {
        let wanted = try steering.wantedPolicy()
        let answered = try Failure.files { () throws(DocumentError) in
            try NamePolicyOutline(contentsOf: plan.policy).answered
        }
        for pool in answered {
            guard let prefix = wanted.unsteered(in: pool.answers).prefixes.first else { continue }
            throw .refused(
                "\(prefix) of the pool \(pool.pool.name) may be in answers, and no binding would steer it any more: "
                    + "bind it in \(plan.policy)")
        }
        try steering.apply(wanted)
    }
}
