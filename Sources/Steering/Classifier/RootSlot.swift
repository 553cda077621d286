import CSteering

/// An entry of a root: the addresses that share their first 16 bits.
struct RootSlot: Hashable {
    let family: IPFamily
    let number: Int

    static let bits = Int(STEERING_ROOT_BITS)
    static let count = 1 << bits

    /// Returns the slots below which two sorted lists of records differ; nil for more than 32 slots or a difference in
    /// a shorter prefix.
    static func between(_ former: [PolicyRecord], _ new: [PolicyRecord]) -> [RootSlot]? {
        var slots: [RootSlot] = []
        var (old, own) = (0, 0)
        while old < former.count || own < new.count {
            let changed: PolicyRecord
            if old < former.count, own < new.count, former[old] == new[own] {
                (old, own) = (old + 1, own + 1)
                continue
            } else if own == new.count || (old < former.count && former[old] < new[own]) {
                changed = former[old]
                old += 1
            } else {
                changed = new[own]
                own += 1
            }
            guard changed.length >= bits else { return nil }
            if slots.last != changed.slot { slots.append(changed.slot) }
            guard slots.count <= limit else { return nil }
        }
        return slots
    }

    /// Each slot moves half of the prefixes in memory, on average.
    private static let limit = 32
}

/// An element that sorts by family, then prefix bits, then prefix length.
protocol SortedByPrefix {
    var family: IPFamily { get }
    /// The prefix's bits in the most significant positions.
    var key: UInt128 { get }
}

extension PolicyRecord: SortedByPrefix {}
extension PortRows.NamedPrefix: SortedByPrefix {}

extension SortedByPrefix {
    /// The slot of its first address.
    var slot: RootSlot { RootSlot(family: family, number: Int(key >> UInt128(128 - RootSlot.bits))) }
}

extension Array where Element: SortedByPrefix {
    func items(of family: IPFamily) -> Range<Int> {
        let firstIPv6 = partitioningIndex { $0.family == .ipv6 }
        return family == .ipv4 ? 0..<firstIPv6 : firstIPv6..<count
    }

    /// Returns the range of the elements that begin in a slot.
    func items(in slot: RootSlot) -> Range<Int> {
        func first(_ number: Int) -> Int {
            partitioningIndex { $0.family == slot.family ? $0.slot.number >= number : slot.family == .ipv4 }
        }
        return first(slot.number)..<first(slot.number + 1)
    }
}

extension [PortRows.NamedPrefix] {
    /// The prefixes shorter than 16 bits that contain a slot's addresses, the shortest first.
    func containers(of slot: RootSlot) -> [PortRows.NamedPrefix] {
        let key = UInt128(slot.number) << UInt128(128 - RootSlot.bits)
        return (0..<RootSlot.bits).compactMap { length in
            let wanted = length == 0 ? 0 : key & ~(UInt128.max >> UInt128(length))
            let place = partitioningIndex {
                if $0.family != slot.family { return slot.family == .ipv4 }
                return $0.key == wanted ? $0.length >= length : $0.key > wanted
            }
            guard place < count, self[place].family == slot.family, self[place].key == wanted,
                self[place].length == length
            else { return nil }
            return self[place]
        }
    }
}
