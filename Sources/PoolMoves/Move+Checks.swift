import AddressPools
import Documents

/// What a move refuses.
extension Move {
    /// Checks everything that can be checked before any change.
    func check() throws(Failure) {
        let pool = try pool()
        try checkFiles(pool)
        if let sentence = try steering.unrouted(in: plan.new) { throw .refused(sentence) }
        let wanted = try steering.wantedPolicy()
        try checkPolicy(wanted, pool)
        let families = [IPFamily.ipv4, .ipv6].filter { !plan.new.restricted(to: $0).isEmpty }
        if let sentence = try steering.socketless(wanted.services(ofAll: pool.addresses), families) {
            throw .refused(sentence)
        }
    }

    private func checkFiles(_ pool: DrainablePool) throws(Failure) {
        let file = try prefixesFile(of: pool), new = plan.new, retired = plan.retired
        let written = try Failure.files { () throws(DocumentError) in try PrefixFile(file).addresses }
        if let stuck = pool.addresses.intersection(retired).subtracting(written).prefixes.first {
            throw .refused("\(stuck) of the pool \(pool.name) is written in \(plan.policy) itself: move it to \(file)")
        }
        if written.union(new.subtracting(pool.addresses)).subtracting(retired).isEmpty {
            throw .refused("\(file) would be empty: remove it from \(plan.policy), or keep one of its prefixes")
        }
        if !pool.addresses.overlaps(retired), !new.subtracting(pool.addresses).isEmpty, !retired.isEmpty {
            throw .refused(
                "the pool \(pool.name) has nothing of \(retired), only \(pool.addresses): say what it moves from")
        }
        try Failure.files { () throws(DocumentError) in
            try pool.refuseEmptying(of: pool.answers.subtracting(retired).union(new))
        }
    }

    func prefixesFile(of pool: DrainablePool) throws(Failure) -> String {
        guard let file = pool.prefixesFile else {
            throw .refused(
                "the pool \(pool.name) of \(plan.policy) has no file of prefixes to change: write \(pool.name): "
                    + "{ prefixes-from: \(pool.name).txt, drained-from: \(pool.name)-drained.txt } there")
        }
        return file
    }

    /// Checks that the file and the policy in force differ only in prefixes of this move.
    private func checkPolicy(_ wanted: Steering.Policy, _ pool: DrainablePool) throws(Failure) {
        let own = pool.addresses.union(plan.new).union(plan.retired)
        let changes = try steering.changes(from: try steering.policyInForce(), to: wanted)
        if let foreign = changes.first(where: { $0.prefix.map { !own.contains($0) } ?? true }) {
            throw .refused(
                "the policy in force is not that of \(plan.policy); they differ in \(foreign.description): "
                    + "\(try steering.remedy())")
        }
        if let prefix = wanted.unsteered(in: pool.addresses).prefixes.first {
            throw .refused(
                "no binding of \(plan.policy) steers \(prefix) of the pool \(pool.name): add one with pool: \(pool.name)"
            )
        }
    }

    /// Checks that the new prefixes are steered, with all services of the rest of the pool.
    func checkBound(_ pool: DrainablePool) throws(Failure) {
        let inForce = try steering.policyInForce()
        if let prefix = inForce.unsteered(in: plan.new).prefixes.first {
            throw .refused("no binding of \(plan.policy) steers \(prefix): add one with pool: \(pool.name)")
        }
        for service in inForce.services(ofAll: pool.answers) {
            guard let prefix = inForce.unsteered(service, in: plan.new).prefixes.first else { continue }
            throw .refused(
                "no binding of \(plan.policy) steers \(service) to \(prefix), as for the rest of the pool: "
                    + "use pool: \(pool.name) in it")
        }
    }

    /// Throws if DNS may answer with leaving prefixes, which another command can have undrained in the meantime.
    func refuseAnswers(of leaving: PrefixPool, _ pool: DrainablePool) throws(Failure) {
        guard pool.answers.overlaps(leaving) else { return }
        throw .refused("the pool \(pool.name) is answered from \(leaving) again: start the move again")
    }
}
