/// The class of a name: the lists that it is in, with its attributes. There are few classes and many names.
typealias NameClass = UInt16

extension NameClass {
    /// Names that are in no list.
    static let unlisted: NameClass = 0
    /// Names that are in no list but have listed names below them: empty non-terminals, which exist without records
    /// (RFC 8020).
    static let emptyNonTerminal: NameClass = 1
}

/// A table of millions of names, each with a class, in 10 to 12 bytes per name.
///
/// A slot holds 48 bits of a name's key and its class; the position of the slot encodes bits of the other half of the
/// key, about 70 bits together. Among a million unlisted names, the expected number of false matches is 10^-8.
final class NameTable: Sendable {
    private let slots: NameSlots
    /// The number of names, without empty non-terminals.
    let count: Int

    /// The maximum load factor.
    private static let load = 0.7

    fileprivate init(slots: consuming NameSlots, count: Int) {
        self.slots = slots
        self.count = count
    }

    /// A table without names.
    static let empty = NameTable(slots: NameSlots(count: 1), count: 0)

    /// The size in bytes.
    var size: Int { slots.count * 8 }

    /// Prefetches the slot of a key: in a table of millions of names it is rarely cached.
    @inline(__always)
    func prefetch(_ key: NameKey) { slots.prefetch(Self.home(of: key, slots.count)) }

    /// Returns the class of the name with a key.
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

    /// Returns the index of a name's slot, which never changes; nil if the table does not have the name.
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

    /// The number of slots.
    var capacity: Int { slots.count }

    /// Returns the first slot to probe for a key: the low half of the key, scaled from 2^64 to the number of slots.
    @inline(__always)
    static func home(of key: NameKey, _ count: Int) -> Int {
        Int(truncatingIfNeeded: key.low.multipliedFullWidth(by: UInt64(count)).high)
    }

    @inline(__always)
    fileprivate static func mark(of key: NameKey) -> UInt64 { key.high & ~0xFFFF }
}

extension NameTable {
    /// Collects names, then builds the table.
    struct Builder {
        /// Keys with the class in the 16 bits that the mark does not use.
        private var entries: [NameKey] = []
        private var ancestors: [NameKey] = []
        /// A direct-mapped cache of the parents added last: most names have one of a few parents.
        private var recentParents = [NameKey](repeating: NameKey(high: 0, low: 0), count: 4_096)

        /// Adds a name.
        mutating func add(_ key: NameKey, _ nameClass: NameClass) { entries.append(key.marked(nameClass)) }

        /// Reserves room for more names.
        mutating func reserve(_ count: Int) { entries.reserveCapacity(entries.count + count) }

        /// Adds an ancestor of a name. Returns false if it was added recently, and its own ancestors with it.
        mutating func addAncestor(_ key: NameKey) -> Bool {
            let place = Int(truncatingIfNeeded: key.low >> 32) & (recentParents.count - 1)
            if recentParents[place] == key { return false }
            recentParents[place] = key
            ancestors.append(key.marked(.emptyNonTerminal))
            return true
        }

        /// Builds the table. A name that was added more than once gets the class that `join` returns for both classes.
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

        /// Returns the slot that holds a key, or the free slot where it belongs.
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
