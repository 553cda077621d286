import ArgumentParser
import CommandSupport
import Documents
import Draining
import Glibc
import PolicyFiles
import Steering
import SteeringDNS

/// The steps of a move.
///
/// Hosts that serve a pool together must all complete a step before any continues.
enum MoveStep: String, CaseIterable, ExpressibleByArgument {
    case bound, answering, expired, quiet, unbound, moved
}

/// Moves a pool to other prefixes.
///
/// The progress is derived from the files and the policy in force, not from separate state: each step determines what
/// remains to be done. So an interrupted move continues when the command is run again.
///
/// The order of the writes alone ensures that every address DNS answers with is steered at all times. A server reads
/// the file of prefixes before that of drained ones. So new prefixes are drained before they are added to the pool, and
/// old ones have left the pool, on all servers, before they are no longer drained.
struct Move {
    let name, policy: String
    let new: PrefixPool
    /// The old prefixes without the new ones.
    let retired: PrefixPool
    let watch: ServerWatch
    let threshold: UInt64
    /// The time in seconds for which retired prefixes must be quiet.
    let quiet: Double
    /// The last step to take.
    let last: MoveStep
    let steering: SocketSteering
    let target: Target
    let report: MoveReport

    func run() throws(SteeringError) {
        let lock = try locked()
        defer { close(lock) }
        try check()
        let isDone = try isDone()
        for step in MoveStep.allCases {
            if step == .moved, isDone { try sayDone() } else { try take(step) }
            if step == last { break }
        }
    }

    /// Returns whether the pool has all new and no retired prefixes, and none of them is drained.
    ///
    /// The files do not show whether it ever had retired ones.
    private func isDone() throws(SteeringError) -> Bool {
        let pool = try pool()
        let drained = try drainedLines(of: pool)
        return !retired.isEmpty && new.subtracting(pool.addresses).isEmpty && !pool.addresses.overlaps(retired)
            && !drained.overlaps(new) && !drained.overlaps(retired)
    }

    private func drainedLines(of pool: DrainablePool) throws(SteeringError) -> PrefixPool {
        try policyFiles { () throws(DocumentError) in try PrefixFile(pool.drainedFile).addresses }
    }

    private func sayDone() throws(SteeringError) {
        let answers = try pool().answers
        try report.step(
            .moved, "nothing to move: the pool \(name) has nothing of \(retired); it is answered from \(answers)", new)
    }

    private func take(_ step: MoveStep) throws(SteeringError) {
        switch step {
        case .bound: try bindNew()
        case .answering: try answerFromNew()
        case .expired: try awaitExpiry()
        case .quiet: try awaitQuiet()
        case .unbound: try unbindOld()
        case .moved: try forgetDrained()
        }
    }

    private func pool() throws(SteeringError) -> DrainablePool {
        try policyFiles { () throws(DocumentError) in try DrainablePool(name, policy: policy) }
    }

    /// Returns the retired prefixes that are still in the pool.
    private func leaving() throws(SteeringError) -> PrefixPool { try pool().addresses.intersection(retired) }

    /// Locks the policy file, so that only one move runs at a time.
    private func locked() throws(SteeringError) -> CInt {
        let number = open(policy, O_RDONLY | O_CLOEXEC)
        guard number >= 0 else {
            throw SteeringError(
                .invalidPolicyFile, "\(policy) cannot be read, \(String(cString: strerror(errno))): check its name")
        }
        guard flock(number, LOCK_EX | LOCK_NB) == 0 else {
            close(number)
            throw SteeringError(.busy, "another move of a pool of \(policy) is under way: wait until it ends")
        }
        return number
    }

    // MARK: - Checks before any change

    private func check() throws(SteeringError) {
        let pool = try pool()
        let file = try prefixesFile(of: pool)
        let written = try policyFiles { () throws(DocumentError) in try PrefixFile(file).addresses }
        if let stuck = pool.addresses.intersection(retired).subtracting(written).prefixes.first {
            throw refusal("\(stuck) of the pool \(name) is written in \(policy) itself: move it to \(file)")
        }
        if written.union(new.subtracting(pool.addresses)).subtracting(retired).isEmpty {
            throw refusal("\(file) would be empty: remove it from \(policy), or keep one of its prefixes")
        }
        if !pool.addresses.overlaps(retired), !new.subtracting(pool.addresses).isEmpty, !retired.isEmpty {
            throw refusal("the pool \(name) has nothing of \(retired), only \(pool.addresses): say what it moves from")
        }
        try policyFiles { () throws(DocumentError) in
            try pool.refuseEmptying(of: pool.answers.subtracting(retired).union(new))
        }
        try checkRoutes()
        try checkPolicy(pool)
        try checkSockets(pool)
    }

    private func prefixesFile(of pool: DrainablePool) throws(SteeringError) -> String {
        guard let file = pool.prefixesFile else {
            throw refusal(
                "the pool \(name) of \(policy) has no file of prefixes to change: "
                    + "write \(name): { prefixes-from: \(name).txt, drained-from: \(name)-drained.txt } there")
        }
        return file
    }

    private func checkRoutes() throws(SteeringError) {
        let doctor = Doctor(try target.namespace(), bpffs: target.bpffs)
        if let sentence = try doctor.unrouted(in: new) { throw refusal(sentence) }
    }

    /// Checks that the file and the policy in force differ only in prefixes of this move.
    private func checkPolicy(_ pool: DrainablePool) throws(SteeringError) {
        let wanted = try PolicyFile.read(contentsOf: policy), inForce = try steering.policy
        let difference = try wanted.difference(from: inForce)
        let own = pool.addresses.union(new).union(retired)
        let remedy = try target.place().command(["apply", policy])
        let foreign = (difference.added + difference.removed).first { !own.contains($0.prefix) }
        if let foreign {
            throw refusal(
                "the policy in force is not that of \(policy); they differ in '\(foreign)': \(remedy)")
        }
        if let label = difference.changedOptions.keys.min() {
            throw refusal(
                "the policy in force is not that of \(policy); they differ in the label \(label): \(remedy)"
            )
        }
        if let prefix = wanted.unsteered(in: pool.addresses).prefixes.first {
            throw refusal("no binding of \(policy) steers \(prefix) of the pool \(name): add one with pool: \(name)")
        }
    }

    /// Checks that labels bound on the whole pool have sockets of every family of the new prefixes.
    private func checkSockets(_ pool: DrainablePool) throws(SteeringError) {
        let taken = Set(try steering.sockets.list().map(\.destination))
        for (label, traffic) in try PolicyFile.read(contentsOf: policy).traffic(ofAll: pool.addresses) {
            for family in Set(new.prefixes.map(\.family)) {
                for transport in TransportProtocol.allCases where traffic.protocols.contains(transport) {
                    let destination = Destination(label, family, transport)
                    guard !taken.contains(destination) else { continue }
                    let remedy = try target.place().command(
                        ["register", label.name], blanks: ["--pid", "PID", "\(transport)"], namesProcess: true)
                    throw refusal("\(destination) has no socket: \(remedy)")
                }
            }
        }
    }

    private func refusal(_ sentence: String) -> SteeringError { SteeringError(.invalidPolicyFile, sentence) }

    // MARK: - Steps

    private func bindNew() throws(SteeringError) {
        let pool = try pool()
        let fresh = new.subtracting(pool.addresses)
        if !fresh.isEmpty {
            let file = try prefixesFile(of: pool)
            try policyFiles { () throws(DocumentError) in
                try PrefixFile.change(pool.drainedFile) {
                    $0.add(fresh, comment: DrainedFile.comment(at: DrainedFile.now))
                }
                try PrefixFile.change(file) { $0.add(new.intersection(fresh.union($0.addresses))) }
            }
        }
        try apply()
        let inForce = try steering.policy
        if let prefix = inForce.unsteered(in: new).prefixes.first {
            throw refusal("no binding of \(policy) steers \(prefix): add one with pool: \(name)")
        }
        for (_, traffic) in inForce.traffic(ofAll: pool.answers) {
            guard let prefix = inForce.unsteered(traffic, in: new).prefixes.first else { continue }
            throw refusal(
                "no binding of \(policy) steers \(traffic.protocols) \(traffic.ports) to \(prefix), "
                    + "as for the rest of the pool: use pool: \(name) in it")
        }
        try report.step(.bound, "bound: \(try self.pool().addresses)", new)
    }

    private func answerFromNew() throws(SteeringError) {
        let pool = try pool(), leaving = try leaving()
        try policyFiles { () throws(DocumentError) in
            try PrefixFile.change(pool.drainedFile) {
                $0.remove(new)
                $0.add(leaving, comment: DrainedFile.comment(at: DrainedFile.now))
            }
        }
        try report.step(.answering, "answered: \(try self.pool().answers)", new)
    }

    private func awaitExpiry() throws(SteeringError) {
        let leaving = try leaving()
        while !leaving.isEmpty {
            try refuseAnswers(of: leaving)
            let pool = try pool()
            let parts = try policyFiles { () throws(DocumentError) in try pool.status(watch) }
                .filter { PrefixPool([$0.prefix]).overlaps(leaving) }
            if parts.allSatisfy({ $0.hasExpired(at: Self.now) }) { break }
            let expiries = parts.compactMap(\.expiry)
            report.waiting(
                expiries.count < parts.count
                    ? "waiting for the servers to notice"
                    : "the last answer with \(leaving) expires \(DrainedFile.text(of: expiries.max()!))")
            usleep(100_000)
        }
        if leaving.isEmpty { return }
        try report.step(.expired, "expired: the last answer with \(leaving)", leaving)
    }

    private func awaitQuiet() throws(SteeringError) {
        let leaving = try leaving()
        if leaving.isEmpty { return }
        let arrivals = try Arrivals(at: leaving.prefixes, steering, target)
        while true {
            let before = try arrivals.packets().reduce(0, &+)
            let end = ContinuousClock.now + .seconds(quiet)
            var after = before
            repeat {
                usleep(50_000)
                after = try arrivals.packets().reduce(0, &+)  // Also follows policy changes.
            } while .now < end
            // Bindings that another command removed took their counts with them: start over.
            guard after >= before else { continue }
            let packets = after - before
            if packets <= threshold { break }
            report.waiting("\(counted(packets, "packet")) in \(quiet) s still come to \(leaving)")
        }
        try report.step(.quiet, "quiet: \(leaving)", leaving)
    }

    /// Throws if DNS may answer with leaving prefixes, which another command can have undrained in the meantime.
    private func refuseAnswers(of leaving: PrefixPool) throws(SteeringError) {
        guard try pool().answers.overlaps(leaving) else { return }
        throw refusal("the pool \(name) is answered from \(leaving) again: start the move again")
    }

    private func unbindOld() throws(SteeringError) {
        let leaving = try leaving()
        if leaving.isEmpty { return }
        try refuseAnswers(of: leaving)
        let file = try prefixesFile(of: try pool())
        try policyFiles { () throws(DocumentError) in try PrefixFile.change(file) { $0.remove(leaving) } }
        do throws(SteeringError) { try apply() } catch {
            try policyFiles { () throws(DocumentError) in try PrefixFile.change(file) { $0.add(leaving) } }
            throw error
        }
        if let stuck = try self.leaving().prefixes.first {
            throw refusal("\(stuck) of the pool \(name) is written in \(policy), too: remove it there")
        }
        try report.step(.unbound, "unbound: \(leaving)", leaving)
    }

    /// Applies the policy file, unless DNS could then answer with addresses that it does not steer.
    private func apply() throws(SteeringError) {
        let wanted = try PolicyFile.read(contentsOf: policy)
        let answered = try policyFiles { () throws(DocumentError) in
            try NamePolicyOutline(contentsOf: policy).answered
        }
        for pool in answered {
            guard let prefix = wanted.unsteered(in: pool.answers).prefixes.first else { continue }
            throw refusal(
                "\(prefix) of the pool \(pool.pool.name) may be in answers, and no binding would steer it any more: "
                    + "bind it in \(policy)")
        }
        try steering.apply(wanted)
    }

    /// Removes prefixes that have left the pool from the file of drained ones, once no server has them in the pool.
    private func forgetDrained() throws(SteeringError) {
        let pool = try pool()
        let file = try prefixesFile(of: pool), gone = retired.subtracting(pool.addresses)
        if try drainedLines(of: pool).overlaps(gone) {
            try awaitServers(of: file)
            try policyFiles { () throws(DocumentError) in try PrefixFile.change(pool.drainedFile) { $0.remove(gone) } }
        }
        // Not required for safety; it only makes the printed statement true for all servers.
        if !watch.servers.isEmpty { try awaitServers(of: pool.drainedFile) }
        try report.step(.moved, "the pool \(name) has moved: it is answered from \(try self.pool().answers)", new)
    }

    private func awaitServers(of file: String) throws(SteeringError) {
        while true {
            let since = try policyFiles { () throws(DocumentError) in try watch.inForce(file, pool: name) }
            if let since, since <= Self.now { return }
            report.waiting("waiting for the servers to notice")
            usleep(100_000)
        }
    }

    private static var now: Double {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
    }
}
