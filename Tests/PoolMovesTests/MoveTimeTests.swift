import AddressPools
import Documents
import PoolMoves
import Testing

/// How long a move waits.
struct MoveTimeTests {
    private static let old = "192.0.2.0/24", new = "198.51.100.0/28"

    /// Returns how long a step takes.
    private func duration(
        of step: MoveStep, _ world: World, quiet: Double = 1, threshold: UInt64 = 0, watch: ServerWatch? = nil
    ) throws -> Duration {
        let before = MoveStep.allCases[MoveStep.allCases.firstIndex(of: step)! - 1]
        try world.move(from: Self.old, to: Self.new, quiet: quiet, until: before, watch: watch)
        let begin = world.clock.uptime
        try world.move(from: Self.old, to: Self.new, quiet: quiet, until: step, watch: watch)
        return world.clock.uptime - begin
    }

    @Test("Answers expire a TTL after the slowest server noticed, up to a week", arguments: [0, 1, 300, 604_800])
    func ttl(_ ttl: Int) throws {
        let servers = [0, 7, 0].map { FakeServer(delay: $0) }, pace = 1 + ttl / 100
        let world = try World(Self.old, ttl: ttl, servers: servers, pace: Double(pace))
        let took = try duration(of: .expired, world)
        #expect((Duration.seconds(7 + ttl)...Duration.seconds(7 + ttl + 2 * pace)).contains(took), "\(took)")
        #expect(world.violations == [])
    }

    @Test("A server that never notices is waited for, and the old prefixes stay bound and drained")
    func slowServer() throws {
        let world = try World(Self.old, servers: [FakeServer(), FakeServer(delay: 1e9)], pace: 20)
        world.plan(at: .seconds(5_000)) { world throws in
            #expect(try world.drainable.status(world.watch).map(\.expiry) == [nil])
            #expect(
                world.waits == [.servers] && world.state.withLock { $0.inForce.unsteered(in: pool(Self.old)) }.isEmpty)
            world.state.withLock { $0.servers[1].delay = 0 }
        }
        try world.move(from: Self.old, to: Self.new)
        #expect(world.clock.uptime > .seconds(5_000) && world.violations == [])
    }

    @Test("Without servers to query, they have the seconds of --reload, at the end of the move, too")
    func reload() throws {
        for reload in [0, 5, 86_400] {
            let servers = [FakeServer(delay: Double(reload) * 0.9)], pace = 1 + reload / 100
            let world = try World(Self.old, ttl: 5, servers: servers, pace: Double(pace))
            let watch = ServerWatch(servers: [], reload: reload)
            let expiry = try duration(of: .expired, world, watch: watch)
            #expect(
                (Duration.seconds(reload + 5)...Duration.seconds(reload + 5 + 2 * pace)).contains(expiry), "\(expiry)")
            let forgotten = try duration(of: .moved, world, watch: watch)
            #expect((Duration.seconds(reload)...Duration.seconds(reload + pace)).contains(forgotten), "\(forgotten)")
            #expect(world.violations == [])
        }
    }

    @Test("A prefix must be quiet for the whole time, up to a day", arguments: [0.1, 5.5, 86_400])
    func quiet(_ seconds: Double) throws {
        let world = try World(Self.old, pace: 1 + seconds / 100)
        let took = try duration(of: .quiet, world, quiet: seconds)
        let rest = took - .seconds(seconds)
        #expect(rest >= .zero && rest < .seconds(1 + seconds / 100), "\(took)")
    }

    @Test("Packets prolong it, unless they are no more than allowed; packets to other prefixes do not")
    func packets() throws {
        let busy = { (prefix: String, threshold: UInt64) throws -> Duration in
            let world = try World(Self.old)
            try world.move(from: Self.old, to: Self.new, until: .expired)
            let begin = world.clock.uptime
            world.state.withLock { $0.visited = [(try! IPPrefix(prefix), begin + .seconds(60))] }
            try world.move(from: Self.old, to: Self.new, threshold: threshold, until: .quiet)
            return world.clock.uptime - begin
        }
        #expect(try busy("192.0.2.200/32", 0) > .seconds(60))
        #expect(try busy("192.0.2.200/32", 19) > .seconds(60), "20 packets come in a second")
        #expect(try busy("192.0.2.200/32", 25) < .seconds(3))
        #expect(try busy("198.51.100.3/32", 0) < .seconds(3))
    }

    @Test("Counts that a policy change takes away are no silence")
    func forgottenCounts() throws {
        let world = try World(Self.old)
        try world.move(from: Self.old, to: Self.new, until: .expired)
        let begin = world.clock.uptime
        let visitor = try IPPrefix("192.0.2.200/32")
        world.state.withLock { $0.visited = [(visitor, begin + .seconds(15))] }
        // Each second, just before the count, the counts begin anew.
        for second in 1...11 {
            world.plan(at: begin + .seconds(second) - .milliseconds(100)) { $0.state.withLock { $0.packets = [:] } }
        }
        try world.move(from: Self.old, to: Self.new, until: .quiet)
        #expect(world.clock.uptime - begin > .seconds(15))
    }

    @Test("Setting the time of day does not shorten the time of quiet, and moves no expiry before its time")
    func clockSet() throws {
        let world = try World(Self.old, ttl: 600, pace: 10)
        try world.move(from: Self.old, to: Self.new, until: .answering)
        world.plan(at: world.clock.uptime + .seconds(10)) { $0.state.withLock { $0.origin -= 300 } }
        let begin = world.clock.uptime
        try world.move(from: Self.old, to: Self.new, until: .expired)
        #expect(world.clock.uptime - begin > .seconds(890))
        world.plan(at: world.clock.uptime + .seconds(10)) { $0.state.withLock { $0.origin += 1e6 } }
        #expect(try duration(of: .quiet, world, quiet: 100) >= .seconds(100))
    }

    @Test("Old prefixes leave the file of drained ones only when no server has them in the pool")
    func forgotten() throws {
        let world = try World(Self.old, servers: [FakeServer(), FakeServer(delay: 40)])
        try world.move(from: Self.old, to: Self.new, until: .unbound)
        let begin = world.clock.uptime
        world.plan(at: begin + .seconds(30)) { world throws in
            #expect(try world.prefixes("web-drained.txt") == pool(Self.old))
        }
        try world.move(from: Self.old, to: Self.new)
        #expect(world.state.withLock { $0.plans.isEmpty } && world.violations == [])
    }
}
