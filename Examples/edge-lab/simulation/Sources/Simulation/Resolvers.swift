import AddressPools
import SteeringDNS

/// Clients behind caching resolvers, which query an authoritative server on a cache miss.
///
/// All resolvers have the same popularity of names; their numbers of clients are Zipf-distributed.
struct Resolvers: Sendable {
    let names: Zipf
    /// The numbers of the resolvers.
    let numbers: [Int]
    private let choice: WeightedChoice
    private var cache: AnswerCache
    /// The number of requests, and of those that needed a query.
    private(set) var requests = 0, queries = 0
    var evictions: Int { cache.evictions }
    /// The size of the cache in bytes.
    var cacheSize: Int { cache.size }

    /// Creates resolvers with empty caches.
    ///
    /// - Parameters:
    ///   - names: The popularity of names.
    ///   - numbers: The numbers of the resolvers.
    ///   - weights: The clients of each resolver, in any unit.
    ///   - rate: The requests per second of all resolvers together.
    ///   - ttl: The longest TTL of an answer, in seconds.
    init(names: Zipf, numbers: [Int], weights: [Double], rate: Double, ttl: UInt32) {
        self.names = names
        self.numbers = numbers
        choice = WeightedChoice(weights)
        // At most one new answer per request.
        cache = AnswerCache(answers: rate * Double(ttl))
    }

    /// Creates resolvers with the numbers from 0, whose clients are Zipf-distributed.
    init(names: Zipf, count: Int, rate: Double, ttl: UInt32) {
        self.init(
            names: names, numbers: Array(0..<count), weights: Zipf(count: count, exponent: 1).probabilities(),
            rate: rate, ttl: ttl)
    }

    /// Returns the resolver of a random client.
    @inline(__always)
    func next(using generator: inout FastGenerator) -> Int { numbers[choice.next(using: &generator)] }

    /// Returns the place of a key's set in the cache.
    @inline(__always)
    func place(_ key: UInt64) -> Int { cache.place(of: key) }

    /// See ``AnswerCache/touch(_:)``.
    @inline(__always)
    func touch(_ place: Int) -> UInt64 { cache.touch(place) }

    /// Returns the address that a client gets for a name at a time in microseconds, from its resolver's cache or from
    /// the name server.
    @inline(__always)
    mutating func address(
        ofName rank: Int, by resolver: Int, now: UInt64, from authority: inout Authority, _ numbers: AddressNumbers
    ) throws(SimulationError) -> Int {
        let key = AnswerCache.key(resolver: resolver, rank: rank)
        return try address(key, at: cache.place(of: key), now: now, from: &authority, numbers)
    }

    /// Returns the address that a client gets, for a key with a known place.
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

/// Microseconds per second; the unit of simulated time.
let microseconds: UInt64 = 1_000_000
