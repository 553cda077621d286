import Glibc

/// Estimates how many different keys it was given, within 1 %, whatever their order and however often each came.
///
/// HyperLogLog (Flajolet, Fusy, Gandouet and Meunier, 2007) with 2^14 registers. Small numbers,
/// which that overestimates, follow from the number of empty registers.
struct DistinctCount {
    private var registers = [UInt8](repeating: 0, count: 1 << 14)

    /// Takes a key into account.
    @inline(__always)
    mutating func add(_ key: NameKey) {
        // The other half of the key places it in the table.
        let index = Int(truncatingIfNeeded: key.high &>> 50)
        let rank = UInt8(truncatingIfNeeded: 1 + key.low.leadingZeroBitCount)
        if registers[index] < rank { registers[index] = rank }
    }

    /// The number of different keys.
    var estimate: Int {
        let count = Double(registers.count)
        let sum = registers.reduce(0.0) { $0 + 1 / Double(UInt64(1) << UInt64($1)) }
        let raw = 0.7213 / (1 + 1.079 / count) * count * count / sum
        let empty = registers.count { $0 == 0 }
        return Int(raw <= 2.5 * count && empty > 0 ? count * log(count / Double(empty)) : raw)
    }
}
