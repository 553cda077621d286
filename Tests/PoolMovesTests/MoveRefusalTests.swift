import AddressPools
import Documents
import PoolMoves
import Testing

/// What a move refuses: before it changes anything, and when something changes meanwhile.
struct MoveRefusalTests {
    private static let old = "192.0.2.0/24", new = "198.51.100.0/28"

    /// Returns the error of a move that must not change anything.
    private func refusal(
        _ world: World, from old: String = Self.old, to new: String = Self.new,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> String {
        let before = try world.everything()
        let error = world.refusal(from: old, to: new)
        #expect(try world.everything() == before, sourceLocation: sourceLocation)
        return error
    }

    @Test("Prefixes that do not fit the pool and its files")
    func prefixes() throws {
        let world = try World(Self.old)
        #expect(
            try refusal(world, from: "203.0.113.0/24")
                == "the pool web has nothing of 203.0.113.0/24, only 192.0.2.0/24: say what it moves from")
        #expect(try refusal(world, to: "::1/128").contains("would have no IPv4 address left to answer with"))

        let others = try World("203.0.113.0/24")
        let policy = try others.text("policy.yaml")
        try others.write(
            policy.replacing("prefixes-from: web.txt", with: "prefixes: 192.0.2.0/24, prefixes-from: web.txt"),
            to: "policy.yaml")
        others.state.withLock { $0.inForce.services["tcp 80"] = pool("192.0.2.0/24,203.0.113.0/24") }
        #expect(
            try refusal(others).contains(
                "192.0.2.0/24 of the pool web is written in \(others.policy) itself: move it to"))
        #expect(
            try refusal(others, from: "203.0.113.0/24", to: "192.0.2.0/24").contains(
                "web.txt would be empty: remove it"))

        try world.write(
            policy.replacing("prefixes-from: web.txt", with: "prefixes: 192.0.2.0/24"), to: "policy.yaml")
        #expect(try refusal(world).contains("has no file of prefixes to change: write web: { prefixes-from: web.txt"))
        try world.write(
            policy.replacing("web:", with: "wbe:").replacing("pool: web", with: "pool: wbe"), to: "policy.yaml")
        #expect(try refusal(world) == "there is no pool web in \(world.policy): its pools are wbe")
    }

    @Test("A host that does not get the packets, or has no socket for them")
    func host() throws {
        let world = try World(Self.old)
        world.state.withLock { $0.unrouted = pool("198.51.100.8/29") }
        #expect(try refusal(world) == "198.51.100.8/29 is not delivered here")
        world.state.withLock { ($0.unrouted, $0.socketless) = (PrefixPool(), [.ipv4]) }
        #expect(try refusal(world) == "tcp 80 IPv4 has no socket")
        world.state.withLock { $0.socketless = [.ipv6] }
        // Only the families of the new prefixes need sockets.
        try world.move(from: Self.old, to: Self.new)
    }

    @Test("A policy in force that is not that of the file, except in prefixes of the move")
    func foreignChanges() throws {
        let world = try World(Self.old)
        world.state.withLock { $0.inForce.services["udp 53"] = pool("203.0.113.0/24") }
        #expect(
            try refusal(world)
                == "the policy in force is not that of \(world.policy); they differ in 'udp 53 203.0.113.0/24': "
                + "steer apply \(world.policy)")
        world.state.withLock { ($0.inForce.services["udp 53"], $0.inForce.options) = (nil, "pass") }
        #expect(try refusal(world).contains("they differ in the label web: steer apply"))
        world.state.withLock { ($0.inForce.services, $0.inForce.options) = (["tcp 80": pool("192.0.2.0/25")], "") }
        try world.move(from: Self.old, to: Self.new)
    }

    @Test("Bindings of the file that do not steer the pool, or not every service of it to the new prefixes")
    func bindings() throws {
        let world = try World(Self.old)
        // The file binds all of the pool but these.
        world.state.withLock { $0.written.services["none"] = pool("192.0.2.9/32") }
        #expect(
            try refusal(world)
                == "no binding of \(world.policy) steers 192.0.2.9/32 of the pool web: add one with pool: web")
        world.state.withLock { $0.written.services["none"] = pool("198.51.100.9/32") }
        #expect(
            world.refusal(from: Self.old, to: Self.new)
                == "no binding of \(world.policy) steers 198.51.100.9/32: add one with pool: web")
        world.state.withLock { $0.written.services = ["udp 53": pool(Self.old)] }
        #expect(
            world.refusal(from: Self.old, to: Self.new)
                == "no binding of \(world.policy) steers udp 53 to 198.51.100.0/28, as for the rest of the pool: "
                + "use pool: web in it")
        #expect(world.state.withLock { $0.servers.map(\.answers) } == [pool(Self.old)] && world.violations == [])
    }

    @Test("An address of another pool that may be in answers and would not be steered any more")
    func otherPool() throws {
        let world = try World(Self.old)
        try world.write(
            try world.text("policy.yaml").replacing("pools:\n", with: "pools:\n  other: 203.0.113.0/24\n").replacing(
                "    - { name: default",
                with: "    - { name: more, suffix: example.com, pool: other }\n    - { name: default"),
            to: "policy.yaml")
        world.state.withLock { $0.written.services["none"] = pool("203.0.113.128/25") }
        world.state.withLock { $0.inForce.services["tcp 80"] = pool("192.0.2.0/24,203.0.113.0/25") }
        let error = world.refusal(from: Self.old, to: Self.new)
        #expect(error.contains("203.0.113.128/25 of the pool other may be in answers, and no binding would steer it"))
        #expect(world.state.withLock { $0.applied } == [])
    }

    @Test("Old prefixes that another command undrains while answers expire, or while it becomes quiet, stay bound")
    func undrained() throws {
        for seconds in [3, 8] {
            let world = try World(Self.old)
            world.plan(at: .seconds(seconds)) { world in try world.drainable.undrain(pool("192.0.2.7/32")) }
            let error = world.refusal(from: Self.old, to: Self.new, quiet: 5)
            #expect(error == "the pool web is answered from 192.0.2.0/24 again: start the move again")
            let steps = world.state.withLock { $0.progress.map(\.step) }
            #expect(steps == (seconds == 3 ? [.bound, .answering] : [.bound, .answering, .expired, .quiet]))
            #expect(try world.prefixes("web.txt") == pool("192.0.2.0/24,198.51.100.0/28") && world.violations == [])
            try world.move(from: Self.old, to: Self.new)
            #expect(try world.prefixes("web.txt") == pool(Self.new) && world.violations == [])
        }
    }

    @Test("Old prefixes that someone writes into the policy itself meanwhile are not reported as unbound")
    func writtenMeanwhile() throws {
        let world = try World(Self.old)
        world.plan(at: .seconds(3)) { world in
            try world.write(
                try world.text("policy.yaml").replacing(
                    "prefixes-from: web.txt", with: "prefixes: 192.0.2.0/25, prefixes-from: web.txt"), to: "policy.yaml"
            )
        }
        let error = world.refusal(from: Self.old, to: Self.new)
        #expect(error == "192.0.2.0/25 of the pool web is written in \(world.policy), too: remove it there")
        #expect(world.state.withLock { $0.progress.last?.step } == .quiet && world.violations == [])
    }

    @Test("A policy file that becomes invalid, or loses the pool, ends the wait; nothing is unbound")
    func damagedMeanwhile() throws {
        for text in ["pools: [", "pools: { wbe: 192.0.2.0/24 }\n"] {
            let world = try World(Self.old)
            world.plan(at: .seconds(3)) { world in try world.write(text, to: "policy.yaml") }
            let error = world.refusal(from: Self.old, to: Self.new)
            #expect(error.contains("policy.yaml"), "\(error)")
            #expect(world.state.withLock { $0.inForce.unsteered(in: pool(Self.old)) }.isEmpty)
        }
    }
}
