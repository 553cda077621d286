import SteeringDNS
import Testing

@testable import Simulation

/// Detection and draining of route leaks.
@Suite struct CatchmentTests {
    /// Returns the foreign share of each interval, with 500 connections that are foreign with the given probability.
    private func shares(_ probability: Double, intervals: Int, seed: UInt64) -> [Double] {
        var generator = FastGenerator(seed: seed)
        return (0..<intervals).map { _ in
            let foreign = (0..<500).count { _ in generator.nextFraction() < probability }
            return Double(foreign) / 500
        }
    }

    private func learnt(_ threshold: Double = 15) -> Cusum {
        Cusum(learning: shares(0.02, intervals: 600, seed: 1), smallestDeviation: 0, threshold: threshold)
    }

    @Test("the baseline is learnt: mean and standard deviation")
    func learning() {
        let detector = Cusum(learning: [0.1, 0.2, 0.3], smallestDeviation: 0, threshold: 1)
        #expect(abs(detector.mean - 0.2) < 1e-12 && abs(detector.deviation - 0.1) < 1e-12)
        let quiet = Cusum(learning: [0, 0, 0], smallestDeviation: 0.01, threshold: 1)
        #expect((quiet.mean, quiet.deviation) == (0, 0.01))
        let none = Cusum(learning: [], smallestDeviation: 0.01, threshold: 1)
        #expect((none.mean, none.deviation) == (0, 0.01))
    }

    @Test("the noise of a baseline raises no alarm, in a day of seconds")
    func noise() {
        var detector = learnt()
        #expect(shares(0.02, intervals: 86_400, seed: 2).count { detector.add($0) } == 0)
        // A lower threshold raises alarms.
        var nervous = learnt(4)
        #expect(shares(0.02, intervals: 86_400, seed: 2).count { nervous.add($0) } > 100)
    }

    @Test(
        "a rise raises the alarm, the sooner the higher it is", arguments: [(0.03, 15), (0.04, 8), (0.1, 2), (1.0, 1)])
    func rise(share: Double, intervals: Int) {
        var detector = learnt()
        let early = shares(0.02, intervals: 100, seed: 3).count { detector.add($0) }
        #expect(early == 0)
        let first = shares(share, intervals: 100, seed: 4).firstIndex { detector.add($0) }
        #expect(first != nil && first! < 2 * intervals)
        #expect(detector.sum == 0, "it begins anew")
    }

    @Test("a fall never raises the alarm, and does not hide a rise that follows")
    func fall() {
        var detector = learnt()
        let early = shares(0.001, intervals: 10_000, seed: 5).count { detector.add($0) }
        #expect(early == 0)
        #expect(shares(0.1, intervals: 5, seed: 6).contains { detector.add($0) })
    }

    private func parameters(leaks: [Double], ttl: Int = 20) -> Catchment.Parameters {
        var parameters = Catchment.Parameters(
            requestsPerSecond: 500, ttl: ttl, baseline: 0.02, leaks: leaks, seconds: 1_000)
        (parameters.trials, parameters.learnSeconds, parameters.limitSeconds) = (5, 300, 100)
        (parameters.names, parameters.resolvers) = (1_000, 200)
        return parameters
    }

    @Test(
        "leaks are seen where the traffic arrives, the larger the sooner, and drained within the TTL",
        arguments: [5, 40])
    func leaks(ttl: Int) throws {
        let report = try Catchment(parameters(leaks: [0.05, 0.5], ttl: ttl)).run()
        #expect(report.falseAlarms == 0)
        for leak in report.leaks {
            #expect((leak.detected, leak.misattributed, leak.falseAlarms) == (5, 0, 0))
            #expect(leak.drainedWithinTTL)
            let drain = try #require(leak.secondsToDrain)
            // Answers with the old prefix were given until the alarm, so connections continue for almost the whole TTL.
            #expect(drain.worst <= Double(ttl) && drain.median > 0.8 * Double(ttl))
            let drained = try #require(leak.foreignShareDrained)
            #expect(leak.foreignShareLeaking > 1.5 * leak.foreignShareBefore)
            #expect(abs(drained - leak.foreignShareBefore) < 0.01, "clients have come home")
        }
        let times = report.leaks.compactMap(\.secondsToDetect?.median)
        #expect(times.count == 2 && times[0] > times[1])
    }

    @Test("a leak of nothing is not seen")
    func noLeak() throws {
        let report = try Catchment(parameters(leaks: [0])).run()
        let leak = try #require(report.leaks.first)
        #expect((leak.detected, leak.falseAlarms, report.falseAlarms) == (0, 0, 0))
        #expect(leak.secondsToDetect == nil && leak.secondsToDrain == nil)
    }

    @Test("each site answers from its own prefix; a whole leak takes all of A's to B, and nothing of B's")
    func sites() throws {
        var parameters = parameters(leaks: [])
        parameters.baseline = 0
        let catchment = try Catchment(parameters)
        var servers = catchment.servers()
        var sites = try TwoSites(parameters, catchment.before.a)
        let before = try sites.run(until: 30, &servers)
        #expect(before[.a, .a] > 1_000 && before[.b, .b] > 1_000)
        #expect(before.total(.a) == before[.a, .a] && before.total(.b) == before[.b, .b])
        #expect(before.foreignShare(.a) == 0)
        sites.leak = (1, 1)
        let leaking = try sites.run(until: 60, &servers)
        #expect(leaking.total(.a) == 0 && leaking.foreignShare(.a) == nil)
        #expect(leaking[.b, .a] > 1_000 && leaking[.b, .b] > 1_000 && leaking[.b, .spare] == 0)
        servers.a.serving = catchment.drained
        _ = try sites.run(until: 80, &servers)
        let drained = try sites.run(until: 110, &servers)
        #expect(drained.total(.a) == drained[.a, .spare] && drained[.a, .spare] > 1_000)
        #expect(drained.total(.b) == drained[.b, .b])
        #expect(sites.lastToA < 80 && sites.lastToA > 75)
    }

    @Test("the share of clients that arrive at the other site is the baseline")
    func baseline() throws {
        var parameters = parameters(leaks: [])
        parameters.baseline = 0.3
        let catchment = try Catchment(parameters)
        var servers = catchment.servers()
        var sites = try TwoSites(parameters, catchment.before.a)
        let counts = try sites.run(until: 200, &servers)
        let fromA = Double(counts[.b, .a]) / Double(counts[.a, .a] + counts[.b, .a])
        let fromB = Double(counts[.a, .b]) / Double(counts[.b, .b] + counts[.a, .b])
        #expect(abs(fromA - 0.3) < 0.02 && abs(fromB - 0.3) < 0.02)
    }

    @Test("the same seed gives the same report")
    func seed() throws {
        let one = try Catchment(parameters(leaks: [0.1])).run(), other = try Catchment(parameters(leaks: [0.1])).run()
        #expect(one.leaks[0].secondsToDetect?.median == other.leaks[0].secondsToDetect?.median)
        #expect(one.leaks[0].secondsToDrain?.worst == other.leaks[0].secondsToDrain?.worst)
    }

    @Test("the middle of figures, and the worst")
    func spread() throws {
        #expect(CatchmentReport.Spread([]) == nil)
        let odd = try #require(CatchmentReport.Spread([3, 1, 2])),
            even = try #require(CatchmentReport.Spread([4, 1, 2, 3]))
        #expect((odd.median, odd.worst) == (2, 3))
        #expect((even.median, even.worst) == (2.5, 4))
    }
}
