import AddressPools
import Documents
import PoolMoves
import Testing

/// Moves that fail or are interrupted at any point go on later, and no client notices.
struct MoveFailureTests {
    private static let servers = [FakeServer(delay: 0), FakeServer(delay: 1)]
    private static let old = "192.0.2.0/24", new = "192.0.2.16/28,198.51.100.0/28"

    @Test("A move whose steering fails at any call is completed by the next, and all answers are steered meanwhile")
    func anyCall() throws {
        var failing = 1
        while true {
            let world = try World(Self.old, ttl: 2, servers: Self.servers)
            world.state.withLock { $0.failing = failing }
            let error = world.refusal(from: Self.old, to: Self.new)
            #expect(error == (world.state.withLock { $0.calls } < failing ? "" : "broken"))
            // Clients go on in the meantime.
            world.advance(.seconds(3))
            if !error.isEmpty { try world.move(from: Self.old, to: Self.new) }
            #expect(world.violations == [], "call \(failing)")
            #expect(try world.prefixes("web.txt") == pool(Self.new) && world.text("web-drained.txt") == "")
            #expect(world.state.withLock { $0.inForce.services["tcp 80"] } == pool(Self.new))
            if error.isEmpty { break }
            failing += 1
        }
        // Checks; applying and checking; counting; applying.
        #expect(failing > 10)
    }

    @Test("A failed step is not reported as done, and a failure to report it ends the move")
    func reports() throws {
        let world = try World(Self.old)
        var move = Move(
            MovePlan(
                pool: World.poolName, policy: world.policy, from: pool(Self.old), to: pool(Self.new), threshold: 0,
                quiet: 1, until: .moved), world.steering, world.watch, world.clock,
            completed: { progress throws(FakeFailure) in if progress.step == .answering { throw .broken } },
            waiting: { _ in })
        #expect(throws: FakeFailure.self) { try move.run() }
        #expect(try world.prefixes("web.txt") == pool("192.0.2.0/24,198.51.100.0/28"), "nothing was unbound")
        let progress = try world.progress(from: Self.old, to: Self.new)
        #expect(progress.last == .moved(pool(Self.new)) && world.violations == [])
    }

    @Test("New prefixes are drained before they are in the pool, whichever file cannot be written")
    func unwritableFiles() throws {
        let world = try World(Self.old, servers: Self.servers)
        try world.obstruct("web-drained.txt")
        let drained = world.refusal(from: Self.old, to: Self.new)
        #expect(drained.contains("web-drained.txt cannot be written"))
        #expect(try world.text("web.txt") == "192.0.2.0/24\n")
        try world.unobstruct("web-drained.txt")

        try world.obstruct("web.txt")
        let pooled = world.refusal(from: Self.old, to: Self.new)
        #expect(pooled.contains("web.txt cannot be written"))
        #expect(try world.prefixes("web-drained.txt") == pool("198.51.100.0/28"))
        #expect(world.state.withLock { $0.applied } == [])
        try world.unobstruct("web.txt")

        try world.move(from: Self.old, to: Self.new)
        #expect(try world.prefixes("web.txt") == pool(Self.new) && world.violations == [])
    }

    @Test("Old prefixes that cannot be unbound stay in the file of the pool")
    func unboundAgain() throws {
        let world = try World(Self.old)
        try world.move(from: Self.old, to: Self.new, until: .quiet)
        let before = try world.prefixes("web.txt"), bound = world.state.withLock { $0.inForce }
        world.state.withLock { $0.calls = 0 }
        try world.move(from: Self.old, to: Self.new, until: .quiet)
        // The next call after those reads the policy to apply, and the one after it applies it.
        for failing in 1...2 {
            world.state.withLock { ($0.failing, $0.calls) = ($0.calls + failing, 0) }
            let error = world.refusal(from: Self.old, to: Self.new)
            #expect(error == "broken")
            #expect(try world.prefixes("web.txt") == before)
            #expect(world.state.withLock { $0.inForce } == bound)
            world.state.withLock { ($0.failing, $0.calls) = (nil, $0.calls - failing) }
        }
        try world.move(from: Self.old, to: Self.new)
        #expect(try world.prefixes("web.txt") == pool(Self.new) && world.violations == [])
    }

    @Test("Servers that cannot be queried, or have another pool, end the wait with an error; the old stays bound")
    func servers() throws {
        for (server, hint) in [
            (FakeServer(isReachable: false), "cannot read the counters of the server at 127.0.0.1:2"),
            (FakeServer(delay: 0, pool: "other"), "the server at 127.0.0.1:2 has no pool web"),
        ] {
            let world = try World(Self.old, servers: [FakeServer(), server])
            let error = world.refusal(from: Self.old, to: Self.new)
            #expect(error.contains(hint), "\(error)")
            #expect(world.state.withLock { $0.inForce.unsteered(in: pool(Self.old)) }.isEmpty)
            #expect(try world.prefixes("web-drained.txt").contains(try IPPrefix("192.0.2.128/25")))
        }
    }

    @Test("Only one move of a policy file runs at a time")
    func lock() throws {
        let world = try World(Self.old)
        world.plan(at: .seconds(3)) { world in
            let error = world.refusal(from: Self.old, to: Self.new)
            #expect(error == "busy: another move of a pool of \(world.policy) is under way: wait until it ends")
        }
        try world.move(from: Self.old, to: Self.new)
        #expect(world.state.withLock { $0.plans.isEmpty })
        try world.move(from: Self.new, to: Self.old)
    }
}
