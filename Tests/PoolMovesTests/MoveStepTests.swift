import AddressPools
import PoolMoves
import Testing

/// The order of the steps: whoever has an answer is served, and each step can be the last for a while.
struct MoveStepTests {
    private static let servers = [FakeServer(delay: 0), FakeServer(delay: 3)]
    private static let old = "192.0.2.0/24", new = "198.51.100.0/28"

    @Test("A move binds, answers, waits until answers have expired and it is quiet, and unbinds")
    func wholeMove() throws {
        let world = try World(Self.old, servers: Self.servers)
        let progress = try world.progress(from: Self.old, to: Self.new)
        #expect(
            progress == [
                .bound(pool("192.0.2.0/24,198.51.100.0/28")), .answering(pool(Self.new)), .expired(pool(Self.old)),
                .quiet(pool(Self.old)), .unbound(pool(Self.old)), .moved(pool(Self.new)),
            ])
        #expect(world.violations == [])
        #expect(
            try world.everything() == ["198.51.100.0/28\n", "", "\(FakePolicy(services: ["tcp 80": pool(Self.new)]))"])
        #expect(world.state.withLock { $0.servers.map(\.answers) } == [pool(Self.new), pool(Self.new)])
    }

    @Test(
        "Parts that are both old and new stay bound and answered",
        arguments: [
            ("192.0.2.0/24", "192.0.2.16/28"), ("192.0.2.16/28", "192.0.2.0/24"), ("192.0.2.0/25", "192.0.2.64/26"),
            ("192.0.2.0/25", "192.0.2.64/26,198.51.100.0/30"),
        ])
    func overlap(_ old: String, _ new: String) throws {
        let world = try World(old, servers: Self.servers)
        try world.move(from: old, to: new)
        #expect(world.violations == [])
        #expect(try world.prefixes("web.txt") == pool(new) && world.text("web-drained.txt") == "")
        for policy in world.state.withLock({ $0.applied }) {
            #expect(policy.unsteered(in: pool(old).intersection(pool(new))).isEmpty)
        }
    }

    @Test("Prefixes that are not part of the move stay, with their comments")
    func others() throws {
        let world = try World("# The pool web", "203.0.113.0/24  # others", Self.old, servers: Self.servers)
        try world.write("203.0.113.7/32  # broken\n", to: "web-drained.txt")
        try world.move(from: Self.old, to: Self.new)
        #expect(try world.text("web.txt") == "# The pool web\n203.0.113.0/24  # others\n198.51.100.0/28\n")
        #expect(try world.text("web-drained.txt") == "203.0.113.7/32  # broken\n")
        #expect(world.violations == [])
    }

    @Test("Each step can be the last; taking it again changes nothing, and the next call goes on")
    func until() throws {
        let world = try World(Self.old, servers: Self.servers)
        let answers = { world.state.withLock { $0.servers.map(\.answers) } }
        let both = pool("192.0.2.0/24,198.51.100.0/28")
        for step in MoveStep.allCases {
            var before: [String] = []
            for round in 0..<2 {
                let progress = try world.progress(from: Self.old, to: Self.new, until: step)
                // What is unbound has nothing to wait for any more.
                let isOver = round == 1 && (step == .unbound || step == .moved)
                #expect(isOver || progress.last?.step == step)
                world.advance(.seconds(10))
                if round == 1 { #expect(try Self.addresses(world) == before) }
                before = try Self.addresses(world)
            }
            let bound = world.state.withLock { $0.inForce.services["tcp 80"]! }
            switch step {
            case .bound: #expect(bound == both && answers() == [pool(Self.old), pool(Self.old)])
            case .answering, .expired, .quiet: #expect(bound == both && answers() == [pool(Self.new), pool(Self.new)])
            case .unbound:
                #expect(bound == pool(Self.new) && answers() == [pool(Self.new), pool(Self.new)])
                #expect(try world.prefixes("web-drained.txt") == pool(Self.old))
            case .moved: #expect(try bound == pool(Self.new) && world.text("web-drained.txt") == "")
            }
        }
        #expect(world.violations == [])
    }

    private static func addresses(_ world: World) throws -> [String] {
        ["\(try world.prefixes("web.txt"))", "\(try world.prefixes("web-drained.txt"))"]
            + [try world.everything()[2]]
    }

    @Test("A pool that has moved, or never had the old prefixes, says so, and nothing changes")
    func nothingToMove() throws {
        let world = try World(Self.new, servers: Self.servers)
        let before = try world.everything()
        let progress = try world.progress(from: Self.old, to: Self.new)
        #expect(progress.last == .nothingToMove(pool(Self.new)) && progress.map(\.step).contains(.bound))
        #expect(try world.everything() == before)
    }

    @Test("A reason to wait is reported once, and again in the next step")
    func reasons() throws {
        let world = try World(Self.old, ttl: 20, servers: [FakeServer(delay: 2)])
        world.state.withLock { $0.visited = [(try! IPPrefix("192.0.2.65/32"), .seconds(30))] }
        try world.move(from: Self.old, to: Self.new)
        let waits = world.waits
        #expect(waits.first == .servers && waits.filter { $0 == .servers }.count == 2, "\(waits)")
        #expect(
            waits.count { if case .expiry(of: pool(Self.old), at: _) = $0 { true } else { false } } == 1, "\(waits)")
        #expect(waits.contains { if case .packets(_, to: pool(Self.old)) = $0 { true } else { false } }, "\(waits)")
        for (one, next) in zip(waits, waits.dropFirst()) { #expect(one != next) }
    }
}
