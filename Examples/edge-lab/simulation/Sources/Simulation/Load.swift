import AddressPools
import SteeringDNS
import Synchronization

/// How many requests come to each address (the paper's Figure 7): clients ask for names, their resolvers remember the
/// answers, and what is remembered or answered is where a request goes.
///
/// The resolvers are divided into groups, each of which is simulated by itself, on whatever thread is free: resolvers have
/// nothing in common but the server, which keeps nothing of what it has answered. So the result depends on the seed and
/// not on the number of threads. Requests of a group come evenly spaced, in number as its clients are.
public struct Load: Sendable {
    /// What is simulated.
    public struct Parameters: Sendable {
        /// How many names there are, how popular they are (see ``Zipf``), and how many resolvers.
        public var names: Int, skew = 1.0, resolvers = 10_000
        /// How many requests come in all, and in a second.
        public var requests: Int, rate: Double
        /// What all that is random follows from.
        public var seed: UInt64 = 1
        /// How many groups are simulated at the same time.
        public var threads = 1

        /// Makes parameters.
        public init(names: Int, requests: Int, rate: Double) {
            (self.names, self.requests, self.rate) = (names, requests, rate)
        }
    }

    /// What came of it.
    public struct Report: Sendable, Encodable {
        /// How many requests came, and how many of them needed a query to the name server.
        public let requests: Int, queries: Int
        /// The part of the requests whose resolver remembered the name.
        public let cacheHitShare: Double
        /// How long it would have taken.
        public let secondsSimulated: Double
        /// How many names, resolvers and addresses there were.
        public let names: Int, resolvers: Int, addresses: Int
        /// The longest that an answer was remembered.
        public let ttl: UInt32
        /// How many answers were forgotten before they had expired, for want of room.
        public let evictions: Int
        /// How many bytes the resolvers' memory took, of all groups.
        public let cacheBytes: Int
        /// The exponent of the names' popularity, and the requests a second.
        public let skew: Double, requestsPerSecond: Double
        /// What all that was random followed from.
        public let seed: UInt64
    }

    private let serving: Serving
    private let parameters: Parameters
    private let addresses: AddressNumbers
    private let names: Zipf

    /// So many that what a group remembers fits the processor's cache: all but the largest, which are one resolver each.
    private static let groupCount = 256
    /// Requests that are drawn before the first of them is looked up, so that the memory that they need is fetched
    /// together and not one after the other.
    private static let batch = 32
    private static let progressStep = 1 << 20

    /// - Parameters:
    ///   - serving: what is answered from.
    ///   - parameters: what is simulated.
    /// - Throws: When there is nothing to count by, or more than there is room for.
    public init(_ serving: Serving, _ parameters: Parameters) throws(SimulationError) {
        guard (1...Int(UInt32.max)).contains(parameters.names), (1...65_536).contains(parameters.resolvers) else {
            throw SimulationError(
                "there are 1 to 4,294,967,295 names and 1 to 65,536 resolvers: take a number in between")
        }
        guard parameters.requests >= 0, parameters.rate > 0, parameters.skew >= 0 else {
            throw SimulationError(
                "requests, their rate and the skew are not negative, and the rate is not 0: mend them")
        }
        guard Double(parameters.requests) / parameters.rate < 15_000_000 else {
            throw SimulationError("that is more than 15,000,000 seconds: take fewer requests, or a higher rate")
        }
        self.serving = serving
        self.parameters = parameters
        addresses = try AddressNumbers(of: serving)
        names = Zipf(count: parameters.names, exponent: parameters.skew)
    }

    /// Simulates.
    ///
    /// - Returns: What came of it, and for each address of the pools, in ascending order, how many requests it had.
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
        /// Their part of all requests, and how many those are.
        var share = 0.0
        var requests = 0
    }

    /// The resolvers in groups that are about alike, the largest first.
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
            // Rounded as sums, so that none is lost.
            let upTo =
                index == groups.count - 1 ? parameters.requests : Int(shares * Double(parameters.requests))
            groups[index].requests = upTo - requests
            requests = upTo
        }
        return groups
    }

    /// The groups stand in line; each is taken once.
    private final class Line: Sendable {
        private let following = Atomic<Int>(0)

        func next() -> Int { following.add(1, ordering: .relaxed).oldValue }
    }

    /// What some groups have counted.
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
