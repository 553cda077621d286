/// What stands for a name in tables: 128 bits made of its labels, the same for all ways to write its letters.
///
/// It is made with the process' own secret, so nobody can choose names that meet. That two of 20 million names meet by
/// chance has a probability of 10^-24, so tables compare keys and hold no names.
struct NameKey: Hashable, Sendable {
    var high: UInt64
    var low: UInt64
}

/// What the keys of names begin with: that of a name is made from its parent's and its first label, so that the keys of
/// all a name's ancestors come with its own.
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
        // Each half takes up something of the other's product, so that a product of 0 does not make it forget.
        return NameKey(high: one.high ^ one.low &+ other.low, low: other.high ^ other.low &+ high)
    }
}

extension UInt64 {
    /// Eight bytes with the capital letters of ASCII made small, all at once.
    @inline(__always)
    var lowercased: UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let low = self & (ones &* 0x7F)
        // The top bit of each byte: at least "A", and above "Z", both for bytes below 0x80.
        let isAtLeastA = low &+ ones &* (0x80 - 0x41)
        let isAboveZ = low &+ ones &* (0x80 - 0x5B)
        let isCapital = isAtLeastA & ~isAboveZ & ~self & (ones &* 0x80)
        return self | isCapital >> 2
    }
}
