/// What the server answers for a name, besides the records that the zone file has for that name itself.
struct NameAnswers: Equatable {
    /// The policies that give addresses.
    var ipv4: Int?, ipv6: Int?
    /// The zone's wildcard whose records apply, and their types.
    var wildcard: Int?
    var types: [RecordType] = []
    /// Whether it exists.
    var exists = false

    var hasAddresses: Bool { ipv4 ?? ipv6 != nil }
}

/// A set of names: a bit for each name in the table, and the keys of others.
struct NameMarks {
    private let table: NameTable
    private var bits: [UInt64]
    private var others: Set<NameKey> = []

    init(_ table: NameTable) {
        self.table = table
        bits = [UInt64](repeating: 0, count: table.capacity / 64 + 1)
    }

    func contains(_ key: NameKey) -> Bool {
        guard let slot = table.slot(of: key) else { return others.contains(key) }
        return bits[slot >> 6] & 1 << UInt64(slot & 63) != 0
    }

    mutating func insert(_ key: NameKey) {
        guard let slot = table.slot(of: key) else {
            others.insert(key)
            return
        }
        bits[slot >> 6] |= 1 << UInt64(slot & 63)
    }
}
