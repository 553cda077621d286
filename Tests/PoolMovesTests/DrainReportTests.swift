import AddressPools
import Foundation
import PoolMoves
import Testing

/// What is reported of drained prefixes, and the packets that come to them.
struct DrainReportTests {
    private func json(_ report: DrainReport) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(report), as: UTF8.self)
    }

    /// Counts for a second.
    private func report(_ world: World, _ threshold: UInt64 = 0) throws -> DrainReport {
        try world.drainable.report(counting: 1, threshold, world.watch, world.steering, world.clock, unless: { false })
    }

    @Test("JSON without counts, as steer-dns drain prints it")
    func plain() throws {
        let world = try World("192.0.2.0/24", servers: [FakeServer(delay: 1)])
        try world.drainable.drain(pool("192.0.2.7/32"), world.clock)
        let report = { try DrainReport(world.drainable, world.drainable.status(world.watch), at: world.clock.now) }
        let begin = #"{"drained":[{"drained":"2001-09-09T01:46:41Z","expire"#
        #expect(try json(report()) == begin + #"d":false,"prefix":"192.0.2.7/32"}],"pool":"web","ttl":5}"#)
        world.advance(.seconds(2))
        #expect(
            try json(report()) == begin
                + #"d":false,"expires":"2001-09-09T01:46:48Z","prefix":"192.0.2.7/32"}],"pool":"web","ttl":5}"#)
        world.advance(.seconds(10))
        #expect(try report().hasExpired && report().mayUnbind == nil)
    }

    @Test("JSON with counts, as steer pool status prints it")
    func counted() throws {
        let world = try World("192.0.2.0/24")
        try world.drainable.drain(pool("192.0.2.6/31"), world.clock)
        world.observe()
        world.advance(.seconds(1))
        world.advance(.seconds(20))
        world.state.withLock { $0.visited = [(try! IPPrefix("192.0.2.7/32"), .seconds(100))] }
        #expect(
            try json(report(world))
                == #"{"answers":"\#(try world.drainable.answers)","drained":[{"drained":"2001-09-09T01:46:41Z","#
                + #""expired":true,"expires":"2001-09-09T01:46:47Z","mayUnbind":false,"parts":["#
                + #"{"packets":0,"prefix":"192.0.2.6/32","rate":0},{"packets":20,"prefix":"192.0.2.7/32","rate":20}],"#
                + #""prefix":"192.0.2.6/31"}],"mayUnbind":false,"pool":"web","ttl":5}"#)
    }

    @Test("A prefix may be unbound when its answers have expired and no part gets more packets than allowed")
    func mayUnbind() throws {
        let world = try World("192.0.2.0/24", ttl: 30)
        try world.drainable.drain(pool("192.0.2.0/26,192.0.2.128/26"), world.clock)
        world.state.withLock { $0.visited = [(try! IPPrefix("192.0.2.5/32"), .seconds(1_000))] }
        #expect(try report(world, 100).drained.map(\.mayUnbind) == [false, false], "not expired")
        world.advance(.seconds(40))
        let busy = try report(world, 19)
        #expect(busy.drained.map(\.mayUnbind) == [false, true] && busy.mayUnbind == false)
        #expect(busy.quiet == pool("192.0.2.128/26"))
        let quiet = try report(world, 20)
        #expect(quiet.mayUnbind == true && quiet.quiet == pool("192.0.2.0/26,192.0.2.128/26"))
    }

    @Test("Each of few prefixes is counted in 16 parts, or by address; many are counted as wholes")
    func parts() throws {
        let world = try World("192.0.2.0/24", "2001:db8::/64")
        try world.drainable.drain(pool("192.0.2.0/25,192.0.2.128/30,2001:db8::/65"), world.clock)
        let parts = try report(world).drained.map { $0.parts!.map(\.prefix) }
        #expect(parts.map(\.count) == [16, 4, 16])
        #expect(parts[0].prefix(2) == ["192.0.2.0/29", "192.0.2.8/29"] && parts[1].last == "192.0.2.131/32")
        #expect(parts[2][1] == "2001:db8:0:0:800::/69")
        let many = (0..<66).map { "192.0.2.\(2 * $0)/32" }
        try world.drainable.undrain(pool("192.0.2.0/25,192.0.2.128/30,2001:db8::/65"))
        try world.drainable.drain(pool(many.joined(separator: ",")), world.clock)
        #expect(try report(world).drained.map { $0.parts!.map(\.prefix) } == many.map { [$0] })
    }

    @Test("Without drained prefixes nothing is counted; an interruption ends counting early")
    func early() throws {
        let world = try World("192.0.2.0/24")
        world.state.withLock { $0.calls = 0 }
        let begin = world.clock.uptime
        #expect(try report(world).mayUnbind == true && world.state.withLock { $0.calls } == 0)
        #expect(world.clock.uptime == begin)
        try world.drainable.drain(pool("192.0.2.0/25"), world.clock)
        _ = try world.drainable.report(
            counting: 86_400, 0, world.watch, world.steering, world.clock,
            unless: { world.clock.uptime > begin + .seconds(1) })
        #expect(world.clock.uptime - begin < .seconds(2))
    }
}
