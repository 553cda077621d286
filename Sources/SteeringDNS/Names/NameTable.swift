/// The class of a name: which lists have it, with which attributes. Classes are few, names are many.
typealias NameClass = UInt16

extension NameClass {
    /// Of names that no list has.
    static let unlisted: NameClass = 0
    /// Of names that no list has, but names below them are listed: they exist without having anything (empty
    /// non-terminals, RFC 8020).
    static let emptyNonTerminal: NameClass = 1
}

/// Millions of names, each with a class, in 10 to 12 bytes a name.
///
/// A slot holds 48 bits of a name's key and its class, and its place among the slots follows from the other half of the
/// key: some 70 bits in all. So of a million different names that are not listed, 10^-8 are taken for one that is.
final class NameTable: Sendable {
    private let slots: NameSlots
    /// How many names there are, empty non-terminals not counted.
    let count: Int

    /// At most this part of the slots is taken.
    private static let load = 0.7

    fileprivate init(slots: consuming NameSlots, count: Int) {
        self.slots = slots
        self.count = count
    }

    /// A table without names.
    static let empty = NameTable(slots: NameSlots(count: 1), count: 0)

    /// The bytes that it takes.
    var size: Int { slots.count * 8 }

    /// Has the place of a key fetched: among millions of names it is far away.
    @inline(__always)
    func prefetch(_ key: NameKey) { slots.prefetch(Self.home(of: key, slots.count)) }

    /// The class of the name of a key.
    @inline(__always)
    func nameClass(of key: NameKey) -> NameClass {
        var index = Self.home(of: key, slots.count)
        let mark = Self.mark(of: key)
        while true {
            let slot = slots[index]
            if slot & ~0xFFFF == mark { return NameClass(truncatingIfNeeded: slot) }
            if slot == 0 { return .unlisted }
            index += 1
            if index == slots.count { index = 0 }
        }
    }

    /// The number of a name's slot, the same as long as the table is there; nil if the table does not have it.
    func slot(of key: NameKey) -> Int? {
        var index = Self.home(of: key, slots.count)
        let mark = Self.mark(of: key)
        while slots[index] != 0 {
            if slots[index] & ~0xFFFF == mark { return index }
            index += 1
            if index == slots.count { index = 0 }
        }
        return nil
    }

    /// How many slots there are.
    var capacity: Int { slots.count }

    /// A key's place: the fraction of the slots that its lower half is of 2^64.
    @inline(__always)
    static func home(of key: NameKey, _ count: Int) -> Int {
        Int(truncatingIfNeeded: key.low.multipliedFullWidth(by: UInt64(count)).high)
    }

    @inline(__always)
    fileprivate static func mark(of key: NameKey) -> UInt64 { key.high & ~0xFFFF }
}

extension NameTable {
    /// Collects names; builds the table when all are there.
    struct Builder {
        /// Keys, the 16 bits of which that a mark does not have are those of the class.
        private var entries: [NameKey] = []
        private var ancestors: [NameKey] = []
        /// The parents that were seen last, each at a place of its own: most names have one of a few.
        private var recentParents = [NameKey](repeating: NameKey(high: 0, low: 0), count: 4_096)

        /// Adds a name.
        mutating func add(_ key: NameKey, _ nameClass: NameClass) { entries.append(key.marked(nameClass)) }

        /// Makes room for so many names.
        mutating func reserve(_ count: Int) { entries.reserveCapacity(entries.count + count) }

        /// Adds an ancestor of a name that was added. False if it was added lately, and so were its own ancestors.
        mutating func addAncestor(_ key: NameKey) -> Bool {
            let place = Int(truncatingIfNeeded: key.low >> 32) & (recentParents.count - 1)
            if recentParents[place] == key { return false }
            recentParents[place] = key
            ancestors.append(key.marked(.emptyNonTerminal))
            return true
        }

        /// The table. A name that was added twice has the class that `join` makes of its two.
        consuming func table(
            joining join: (NameClass, NameClass) throws(ListError) -> NameClass
        ) throws(ListError) -> NameTable {
            if entries.isEmpty { return .empty }
            var slots = NameSlots(count: Int(Double(entries.count + ancestors.count) / NameTable.load) + 8)
            var count = 0
            for entry in entries {
                let index = Self.place(of: entry, in: slots)
                if slots[index] == 0 {
                    count += 1
                    slots[index] = entry.high
                } else {
                    let joined = try join(
                        NameClass(truncatingIfNeeded: slots[index]), NameClass(truncatingIfNeeded: entry.high))
                    slots[index] = slots[index] & ~0xFFFF | UInt64(joined)
                }
            }
            for ancestor in ancestors {
                let index = Self.place(of: ancestor, in: slots)
                if slots[index] == 0 { slots[index] = ancestor.high }
            }
            return NameTable(slots: slots, count: count)
        }

        /// Where a key is, or would be.
        private static func place(of key: NameKey, in slots: borrowing NameSlots) -> Int {
            var index = NameTable.home(of: key, slots.count)
            let mark = NameTable.mark(of: key)
            while slots[index] != 0, slots[index] & ~0xFFFF != mark {
                index += 1
                if index == slots.count { index = 0 }
            }
            return index
        }
    }
}

extension NameKey {
    fileprivate func marked(_ nameClass: NameClass) -> NameKey {
        NameKey(high: NameTable.mark(of: self) | UInt64(nameClass), low: low)
    }
}
