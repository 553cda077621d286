import AddressPools

/// A fast pseudorandom generator: xoshiro256++ (Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators",
/// ACM Transactions on Mathematical Software 47 (4), 2021), reseeded by the system every 2^20 numbers.
///
/// It is not cryptographically secure: whoever sees many consecutive answers of a worker can predict the next ones
/// until the generator is reseeded. The addresses of a pool are no secret.
public struct FastGenerator: RandomNumberGenerator, Sendable {
    private var state: (UInt64, UInt64, UInt64, UInt64)
    private var remaining: Int

    /// The number of values between reseeds.
    private static let lifetime = 1 << 20

    /// Makes a generator that the system seeds.
    public init() {
        state = (0, 0, 0, 0)
        remaining = 0
    }

    /// Makes a generator that returns the same sequence for the same seed and is never reseeded.
    ///
    /// - Parameter seed: Any number.
    public init(seed: UInt64) {
        // SplitMix64, which the authors recommend for seeding.
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

    /// Returns the next random number.
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
