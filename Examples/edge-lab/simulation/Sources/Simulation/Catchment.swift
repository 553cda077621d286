import SteeringDNS

/// An application from section 6 of the paper: each point of presence answers with addresses of its own prefix, so
/// traffic that arrives for the other's prefix has been misrouted.
///
/// When its share rises above the baseline, an alarm is raised, and the policy switches to a prefix that does not leak;
/// new connections to the old one end within the TTL.
///
/// The names move to a third prefix, not to the other site's: that brings back all clients of A at once, and no site
/// needs to know which ones had leaked. It is a one-line change of the policy.
public struct Catchment: Sendable {
    /// The parameters of a simulation.
    public struct Parameters: Sendable {
        /// The connections per second at both sites together, and the TTL of answers in seconds.
        public var requestsPerSecond: Double, ttl: Int
        /// The share of clients that always arrive at the other site, and the shares of A's clients that do in a leak;
        /// each is simulated separately.
        public var baseline: Double, leaks: [Double]
        /// The time in seconds to watch for false alarms without a leak, to learn the baseline, and to detect a leak.
        public var seconds: Int, learnSeconds = 600, limitSeconds = 600
        /// The number of leaks of each size.
        public var trials = 100
        /// The number of names and of resolvers.
        public var names = 100_000, resolvers = 1_000
        /// The alarm threshold of ``Cusum``.
        public var threshold = 15.0
        /// The seed of all random numbers.
        public var seed: UInt64 = 1

        /// Creates parameters.
        public init(requestsPerSecond: Double, ttl: Int, baseline: Double, leaks: [Double], seconds: Int) {
            (self.requestsPerSecond, self.ttl, self.baseline) = (requestsPerSecond, ttl, baseline)
            (self.leaks, self.seconds) = (leaks, seconds)
        }
    }

    private let parameters: Parameters
    /// The data that both servers answer from before the alarm, and that of A after it.
    let before: (a: ServedData, b: ServedData), drained: ServedData

    /// Both sites before a leak, and their detectors after learning.
    private struct Learnt: Sendable {
        var sites: TwoSites
        var detectors: [Cusum]
    }

    /// Reads the policies.
    public init(_ parameters: Parameters) throws {
        guard parameters.requestsPerSecond > 0, (1...86_400).contains(parameters.ttl), parameters.seconds >= 0,
            ([parameters.baseline] + parameters.leaks).allSatisfy({ (0...1).contains($0) }),
            parameters.trials >= 1, parameters.names >= 1, (2...65_536).contains(parameters.resolvers)
        else {
            throw SimulationError(
                "shares are 0 to 1, the TTL 1 to 86400 s, resolvers 2 to 65536, and the rest above 0: correct the parameters"
            )
        }
        self.parameters = parameters
        let folder = try PolicyFolder()
        before.a = try folder.serving(Self.policy(poolAtA: "a", parameters.ttl), site: "a")
        before.b = try folder.serving(Self.policy(poolAtA: "a", parameters.ttl), site: "b")
        drained = try folder.serving(Self.policy(poolAtA: "spare", parameters.ttl), site: "a")
    }

    private static func policy(poolAtA pool: String, _ ttl: Int) -> String {
        """
        pools:
          a: 192.0.2.0/24
          b: 198.51.100.0/24
          spare: 203.0.113.0/24
        names:
          zones: [example.com.zone]
          policies:
            - { name: at-a, site: a, pool: \(pool), ttl: \(ttl) }
            - { name: at-b, site: b, pool: b, ttl: \(ttl) }
            - { name: default, pool: spare, ttl: \(ttl) }
        """
    }

    /// Returns the servers of both sites before the alarm.
    func servers() -> TwoSites.Servers {
        TwoSites.Servers(
            a: Authority(before.a, seed: parameters.seed &+ 1), b: Authority(before.b, seed: parameters.seed &+ 2))
    }

    /// Runs the simulation.
    public func run() throws -> CatchmentReport {
        var servers = servers()
        var learnt = try learn(&servers)
        let falseAlarms = try watch(&learnt, &servers)
        let progress = Progress("leaks", of: parameters.leaks.count * parameters.trials)
        defer { progress.end() }
        var leaks: [CatchmentReport.Leak] = []
        for (size, share) in parameters.leaks.enumerated() {
            var trials: [CatchmentTrial] = []
            for number in 0..<parameters.trials {
                let seed = parameters.seed &* 1_000_003 &+ UInt64(size * parameters.trials + number + 1)
                trials.append(try tryLeak(share, seed, learnt, &servers))
                progress.add(1)
            }
            leaks.append(.init(share, trials, ttl: parameters.ttl))
        }
        return CatchmentReport(parameters, falseAlarms: falseAlarms, leaks: leaks)
    }

    /// Learns the foreign share at each site without a leak.
    private func learn(_ servers: inout TwoSites.Servers) throws -> Learnt {
        var sites = try TwoSites(parameters, before.a)
        // Fill the resolvers' caches first.
        _ = try sites.run(until: Double(parameters.ttl), &servers)
        var shares: [[Double]] = [[], []]
        for _ in 0..<parameters.learnSeconds {
            let counts = try sites.run(until: sites.now + 1, &servers)
            for site in TwoSites.Site.allCases {
                if let share = counts.foreignShare(site) { shares[site.rawValue].append(share) }
            }
        }
        // A lower bound, so that a single foreign connection is not significant even if none came while learning.
        let smallest = 2 / parameters.requestsPerSecond
        let detectors = shares.map {
            Cusum(learning: $0, smallestDeviation: smallest, threshold: parameters.threshold)
        }
        return Learnt(sites: sites, detectors: detectors)
    }

    /// Counts the alarms without a leak.
    private func watch(_ learnt: inout Learnt, _ servers: inout TwoSites.Servers) throws -> Int {
        let progress = Progress("seconds without a leak", of: parameters.seconds)
        defer { progress.end() }
        var alarms = 0
        for _ in 0..<parameters.seconds {
            let counts = try learnt.sites.run(until: learnt.sites.now + 1, &servers)
            alarms += Self.sitesThatRaise(counts, &learnt.detectors).count
            progress.add(1)
        }
        return alarms
    }

    /// Returns the sites that raise an alarm, first the one with more excess foreign connections.
    ///
    /// A site that lost its own traffic also sees a high foreign share, but of few connections.
    private static func sitesThatRaise(_ counts: TwoSites.Counts, _ detectors: inout [Cusum]) -> [TwoSites.Site] {
        var raised: [(site: TwoSites.Site, rise: Double)] = []
        for site in TwoSites.Site.allCases {
            guard let share = counts.foreignShare(site) else { continue }
            let rise = (share - detectors[site.rawValue].mean) * Double(counts.total(site))
            if detectors[site.rawValue].add(share) { raised.append((site, rise)) }
        }
        return raised.sorted { $0.rise > $1.rise }.map(\.site)
    }

    /// Simulates a leak that starts at a random time within an interval, until it is detected and drained.
    private func tryLeak(
        _ share: Double, _ seed: UInt64, _ learnt: Learnt, _ servers: inout TwoSites.Servers
    ) throws -> CatchmentTrial {
        var (sites, detectors) = (learnt.sites, learnt.detectors)
        var random = FastGenerator(seed: seed)
        sites.reseed(random.next())
        servers.a.serving = before.a
        var trial = CatchmentTrial()
        var quiet = TwoSites.Counts(), leaking = TwoSites.Counts()
        for _ in 0..<Self.leadIn {
            let counts = try sites.run(until: sites.now + 1, &servers)
            trial.falseAlarms += Self.sitesThatRaise(counts, &detectors).count
            quiet.add(counts)
        }
        let intervalBegin = sites.now
        var counts = try sites.run(until: intervalBegin + random.nextFraction(), &servers)
        let began = sites.now
        sites.leak = (share, random.next())
        var end = intervalBegin + 1
        while end - began < Double(parameters.limitSeconds) {
            let more = try sites.run(until: end, &servers)
            leaking.add(more)
            counts.add(more)
            if let site = Self.sitesThatRaise(counts, &detectors).first {
                trial.secondsToDetect = end - began
                trial.isAtB = site == .b
                break
            }
            counts = TwoSites.Counts()
            end += 1
        }
        trial.foreignBefore = quiet.foreignShare(.b) ?? 0
        trial.foreignLeaking = leaking.foreignShare(.b) ?? 0
        guard trial.secondsToDetect != nil else { return trial }
        try drain(&trial, &sites, &servers)
        return trial
    }

    /// Moves A's names to the spare prefix, while the leak continues.
    private func drain(
        _ trial: inout CatchmentTrial, _ sites: inout TwoSites, _ servers: inout TwoSites.Servers
    ) throws {
        let alarm = sites.now
        servers.a.serving = drained
        _ = try sites.run(until: alarm + Double(parameters.ttl), &servers)
        let after = try sites.run(until: sites.now + Double(Self.leadIn), &servers)
        trial.secondsToDrain = max(0, sites.lastToA - alarm)
        trial.foreignDrained = after.foreignShare(.b) ?? 0
    }

    /// The time in seconds for which shares are measured before a leak and after draining.
    private static let leadIn = 20
}
