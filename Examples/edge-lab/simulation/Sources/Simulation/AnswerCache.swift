/// The cache of all resolvers: an address for each resolver and name, until its TTL expires.
///
/// It is eight-way set-associative. A set takes two CPU cache lines, so that a request touches one region of memory. A
/// new answer replaces an expired one; if there is none, it evicts the one that expires first, and the eviction is
/// counted. With four entries for each answer that can be live at the same time, evictions are rare.
struct AnswerCache: Sendable {
    /// Two words per entry: the key; the expiry in microseconds (44 bits) with the number of the address (20 bits).
    private var words: [UInt64]
    private let setCount: Int
    /// The number of answers evicted before they had expired.
    private(set) var evictions = 0

    /// The maximum number of addresses, whose numbers have 20 bits.
    static let addressLimit = 1 << 20

    private static let ways = 8

    /// Creates an empty cache.
    ///
    /// - Parameter answers: The number of answers that can be live at the same time.
    init(answers: Double) {
        setCount = max(8, Int((4 * answers / Double(Self.ways)).rounded(.up)))
        words = Array(repeating: 0, count: setCount * Self.ways * 2)
    }

    /// The size in bytes.
    var size: Int { words.count * 8 }

    /// Returns the key of a resolver and a name; never 0, which marks an empty entry.
    @inline(__always)
    static func key(resolver: Int, rank: Int) -> UInt64 { UInt64(resolver + 1) << 32 | UInt64(rank) }

    /// Returns the index of the first word of a key's set.
    @inline(__always)
    func place(of key: UInt64) -> Int {
        var mixed = (key ^ key >> 29) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 32) &* 0x94D0_49BB_1331_11EB
        return Int(mixed.multipliedFullWidth(by: UInt64(setCount)).high) * Self.ways * 2
    }

    /// Reads from both cache lines of the set at a place.
    ///
    /// Touching several sets before using any loads them in parallel.
    @inline(__always)
    func touch(_ place: Int) -> UInt64 { words[place] ^ words[place + Self.ways] }

    /// Returns the number of the address cached at a time; `nil` for none.
    @inline(__always)
    func address(_ key: UInt64, at place: Int, now: UInt64) -> Int? {
        var position = place
        while position < place + Self.ways * 2 {
            if words[position] == key {
                let value = words[position + 1]
                return value >> 20 > now ? Int(value & 0xF_FFFF) : nil
            }
            position += 2
        }
        return nil
    }

    /// Caches an address until `expiry`.
    mutating func insert(_ key: UInt64, _ address: Int, until expiry: UInt64, at place: Int, now: UInt64) {
        // An answer with a TTL of 0 must not evict another.
        guard expiry > now else { return }
        var chosen = place, earliest = UInt64.max
        for position in stride(from: place, to: place + Self.ways * 2, by: 2) {
            if words[position] == key {
                (chosen, earliest) = (position, 0)
                break
            }
            let expires = words[position + 1] >> 20
            if expires < earliest { (chosen, earliest) = (position, expires) }
        }
        if earliest > now { evictions += 1 }
        words[chosen] = key
        words[chosen + 1] = expiry << 20 | UInt64(address)
    }
}
