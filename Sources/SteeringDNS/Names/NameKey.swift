/// What stands for a name in tables: 128 bits made of its labels, the same for all ways to write its letters.
///
/// It is made with the process' own secret, so nobody can choose names that meet. That two of 20 million names meet by
/// chance has a probability of 10^-24, so tables compare keys and hold no names.
struct NameKey: Hashable, Sendable {
    var high: UInt64
    var low: UInt64
}

/// Makes the keys of names: that of a name from its parent's and its first label, so that the keys of all a name's
/// ancestors come with its own.
struct NameHasher: Sendable {
    let root: NameKey

    /// The hasher of this process.
    static let shared = NameHasher(using: SystemRandomNumberGenerator())

    init(using generator: some RandomNumberGenerator) {
        var generator = generator
        root = NameKey(high: generator.next(), low: generator.next())
    }

    /// The key of the name that a label makes with its parent.
    ///
    /// Eight bytes at a time go through two multiplications of full width that share no factor, as in wyhash (Wang Yi,
    /// 2019). The length is taken first, so labels cannot run into each other.
    @inline(__always)
    func key(of label: Range<Int>, in bytes: Span<UInt8>, below parent: NameKey) -> NameKey {
        var key = parent.mixed(with: UInt64(label.count))
        var offset = label.lowerBound
        while offset < label.upperBound {
            let end = min(offset + 8, label.upperBound)
            var word: UInt64 = 0
            while offset < end {
                word = word << 8 | UInt64(bytes[offset])
                offset += 1
            }
            key = key.mixed(with: word.lowercased)
        }
        return key
    }
}

extension NameKey {
    @inline(__always)
    fileprivate func mixed(with word: UInt64) -> NameKey {
        let one = (high ^ word).multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
        let other = (low ^ word).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        // Each half takes up something of the other's product, so that a product of 0 does not make it forget.
        return NameKey(high: one.high ^ one.low &+ other.low, low: other.high ^ other.low &+ high)
    }
}

extension UInt64 {
    /// Eight bytes with the capital letters of ASCII made small, all at once.
    @inline(__always)
    fileprivate var lowercased: UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let low = self & (ones &* 0x7F)
        // The top bit of each byte: at least "A", and above "Z", both for bytes below 0x80.
        let isAtLeastA = low &+ ones &* (0x80 - 0x41)
        let isAboveZ = low &+ ones &* (0x80 - 0x5B)
        let isCapital = isAtLeastA & ~isAboveZ & ~self & (ones &* 0x80)
        return self | isCapital >> 2
    }
}

/// The keys of a name and of all its ancestors.
struct NameKeys {
    /// From the root's, at 0, to the name's own.
    private(set) var keys = [NameKey](repeating: NameKey(high: 0, low: 0), count: 128)
    /// Where each of these names begins in the bytes.
    private(set) var offsets = [Int](repeating: 0, count: 128)
    /// The number of labels: the last index that counts.
    private(set) var depth = 0
    private let hasher: NameHasher

    init(_ hasher: NameHasher = .shared) {
        self.hasher = hasher
        keys[0] = hasher.root
    }

    /// The name's own.
    var last: NameKey { keys[depth] }

    /// Takes a name in wire form, whole and without compression, that begins at an offset.
    mutating func read(_ bytes: Span<UInt8>, at start: Int) {
        // The offsets forwards, then the keys backwards.
        var labels = 0
        var offset = start
        while bytes[offset] != 0 {
            offsets[labels] = offset
            labels += 1
            offset += 1 + Int(bytes[offset])
        }
        depth = labels
        // Turned around, so that they go with the keys.
        var (front, back) = (0, labels - 1)
        while front < back {
            offsets.swapAt(front, back)
            front += 1
            back -= 1
        }
        var key = hasher.root
        // From here on the offset of depth 1 is that of the last label.
        for index in 0..<labels {
            let begin = offsets[index]
            key = hasher.key(of: (begin + 1)..<(begin + 1 + Int(bytes[begin])), in: bytes, below: key)
            keys[index + 1] = key
        }
        end = offset
    }

    /// Where the root's length is.
    private var end = 0

    /// Where the name of a depth begins.
    func offset(ofDepth depth: Int) -> Int { depth == 0 ? end : offsets[depth - 1] }
}
