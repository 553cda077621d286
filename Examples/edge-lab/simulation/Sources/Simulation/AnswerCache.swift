/// What resolvers remember: for each resolver and name an address, until its TTL is over.
///
/// It is a table of sets of eight places, two lines of the processor's cache each, so that a request reads one part of
/// memory. A new answer takes the place of one that has expired; if there is none, the one that would expire first is
/// evicted early, and counted. With four places for every answer that can be alive at once, hardly any is.
struct AnswerCache: Sendable {
    /// Two words a place: the key, and when it expires (44 bits, microseconds) with the address (20 bits).
    private var words: [UInt64]
    private let setCount: Int
    /// How many answers made way before they had expired.
    private(set) var evictions = 0

    /// No number of an address is higher.
    static let addressLimit = 1 << 20

    private static let ways = 8

    /// - Parameter answers: how many answers may be alive at once.
    init(answers: Double) {
        setCount = max(8, Int((4 * answers / Double(Self.ways)).rounded(.up)))
        words = Array(repeating: 0, count: setCount * Self.ways * 2)
    }

    /// The bytes that it takes.
    var size: Int { words.count * 8 }

    /// What stands for a resolver and a name; never 0, which is an empty place.
    @inline(__always)
    static func key(resolver: Int, rank: Int) -> UInt64 { UInt64(resolver + 1) << 32 | UInt64(rank) }

    /// Where a key's set begins.
    @inline(__always)
    func place(of key: UInt64) -> Int {
        var mixed = (key ^ key >> 29) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 32) &* 0x94D0_49BB_1331_11EB
        return Int(mixed.multipliedFullWidth(by: UInt64(setCount)).high) * Self.ways * 2
    }

    /// Something of the set at a place: whoever asks for several places before using any has them fetched together.
    @inline(__always)
    func touch(_ place: Int) -> UInt64 { words[place] ^ words[place + Self.ways] }

    /// The number of the address that is remembered at a time; nil for none.
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

    /// Remembers an address until a time.
    mutating func insert(_ key: UInt64, _ address: Int, until expiry: UInt64, at place: Int, now: UInt64) {
        // An answer that is remembered for no time at all must not push out another.
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
