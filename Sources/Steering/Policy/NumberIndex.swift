/// A hash table of the indices of values that are kept in an array; open addressing.
///
/// Meant for a hundred thousand lookups: a dictionary would store the values a second time, and hashing them would take
/// longer than computing the results again. The hash is not seeded: constructed collisions make lookups slow, but not
/// wrong.
struct NumberIndex {
    /// The upper half of the hash, then the index plus one; 0 if empty.
    private var slots = [UInt64](repeating: 0, count: 64)
    private var count = 0

    /// Returns the index of an equal value, or `next`, where the caller then appends the new value.
    @inline(__always)
    mutating func place(hash: UInt64, next: Int, where isEqual: (Int) -> Bool) -> Int {
        let mask = slots.count - 1
        let tag = hash >> 32
        var slot = Int(tag) & mask
        while slots[slot] != 0 {
            let place = Int(slots[slot] & 0xffff_ffff) - 1
            if slots[slot] >> 32 == tag, isEqual(place) { return place }
            slot = (slot + 1) & mask
        }
        slots[slot] = tag << 32 | UInt64(next + 1)
        count += 1
        if count * 2 > slots.count { grow() }
        return next
    }

    private mutating func grow() {
        let former = slots
        slots = [UInt64](repeating: 0, count: former.count * 4)
        for entry in former where entry != 0 {
            var slot = Int(entry >> 32) & (slots.count - 1)
            while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
            slots[slot] = entry
        }
    }
}

extension UInt64 {
    /// Mixes a value into a hash, whose upper half has the better bits.
    @inline(__always)
    func mixed(with value: UInt64) -> UInt64 {
        let product = (self ^ value) &* 0x9e37_79b9_7f4a_7c15
        return product ^ product >> 29
    }
}
