import AddressPools
import SteeringDNS
import Synchronization

/// Simulates the number of requests to each address (Figure 7 of the paper).
///
/// Clients resolve names, their resolvers cache the answers, and each request goes to the cached or answered address.
///
/// The resolvers are divided into groups, which are simulated independently on any free thread: resolvers share only
/// the server, which is stateless. So the result depends on the seed and not on the number of threads. The requests of
/// a group are evenly spaced, and their number is proportional to its clients.
public struct Load: Sendable {
    /// The parameters of a simulation.
    public struct Parameters: Sendable {
        /// The number of names, the exponent of their popularity (see ``Zipf``), and the number of resolvers.
        public var names: Int, skew = 1.0, resolvers = 10_000
        /// The number of requests, and the requests per second.
        public var requests: Int, rate: Double
        /// The seed of all random numbers.
        public var seed: UInt64 = 1
        /// The number of groups simulated in parallel.
        public var threads = 1

        /// Creates parameters.
        public init(names: Int, requests: Int, rate: Double) {
            (self.names, self.requests, self.rate) = (names, requests, rate)
        }
    }

    /// The result of a simulation.
    public struct Report: Sendable, Encodable {
        /// The number of requests, and of queries to the name server.
        public let requests: Int, queries: Int
        /// The share of requests whose resolver had the name in its cache.
        public let cacheHitShare: Double
        /// The simulated time in seconds.
        public let secondsSimulated: Double
        /// The number of names, resolvers and addresses.
        public let names: Int, resolvers: Int, addresses: Int
        /// The longest TTL, in seconds.
        public let ttl: UInt32
        /// The number of answers evicted from a full cache set before they had expired.
        public let evictions: Int
        /// The size of all caches in bytes.
        public let cacheBytes: Int
        /// The exponent of the names' popularity, and the requests per second.
        public let skew: Double, requestsPerSecond: Double
        /// The seed of all random numbers.
        public let seed: UInt64
    }

    private let serving: ServedData
    private let parameters: Parameters
    private let addresses: AddressNumbers
    private let names: Zipf

    /// The number of groups.
    ///
    /// With so many, the answers of a group fit the CPU cache, except for the largest groups of a single resolver each.
    private static let groupCount = 256
    /// The number of requests drawn before the first is looked up, so that their cache sets are loaded in parallel.
    private static let batch = 32
    private static let progressStep = 1 << 20

    /// Prepares a simulation.
    ///
    /// - Parameters:
    ///   - serving: The data to answer from.
    ///   - parameters: The parameters of the simulation.
    /// - Throws: An error if a parameter is out of range, or if the pools have no IPv4 address or too many.
    public init(_ serving: ServedData, _ parameters: Parameters) throws(SimulationError) {
        guard (1...Int(UInt32.max)).contains(parameters.names), (1...65_536).contains(parameters.resolvers) else {
            throw SimulationError(
                "there are 1 to 4,294,967,295 names and 1 to 65,536 resolvers: use a number in between")
        }
        guard parameters.requests >= 0, parameters.rate > 0, parameters.skew >= 0 else {
            throw SimulationError(
                "requests, their rate and the skew must not be negative, and the rate not 0: correct them")
        }
        guard Double(parameters.requests) / parameters.rate < 15_000_000 else {
            throw SimulationError("that is more than 15,000,000 seconds: use fewer requests, or a higher rate")
        }
        self.serving = serving
        self.parameters = parameters
        addresses = try AddressNumbers(of: serving)
        names = Zipf(count: parameters.names, exponent: parameters.skew)
    }

    /// Runs the simulation.
    ///
    /// - Returns: The result, and the number of requests to each address of the pools, in ascending order.
    public func run() async throws -> (report: Report, requestsByAddress: [(address: IPAddress, count: Int)]) {
        let groups = groups()
        let progress = Progress("requests", of: parameters.requests)
        defer { progress.end() }
        let line = Line()
        let total = try await withThrowingTaskGroup(of: Tally.self) { tasks in
            for _ in 0..<max(1, parameters.threads) {
                tasks.addTask {
                    var tally = Tally(addresses: addresses.count)
                    while true {
                        let number = line.next()
                        guard number < groups.count else { return tally }
                        try run(groups[number], number, into: &tally, progress)
                    }
                }
            }
            return try await tasks.reduce(into: Tally(addresses: addresses.count)) { $0.add($1) }
        }
        return (report(total), total.counts.enumerated().map { (addresses.address($0), $1) })
    }

    private func report(_ tally: Tally) -> Report {
        Report(
            requests: tally.requests, queries: tally.queries,
            cacheHitShare: tally.requests == 0 ? 0 : 1 - Double(tally.queries) / Double(tally.requests),
            secondsSimulated: Double(parameters.requests) / parameters.rate, names: parameters.names,
            resolvers: parameters.resolvers, addresses: addresses.count, ttl: serving.longestTTL,
            evictions: tally.evictions, cacheBytes: tally.cacheBytes, skew: parameters.skew,
            requestsPerSecond: parameters.rate, seed: parameters.seed)
    }
}

// MARK: - Groups

extension Load {
    /// Resolvers that are simulated together.
    struct Group: Sendable {
        var numbers: [Int] = []
        var weights: [Double] = []
        /// Their share of all requests.
        var share = 0.0
        var requests = 0
    }

    /// Returns the resolvers in groups of about equal load, the largest first.
    func groups() -> [Group] {
        let weights = Zipf(count: parameters.resolvers, exponent: 1).probabilities()
        var groups = Array(repeating: Group(), count: min(Self.groupCount, parameters.resolvers))
        for (number, weight) in weights.enumerated() {
            let smallest = groups.indices.min { groups[$0].share < groups[$1].share }!
            groups[smallest].numbers.append(number)
            groups[smallest].weights.append(weight)
            groups[smallest].share += weight
        }
        groups.sort { $0.share > $1.share }
        var shares = 0.0, requests = 0
        for index in groups.indices {
            shares += groups[index].share
            // Rounding the sums loses no requests.
            let upTo =
                index == groups.count - 1 ? parameters.requests : Int(shares * Double(parameters.requests))
            groups[index].requests = upTo - requests
            requests = upTo
        }
        return groups
    }

    /// A queue of group numbers, each of which is taken once.
    private final class Line: Sendable {
        private let following = Atomic<Int>(0)

        func next() -> Int { following.add(1, ordering: .relaxed).oldValue }
    }

    /// The counts of some groups.
    struct Tally: Sendable {
        var counts: [Int]
        var requests = 0, queries = 0, evictions = 0, cacheBytes = 0

        init(addresses: Int) { counts = Array(repeating: 0, count: addresses) }

        mutating func add(_ other: Tally) {
            for index in counts.indices { counts[index] += other.counts[index] }
            requests += other.requests
            queries += other.queries
            evictions += other.evictions
            cacheBytes += other.cacheBytes
        }
    }

    private func run(
        _ group: Group, _ number: Int, into tally: inout Tally, _ progress: Progress
    ) throws(SimulationError) {
        let rate = parameters.rate * group.share
        var generator = FastGenerator(seed: parameters.seed &* 1_000_003 &+ UInt64(2 * number))
        var authority = Authority(serving, seed: parameters.seed &* 1_000_003 &+ UInt64(2 * number + 1))
        var resolvers = Resolvers(
            names: names, numbers: group.numbers, weights: group.weights, rate: rate, ttl: serving.longestTTL)
        let interval = Double(microseconds) / rate
        var keys = [UInt64](repeating: 0, count: Self.batch), places = [Int](repeating: 0, count: Self.batch)
        var touched: UInt64 = 0
        var begin = 0
        while begin < group.requests {
            let count = min(Self.batch, group.requests - begin)
            for index in 0..<count {
                let resolver = resolvers.next(using: &generator)
                keys[index] = AnswerCache.key(resolver: resolver, rank: names.next(using: &generator))
                places[index] = resolvers.place(keys[index])
            }
            for index in 0..<count { touched ^= resolvers.touch(places[index]) }
            for index in 0..<count {
                let now = UInt64(Double(begin + index) * interval)
                let address = try resolvers.address(
                    keys[index], at: places[index], now: now, from: &authority, addresses)
                tally.counts[address] += 1
            }
            begin += count
            if begin & (Self.progressStep - 1) == 0 { progress.add(Self.progressStep) }
        }
        progress.add(group.requests & (Self.progressStep - 1))
        tally.requests += resolvers.requests
        tally.queries += resolvers.queries
        tally.evictions += resolvers.evictions
        tally.cacheBytes += resolvers.cacheSize
        withExtendedLifetime(touched) {}
    }
}
