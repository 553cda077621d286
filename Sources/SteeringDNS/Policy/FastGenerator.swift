import AddressPools

/// A fast generator of random numbers: xoshiro256++ (Blackman and Vigna, "Scrambled Linear Pseudorandom Number
/// Generators", ACM Transactions on Mathematical Software 47 (4), 2021), seeded by the system again and again.
///
/// It is not made for secrets: who sees many answers in a row of one worker could work out the next, until it is
/// seeded anew. Addresses of a pool are no secret.
public struct FastGenerator: RandomNumberGenerator, Sendable {
    private var state: (UInt64, UInt64, UInt64, UInt64)
    private var remaining: Int

    /// After how many numbers it takes a new seed.
    private static let lifetime = 1 << 20

    /// Makes a generator with a seed of the system.
    public init() {
        state = (0, 0, 0, 0)
        remaining = 0
    }

    /// Makes a generator that gives the same numbers for the same seed, and never takes another.
    public init(seed: UInt64) {
        // SplitMix64, as its authors advise.
        var word = seed
        func next() -> UInt64 {
            word &+= 0x9E37_79B9_7F4A_7C15
            var mixed = word
            mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
            return mixed ^ mixed >> 31
        }
        state = (next(), next(), next(), next())
        remaining = .max
    }

    /// The next number.
    @inline(__always)
    public mutating func next() -> UInt64 {
        if remaining == 0 { seed() }
        remaining &-= 1
        let result = rotated(state.0 &+ state.3, by: 23) &+ state.0
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = rotated(state.3, by: 45)
        return result
    }

    @inline(__always)
    private func rotated(_ word: UInt64, by count: UInt64) -> UInt64 { word << count | word >> (64 - count) }

    @inline(never)
    private mutating func seed() {
        var system = SystemRandomNumberGenerator()
        repeat { state = (system.next(), system.next(), system.next(), system.next()) } while state == (0, 0, 0, 0)
        remaining = Self.lifetime
    }
}
