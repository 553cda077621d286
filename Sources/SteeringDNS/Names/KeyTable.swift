/// A hash table from names to small values, for small sets: the names of zones and policies. Keys are hashes already,
/// so they index the slots directly and are compared in full.
struct KeyTable<Value: Sendable>: Sendable {
    private var slots: [(key: NameKey, value: Value)?]
    private(set) var count = 0

    init() { slots = Array(repeating: nil, count: 8) }

    var isEmpty: Bool { count == 0 }

    subscript(key: NameKey) -> Value? {
        @inline(__always) get {
            var index = Int(truncatingIfNeeded: key.low) & (slots.count - 1)
            while let slot = slots[index] {
                if slot.key == key { return slot.value }
                index = (index + 1) & (slots.count - 1)
            }
            return nil
        }
        set {
            if (count + 1) * 2 > slots.count { grow() }
            var index = Int(truncatingIfNeeded: key.low) & (slots.count - 1)
            while let slot = slots[index], slot.key != key { index = (index + 1) & (slots.count - 1) }
            if slots[index] == nil { count += 1 }
            guard let newValue else { preconditionFailure("nothing is ever removed from a table of names") }
            slots[index] = (key, newValue)
        }
    }

    private mutating func grow() {
        let old = slots
        slots = Array(repeating: nil, count: old.count * 2)
        count = 0
        for case let slot? in old { self[slot.key] = slot.value }
    }
}
