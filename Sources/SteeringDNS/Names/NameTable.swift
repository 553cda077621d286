/// The class of a name: the lists that it is in, with its attributes. There are few classes and many names.
typealias NameClass = UInt16

extension NameClass {
    /// Names that are in no list.
    static let unlisted: NameClass = 0
}

/// A table of millions of names, each with a class, in 9 bytes per name.
///
/// A slot holds 48 bits of a name's key and its class; the position of the slot encodes bits of the other half of the
/// key, about 67 bits together. Among a million unlisted names, the expected number of false matches is 10^-7.
///
/// Eight slots fill a cache line, and are probed from the first on. So a lookup reads 1.5 cache lines on average, though
/// nine slots of ten are taken.
final class NameTable: Sendable {
    private let slots: NameSlots
    /// The number of names, without empty non-terminals.
    let count: Int

    /// The expected load factor.
    private static let load = 0.9

    fileprivate init(slots: consuming NameSlots, count: Int) {
        self.slots = slots
        self.count = count
    }

    /// A table without names.
    static let empty = NameTable(slots: NameSlots(lines: 1), count: 0)

    /// The size in bytes.
    var size: Int { slots.count * 8 }

    /// Prefetches the slots of a key: in a table of millions of names they are rarely cached.
    @inline(__always)
    func prefetch(_ key: NameKey) { slots.prefetch(key) }

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
        let index = slots.place(of: key)
        return slots[index] == 0 ? nil : index
    }

    /// The number of slots.
    var capacity: Int { slots.count }

    /// Returns the first slot to probe for a key: the low half of the key, scaled from 2^64 to the number of lines.
    @inline(__always)
    fileprivate static func home(of key: NameKey, _ count: Int) -> Int {
        Int(truncatingIfNeeded: key.low.multipliedFullWidth(by: UInt64(count) &>> 3).high) &<< 3
    }

    @inline(__always)
    fileprivate static func mark(of key: NameKey) -> UInt64 { key.high & ~0xFFFF }
}

extension NameSlots {
    @inline(__always)
    fileprivate func prefetch(_ key: NameKey) { prefetch(NameTable.home(of: key, count)) }

    /// Returns the slot that holds a key, or the free slot where it belongs.
    fileprivate func place(of key: NameKey) -> Int {
        var index = NameTable.home(of: key, count)
        let mark = NameTable.mark(of: key)
        while self[index] != 0, self[index] & ~0xFFFF != mark {
            index += 1
            if index == count { index = 0 }
        }
        return index
    }
}

extension NameTable {
    /// Collects names, then builds the table.
    struct Builder {
        /// Keys with the class in the 16 bits that the mark does not use.
        private var entries: [NameKey] = []
        private var ancestors: [NameKey] = []
        /// A direct-mapped cache of the ancestors added last: most names have one of a few parents.
        private var recentAncestors = [NameKey](repeating: NameKey(high: 0, low: 0), count: 4_096)
        /// The table has room for the names that differ: its size does not depend on their order.
        private var distinct = DistinctCount()

        /// How many keys ahead of the one that is put into the table the slots are prefetched.
        private static let ahead = 16

        /// Adds a name.
        mutating func add(_ key: NameKey, _ nameClass: NameClass) {
            entries.append(key.marked(nameClass))
            distinct.add(key)
        }

        /// Reserves room for more names.
        mutating func reserve(_ count: Int) { entries.reserveCapacity(entries.count + count) }

        /// Adds an ancestor of a name. Returns false if it was added recently, and its own ancestors with it.
        mutating func addAncestor(_ key: NameKey, _ nameClass: NameClass) -> Bool {
            let place = Int(truncatingIfNeeded: key.low >> 32) & (recentAncestors.count - 1)
            let marked = key.marked(nameClass)
            if recentAncestors[place] == marked { return false }
            recentAncestors[place] = marked
            ancestors.append(marked)
            distinct.add(key)
            return true
        }

        /// Builds the table. A name that was added more than once gets the class that `join` returns for both classes.
        consuming func table(
            joining join: (NameClass, NameClass) throws(ListError) -> NameClass
        ) throws(ListError) -> NameTable {
            if entries.isEmpty { return .empty }
            var slots = NameSlots(lines: Int(Double(distinct.estimate) / NameTable.load / 8) + 2)
            var count = 0
            for (index, entry) in entries.enumerated() {
                if index + Self.ahead < entries.count { slots.prefetch(entries[index + Self.ahead]) }
                if try Self.put(entry, in: &slots, joining: join) { count += 1 }
            }
            var filled = count
            // The estimate would have to be 14 standard deviations off.
            precondition(filled < slots.count)
            for (index, ancestor) in ancestors.enumerated() {
                if index + Self.ahead < ancestors.count { slots.prefetch(ancestors[index + Self.ahead]) }
                if try Self.put(ancestor, in: &slots, joining: join) { filled += 1 }
            }
            precondition(filled < slots.count)
            return NameTable(slots: slots, count: count)
        }

        /// Puts a key into its slot. Returns whether it was not there.
        private static func put(
            _ entry: NameKey, in slots: inout NameSlots,
            joining join: (NameClass, NameClass) throws(ListError) -> NameClass
        ) throws(ListError) -> Bool {
            let index = slots.place(of: entry)
            let slot = slots[index]
            if slot == 0 {
                slots[index] = entry.high
                return true
            }
            if slot != entry.high {
                let joined = try join(NameClass(truncatingIfNeeded: slot), NameClass(truncatingIfNeeded: entry.high))
                slots[index] = slot & ~0xFFFF | UInt64(joined)
            }
            return false
        }
    }
}

extension NameKey {
    fileprivate func marked(_ nameClass: NameClass) -> NameKey {
        NameKey(high: NameTable.mark(of: self) | UInt64(nameClass), low: low)
    }
}
