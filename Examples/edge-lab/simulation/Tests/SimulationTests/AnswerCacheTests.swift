import AddressPools
import SteeringDNS
import Testing

@testable import Simulation

/// Expiry and eviction of cached answers.
@Suite struct AnswerCacheTests {
    @Test("an answer is remembered until its TTL is over, and not a microsecond longer")
    func expiry() {
        var cache = AnswerCache(answers: 10)
        let key = AnswerCache.key(resolver: 3, rank: 77)
        let place = cache.place(of: key)
        #expect(cache.address(key, at: place, now: 1_000) == nil)
        cache.insert(key, 0xF_FFFF, until: 61_000, at: place, now: 1_000)
        #expect(cache.address(key, at: place, now: 60_999) == 0xF_FFFF)
        #expect(cache.address(key, at: place, now: 61_000) == nil)
        cache.insert(key, 5, until: 121_000, at: place, now: 61_000)
        #expect(cache.address(key, at: place, now: 61_000) == 5)
        #expect(cache.evictions == 0)
    }

    @Test("an answer without a TTL is never remembered, and pushes out nothing")
    func noTTL() {
        var cache = AnswerCache(answers: 1)
        let keys = (1...2_000).map { AnswerCache.key(resolver: 0, rank: $0) }
        let set = cache.place(of: keys[0])
        let together = Array(keys.filter { cache.place(of: $0) == set }.prefix(9))
        for key in together.dropLast() { cache.insert(key, 1, until: 900, at: set, now: 500) }
        cache.insert(together[8], 2, until: 500, at: set, now: 500)
        #expect(together.map { cache.address($0, at: set, now: 500) } == Array(repeating: 1, count: 8) + [nil])
        #expect(cache.evictions == 0)
    }

    @Test("where there is no room, what expires first makes way, and is counted")
    func eviction() {
        var cache = AnswerCache(answers: 1)
        let keys = (1...2_000).map { AnswerCache.key(resolver: 0, rank: $0) }
        // Nine keys of the same set, which has eight entries.
        let set = cache.place(of: keys[0])
        let together = Array(keys.filter { cache.place(of: $0) == set }.prefix(9))
        #expect(together.count == 9)
        for (number, key) in together.enumerated() {
            // The fourth expires first.
            let expiry: UInt64 = number == 3 ? 50_000 : 100_000 + UInt64(number)
            cache.insert(key, number, until: expiry, at: set, now: 10)
        }
        #expect(cache.evictions == 1)
        let found = together.map { cache.address($0, at: set, now: 11) }
        #expect(found == [0, 1, 2, nil, 4, 5, 6, 7, 8])
    }

    @Test("a table of its usual size forgets fewer than one answer in a hundred")
    func usualSize() {
        var cache = AnswerCache(answers: 10_000)
        var generator = FastGenerator(seed: 1)
        for number in 0..<1_000_000 {
            let key = AnswerCache.key(resolver: number & 0xFFF, rank: Int(generator.next() >> 33) + 1)
            cache.insert(key, 0, until: UInt64(number + 10_000), at: cache.place(of: key), now: UInt64(number))
        }
        #expect(cache.evictions < 10_000)
    }

    @Test("resolvers ask as often as a plain dictionary says, and get what it says", arguments: [0, 1, 60, 3_600])
    func model(ttl: Int) throws {
        let serving = try serving(pool: "198.18.0.0/24", ttl: ttl)
        let addresses = try AddressNumbers(of: serving)
        // Large enough to avoid evictions, since the model has no limit.
        var resolvers = Resolvers(
            names: Zipf(count: 500, exponent: 1), count: 20, rate: 100, ttl: UInt32(max(1_000, ttl)))
        var authority = Authority(serving, seed: 9), other = Authority(serving, seed: 9)
        var generator = FastGenerator(seed: 4)
        var model: [UInt64: (address: Int, expiry: UInt64)] = [:]
        var queries = 0
        for number in 0..<200_000 {
            let now = UInt64(number) * 10_000
            let resolver = resolvers.next(using: &generator)
            let rank = resolvers.names.next(using: &generator)
            let address = try resolvers.address(
                ofName: rank, by: resolver, now: now, from: &authority, addresses)
            let key = UInt64(resolver) << 32 | UInt64(rank)
            if let known = model[key], now < known.expiry {
                #expect(address == known.address)
            } else {
                queries += 1
                let answer = try other.address(ofName: rank, for: resolver)
                #expect(answer.ttl == UInt32(ttl))
                model[key] = (addresses[answer.address], now + UInt64(ttl) * 1_000_000)
                #expect(address == addresses[answer.address])
            }
        }
        #expect(resolvers.queries == queries)
        #expect(resolvers.requests == 200_000)
        #expect(resolvers.evictions == 0)
    }
}
