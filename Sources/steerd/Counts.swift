/// Counts events by kind.
struct Counts<Kind: Hashable & Comparable & Sendable>: Sendable {
    private var numbers: [Kind: UInt64] = [:]

    mutating func add(_ kind: Kind) { numbers[kind, default: 0] += 1 }

    var sorted: [(key: Kind, value: UInt64)] { numbers.sorted { $0.key < $1.key } }
}
