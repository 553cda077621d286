import AddressPools
import Documents
import PoolMoves
import Testing

/// Draining and undraining, and when the last answers expire.
struct DrainablePoolTests {
    @Test("Drained prefixes are answered no more, and may be again; comments and times of other lines stay")
    func drain() throws {
        let world = try World("192.0.2.0/24")
        try world.write("# By hand\n192.0.2.7/32  # broken\n", to: "web-drained.txt")
        try world.drainable.drain(pool("192.0.2.0/25"), world.clock)
        // The clock shows 1,000,000,000.5, and a time is rounded up.
        let line = "  # drained 2001-09-09T01:46:41Z"
        let lines = pool("192.0.2.0/25").subtracting(pool("192.0.2.7/32")).prefixes.map { "\($0)\(line)\n" }
        #expect(try world.text("web-drained.txt") == "# By hand\n192.0.2.7/32  # broken\n" + lines.joined())
        #expect(try world.drainable.answers == pool("192.0.2.128/25"))
        try world.drainable.undrain(pool("192.0.2.0/25"))
        #expect(try world.text("web-drained.txt") == "# By hand\n")
        #expect(try world.drainable.answers == pool("192.0.2.0/24"))
    }

    @Test("What cannot be drained or undrained is refused, and nothing changes")
    func refused() throws {
        let world = try World("192.0.2.0/24", "2001:db8::/64")
        try world.drainable.drain(pool("192.0.2.0/25"), world.clock)
        let before = try world.everything()
        let drainable = try world.drainable
        for (prefixes, hint) in [
            ("192.0.2.128/25", "the pool web would have no IPv4 address left"),
            ("2001:db8::/64", "the pool web would have no IPv6 address left"),
            ("192.0.3.0/24", "192.0.3.0/24 is not in the pool web, which has"),
        ] {
            #expect { try drainable.drain(pool(prefixes), world.clock) } throws: { "\($0)".contains(hint) }
        }
        #expect { try drainable.undrain(pool("192.0.2.128/25")) } throws: { "\($0)".contains("is not drained") }
        #expect(try world.everything() == before)
    }

    @Test("All of a pool may be drained if another pool takes over, of each family that it has")
    func fallback() throws {
        let world = try World("192.0.2.0/24", "2001:db8::/64")
        func write(_ policies: String...) throws {
            try world.write(
                """
                pools:
                  web: { prefixes-from: web.txt, drained-from: web-drained.txt }
                  spare: 198.51.100.1/32
                names: { zones: [zone], policies: [{ name: web, pool: web }, \(policies.joined(separator: ", "))] }

                """, to: "policy.yaml")
        }
        let all = pool("192.0.2.0/24")
        for last in ["name: last, outcome: pass", "name: last, pool: web, ttl: 5", "name: a, types: AAAA, pool: spare"]
        {
            try write("{ \(last) }", "{ name: default, outcome: refuse }")
            #expect(throws: DocumentError.self) { try world.drainable.drain(all, world.clock) }
        }
        try write("{ name: last, pool: spare }")
        try world.drainable.drain(all, world.clock)
        #expect(try world.drainable.answers == pool("2001:db8::/64"))
        #expect(throws: DocumentError.self) { try world.drainable.drain(pool("2001:db8::/64"), world.clock) }
    }

    @Test("A pool is found by its name, and by a prefix if only one pool has it")
    func find() throws {
        let world = try World("192.0.2.0/24")
        let policy = try world.text("policy.yaml")
        try world.write(
            policy.replacing("pools:\n", with: "pools:\n  plain: 198.51.100.0/24\n  half: 192.0.2.0/25\n"),
            to: "policy.yaml")
        #expect(try DrainablePool(with: IPPrefix("192.0.2.200/32"), policy: world.policy).name == "web")
        for (prefix, hint) in [
            ("192.0.2.0/26", "the pools half, web"), ("203.0.113.0/24", "no pool of"),
            ("198.51.100.0/25", "the pool plain of \(world.policy) has no drained-from file"),
        ] {
            #expect { try DrainablePool(with: IPPrefix(prefix), policy: world.policy) } throws: {
                "\($0)".contains(hint)
            }
        }
        #expect { try DrainablePool("wbe", policy: world.policy) } throws: { "\($0)".contains("there is no pool wbe") }
    }

    @Test("An answer expires a TTL after the last server that gives it; without servers, --reload after its line")
    func expiry() throws {
        let world = try World("192.0.2.0/24", ttl: 60, servers: [FakeServer(delay: 0), FakeServer(delay: 30)])
        try world.drainable.drain(pool("192.0.2.0/25"), world.clock)
        let expiries = { (watch: ServerWatch) in try world.drainable.status(watch).map(\.expiry) }
        let alone = ServerWatch(servers: [], reload: 5)
        #expect(try expiries(world.watch) == [nil] && expiries(alone) == [1_000_000_001 + 5 + 60])
        world.advance(.seconds(29))
        #expect(try expiries(world.watch) == [nil])
        world.advance(.seconds(2))
        // Read and in force at 31.5 s, rounded up.
        #expect(try expiries(world.watch) == [1_000_000_032 + 60])

        // A line that counts from later does so; the others of the file have its last change.
        world.advance(.seconds(100))
        try world.drainable.drain(pool("192.0.2.128/26"), world.clock)
        world.observe()
        world.advance(.seconds(31))
        #expect(try expiries(world.watch) == [1_000_000_163 + 60, 1_000_000_163 + 60])
        #expect(try expiries(alone) == [1_000_000_001 + 65, 1_000_000_132 + 65])
    }

    @Test("Lines without a time count from the last change of the file, and a file that is missing has none")
    func byHand() throws {
        let world = try World("192.0.2.0/24", ttl: 60)
        let alone = ServerWatch(servers: [], reload: 5)
        #expect(try world.drainable.status(alone) == [] && world.watch.inForce("/nowhere", pool: World.poolName) == 0)
        try world.write("192.0.2.7/32 # drained by Ann\n192.0.2.9/32\n", to: "web-drained.txt")
        world.observe()
        #expect(try world.drainable.status(alone).map(\.drained) == [1_000_000_001, 1_000_000_001])
        try world.write("192.0.2.7/32 # drained 2001-09-09T01:46:39Z by Ann\n", to: "web-drained.txt")
        #expect(try world.drainable.status(alone).map(\.drained) == [999_999_999])
    }

    @Test("Waiting ends when the last answer has expired, not before")
    func awaitExpiry() throws {
        let world = try World("192.0.2.0/24", ttl: 60, servers: [FakeServer(delay: 3)])
        try world.write("192.0.2.200/32 # drained 2001-09-09T03:00:00Z\n", to: "web-drained.txt")
        try world.drainable.drain(pool("192.0.2.0/25"), world.clock)
        var left: [Int?] = []
        let report = try world.drainable.awaitExpiry(of: pool("192.0.2.0/25"), world.watch, world.clock) {
            left.append($0.secondsLeft)
        }
        #expect(report.hasExpired && report.drained.map(\.prefix) == ["192.0.2.0/25"])
        #expect(world.clock.uptime > .seconds(63) && world.clock.uptime < .seconds(66))
        #expect(left.first == .some(nil) && left.last == 0 && left.compactMap(\.self).first == 60)
        #expect(world.violations == [])
    }
}
