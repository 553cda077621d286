import AddressPools
import SteeringDNS

/// Clients behind resolvers, all of which ask one name server and remember what it says.
///
/// How popular a name is, is the same for all resolvers; how many clients one has is Zipf-distributed.
struct Resolvers: Sendable {
    let names: Zipf
    /// The resolvers, by number, and how large a share of the requests each has.
    let numbers: [Int]
    private let choice: WeightedChoice
    private var cache: AnswerCache
    /// How many requests there were, and how many of them needed a query.
    private(set) var requests = 0, queries = 0
    var evictions: Int { cache.evictions }
    /// The bytes that the memory takes.
    var cacheSize: Int { cache.size }

    /// - Parameters:
    ///   - names: how popular the names are.
    ///   - numbers: the resolvers, by number.
    ///   - weights: how many clients each has, in any unit.
    ///   - rate: requests a second, all together.
    ///   - ttl: the longest time for which an answer is remembered.
    init(names: Zipf, numbers: [Int], weights: [Double], rate: Double, ttl: UInt32) {
        self.names = names
        self.numbers = numbers
        choice = WeightedChoice(weights)
        // Each request that needs a query leaves an answer behind.
        cache = AnswerCache(answers: rate * Double(ttl))
    }

    /// All resolvers of a number.
    init(names: Zipf, count: Int, rate: Double, ttl: UInt32) {
        self.init(
            names: names, numbers: Array(0..<count), weights: Zipf(count: count, exponent: 1).probabilities(),
            rate: rate, ttl: ttl)
    }

    /// The resolver of one of the clients, drawn at random.
    @inline(__always)
    func next(using generator: inout FastGenerator) -> Int { numbers[choice.next(using: &generator)] }

    /// The place in the cache where a resolver has a name.
    @inline(__always)
    func place(_ key: UInt64) -> Int { cache.place(of: key) }

    /// See ``AnswerCache/touch(_:)``.
    @inline(__always)
    func touch(_ place: Int) -> UInt64 { cache.touch(place) }

    /// The address that a client gets for a name: what its resolver remembers, or what the name server says now.
    ///
    /// - Parameter now: the time, in microseconds.
    @inline(__always)
    mutating func address(
        ofName rank: Int, by resolver: Int, now: UInt64, from authority: inout Authority, _ numbers: AddressNumbers
    ) throws(SimulationError) -> Int {
        let key = AnswerCache.key(resolver: resolver, rank: rank)
        return try address(key, at: cache.place(of: key), now: now, from: &authority, numbers)
    }

    /// The same, with the key and its place known.
    @inline(__always)
    mutating func address(
        _ key: UInt64, at place: Int, now: UInt64, from authority: inout Authority, _ numbers: AddressNumbers
    ) throws(SimulationError) -> Int {
        requests += 1
        if let address = cache.address(key, at: place, now: now) { return address }
        queries += 1
        let answer = try authority.address(
            ofName: Int(truncatingIfNeeded: key & 0xFFFF_FFFF), for: Int(key >> 32) - 1)
        let address = numbers[answer.address]
        cache.insert(key, address, until: now + UInt64(answer.ttl) * microseconds, at: place, now: now)
        return address
    }
}

/// Microseconds of a second: the simulations' unit of time.
let microseconds: UInt64 = 1_000_000
