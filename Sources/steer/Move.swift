import ArgumentParser
import Commands
import Documents
import Draining
import Glibc
import PolicyFiles
import Steering
import SteeringDNS

/// How far a pool has been moved: what hosts that serve it together must all have reached before one goes on.
enum MoveStep: String, CaseIterable, ExpressibleByArgument {
    case bound, answering, expired, quiet, unbound, moved
}

/// A pool on its way to other prefixes.
///
/// How far it is, is read from the files and from the policy in force, never from notes of its own: each step asks
/// what is still to be done. So whoever is interrupted goes on by beginning anew.
///
/// An answered address is steered at any moment, by the order of the writes alone. A server reads the file of prefixes
/// first and that of drained ones afterwards, so new prefixes are drained before they are in the pool, and old ones are
/// out of it, for all servers, before they are no longer drained.
struct Move {
    let name, policy: String
    let new: PrefixPool
    /// What is old and not new.
    let retired: PrefixPool
    let watch: ServerWatch
    let threshold: UInt64
    /// How many seconds what is retired must be quiet.
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

    /// Whether nothing of what is retired is left, or was ever there: that the files do not tell.
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
            .moved, "nothing to move: the pool \(name) has nothing of \(retired), it is answered from \(answers)", new)
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

    /// What is retired and still in the pool.
    private func leaving() throws(SteeringError) -> PrefixPool { try pool().addresses.intersection(retired) }

    /// One move at a time.
    private func locked() throws(SteeringError) -> CInt {
        let number = open(policy, O_RDONLY | O_CLOEXEC)
        guard number >= 0 else {
            throw SteeringError(
                .invalidPolicyFile, "\(policy) cannot be read, \(String(cString: strerror(errno))): check its name")
        }
        guard flock(number, LOCK_EX | LOCK_NB) == 0 else {
            close(number)
            throw SteeringError(.busy, "another move of a pool of \(policy) is under way: wait for its end")
        }
        return number
    }

    // MARK: - Before anything changes

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
                "the pool \(name) of \(policy) has no file of prefixes that could be changed: "
                    + "write \(name): { prefixes-from: \(name).txt, drained-from: \(name)-drained.txt } there")
        }
        return file
    }

    private func checkRoutes() throws(SteeringError) {
        let doctor = Doctor(try target.namespace(), bpffs: target.bpffs)
        if let sentence = try doctor.unrouted(in: new) { throw refusal(sentence) }
    }

    /// Nothing but this move may be between the file and the policy in force.
    private func checkPolicy(_ pool: DrainablePool) throws(SteeringError) {
        let wanted = try PolicyFile.read(contentsOf: policy), inForce = try steering.policy
        let difference = try wanted.difference(from: inForce)
        let own = pool.addresses.union(new).union(retired)
        let remedy = try target.place().command(["apply", policy])
        let foreign = (difference.added + difference.removed).first { !own.contains($0.prefix) }
        if let foreign {
            throw refusal(
                "the policy in force is not that of \(policy), they differ in '\(foreign)': \(remedy)")
        }
        if let label = difference.changedOptions.keys.min() {
            throw refusal(
                "the policy in force is not that of \(policy), they differ in the label \(label): \(remedy)"
            )
        }
        if let prefix = wanted.unsteered(in: pool.addresses).prefixes.first {
            throw refusal("no binding of \(policy) steers \(prefix) of the pool \(name): add one with pool: \(name)")
        }
    }

    /// Those that serve the pool must be there for the families that are new to it, too.
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
            usleep(UInt32(quiet * 1e6))
            let packets = try arrivals.packets().reduce(0, &+) - before
            if packets <= threshold { break }
            report.waiting("\(counted(packets, "packet")) in \(quiet) s still come to \(leaving)")
        }
        try report.step(.quiet, "quiet: \(leaving)", leaving)
    }

    /// Another command may have undrained it meanwhile.
    private func refuseAnswers(of leaving: PrefixPool) throws(SteeringError) {
        guard try pool().answers.overlaps(leaving) else { return }
        throw refusal("the pool \(name) is answered from \(leaving) again: move it anew")
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

    /// Puts the file in force, unless names would be answered with what it does not steer.
    private func apply() throws(SteeringError) {
        let wanted = try PolicyFile.read(contentsOf: policy)
        let answered = try policyFiles { () throws(DocumentError) in
            try NamePolicyOutline(contentsOf: policy).answered
        }
        for pool in answered {
            guard let prefix = wanted.unsteered(in: pool.answers).prefixes.first else { continue }
            throw refusal(
                "\(prefix) of the pool \(pool.pool.name) is answered, and no binding would steer it any more: "
                    + "bind it in \(policy)")
        }
        try steering.apply(wanted)
    }

    /// What is no longer in the pool need not be drained, once no server has it in the pool.
    private func forgetDrained() throws(SteeringError) {
        let pool = try pool()
        let file = try prefixesFile(of: pool), gone = retired.subtracting(pool.addresses)
        if try drainedLines(of: pool).overlaps(gone) {
            try awaitServers(of: file)
            try policyFiles { () throws(DocumentError) in try PrefixFile.change(pool.drainedFile) { $0.remove(gone) } }
        }
        // Nothing depends on it any more, but what is printed is then so.
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
