/// A 128-bit hash of a name, case-insensitive and keyed with a per-process secret, so that collisions cannot be
/// constructed.
///
/// The probability that any two of 20 million names collide is 10^-24, so tables compare keys and do not store names.
struct NameKey: Hashable, Sendable {
    var high: UInt64
    var low: UInt64
}

/// The hash of the root, which all keys start from. The key of a name is made from its parent's key and its first
/// label, so hashing a name also yields the keys of all its ancestors.
struct NameHasher: Sendable {
    let root: NameKey

    /// The hasher of this process.
    static let shared = NameHasher(using: SystemRandomNumberGenerator())

    init(using generator: some RandomNumberGenerator) {
        var generator = generator
        root = NameKey(high: generator.next(), low: generator.next())
    }
}

extension NameKey {
    @inline(__always)
    func mixed(with word: UInt64) -> NameKey {
        let one = (high ^ word).multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
        let other = (low ^ word).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        // Mixing in part of the other product keeps the state from being lost when a product is 0.
        return NameKey(high: one.high ^ one.low &+ other.low, low: other.high ^ other.low &+ high)
    }
}

extension UInt64 {
    /// Eight bytes with ASCII uppercase letters converted to lowercase, all at once.
    @inline(__always)
    var lowercased: UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let low = self & (ones &* 0x7F)
        // The top bit of each byte tells whether it is at least "A", and above "Z"; valid for bytes below 0x80.
        let isAtLeastA = low &+ ones &* (0x80 - 0x41)
        let isAboveZ = low &+ ones &* (0x80 - 0x5B)
        let isCapital = isAtLeastA & ~isAboveZ & ~self & (ones &* 0x80)
        return self | isCapital >> 2
    }
}
