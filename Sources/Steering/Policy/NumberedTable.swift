/// A value that is kept in a table: a label, a port set or a condition.
protocol TableValue: Hashable, Sendable {
    /// The order in which the values of a table are numbered.
    static func precedes(_ left: Self, _ right: Self) -> Bool
    /// The hash for ``NumberIndex``.
    var hash: UInt64 { get }
}

extension Label: TableValue {
    static func precedes(_ left: Label, _ right: Label) -> Bool { left < right }

    var hash: UInt64 {
        var hash: UInt64 = 0
        for byte in name.utf8 { hash = hash.mixed(with: UInt64(byte)) }
        return hash.mixed(with: 1)
    }
}

extension PortSet: TableValue {
    /// Fewer ports first, for ``Precedence``; then in the order of bindings.
    static func precedes(_ left: PortSet, _ right: PortSet) -> Bool {
        let (leftCount, rightCount) = (left.count, right.count)
        if leftCount != rightCount { return leftCount < rightCount }
        return left.ranges.lexicographicallyPrecedes(right.ranges)
    }

    var hash: UInt64 {
        var hash: UInt64 = 0
        for range in ranges { hash = hash.mixed(with: UInt64(range.lower) << 16 | UInt64(range.upper)) }
        return hash.mixed(with: 1)
    }
}

/// The distinct values that records refer to by number: sorted, and each used by some record.
struct NumberedTable<Value: TableValue>: Hashable, Sendable {
    private(set) var values: [Value] = []
    /// The number of records that use each value.
    private(set) var uses: [Int] = []

    var count: Int { values.count }

    init() {}

    /// Callers guarantee the order, and count the uses of each value.
    init(sorted values: [Value]) {
        self.values = values
        uses = [Int](repeating: 0, count: values.count)
    }

    /// Returns the index of a value, or the index at which it would be inserted.
    func place(of value: Value) -> (place: Int, isThere: Bool) {
        let place = values.partitioningIndex { !Value.precedes($0, value) }
        return (place, place < values.count && values[place] == value)
    }

    /// Inserts a value and returns the new numbers of the existing values; nil if they stay the same.
    mutating func insert(_ value: Value) -> [UInt32]? {
        let (place, isThere) = place(of: value)
        if isThere { return nil }
        values.insert(value, at: place)
        uses.insert(0, at: place)
        return place == count - 1 ? nil : (0..<UInt32(count - 1)).map { $0 < place ? $0 : $0 + 1 }
    }

    /// Removes a value that is no longer used and returns the new numbers of all values; nil if they stay the same.
    mutating func removeIfUnused(_ number: Int) -> [UInt32]? {
        guard uses[number] == 0 else { return nil }
        values.remove(at: number)
        uses.remove(at: number)
        return number == count ? nil : (0...UInt32(count)).map { $0 <= number ? $0 : $0 - 1 }
    }

    mutating func countUse(of number: Int, by step: Int = 1) { uses[number] += step }
}

/// Assigns numbers to values in order of appearance.
struct Numbering<Value: TableValue> {
    private(set) var values: [Value]
    private var index = NumberIndex()
    /// The previous number, since adjacent records often share a value.
    private var last: Int?

    init(_ table: NumberedTable<Value>) {
        values = table.values
        for (number, value) in values.enumerated() { _ = index.place(hash: value.hash, next: number) { _ in false } }
    }

    mutating func number(_ value: Value) -> UInt32 {
        if let last, values[last] == value { return UInt32(last) }
        let number = index.place(hash: value.hash, next: values.count) { values[$0] == value }
        if number == values.count { values.append(value) }
        last = number
        return UInt32(number)
    }

    /// The sorted table, and the number in it for each number assigned so far.
    func sorted() -> (table: NumberedTable<Value>, numbers: [UInt32]) {
        let order = values.indices.sorted { Value.precedes(values[$0], values[$1]) }
        var numbers = [UInt32](repeating: 0, count: values.count)
        for (place, former) in order.enumerated() { numbers[former] = UInt32(place) }
        return (NumberedTable(sorted: order.map { values[$0] }), numbers)
    }
}
