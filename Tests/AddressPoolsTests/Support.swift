import AddressPools
import Testing

/// A seeded generator, so that a failing random test fails again. SplitMix64 of Steele, Lea and Flood, "Fast Splittable
/// Pseudorandom Number Generators", OOPSLA 2014.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// A generator that repeats a list of numbers, to put a draw at an exact point.
struct ScriptedGenerator: RandomNumberGenerator {
    let numbers: [UInt64]
    private(set) var used = 0

    init(_ numbers: UInt64...) {
        self.numbers = numbers
    }

    mutating func next() -> UInt64 {
        defer { used += 1 }
        return numbers[used % numbers.count]
    }
}

/// How far counts are from being equal, and how far they may be.
struct ChiSquare {
    let statistic: Double
    /// What a fair draw stays below except once in a million runs.
    let critical: Double

    var isUniform: Bool { statistic < critical }

    init(counts: [Int]) {
        let expected = Double(counts.reduce(0, +)) / Double(counts.count)
        statistic = counts.reduce(0) { $0 + (Double($1) - expected) * (Double($1) - expected) / expected }
        // Wilson and Hilferty, 1931: the cube root of chi-square over its degrees of freedom is nearly normal.
        let freedom = Double(counts.count - 1)
        let normalQuantile = 4.753424  // of 1 - 10^-6
        let variance = 2 / (9 * freedom)
        let root = 1 - variance + normalQuantile * variance.squareRoot()
        critical = freedom * root * root * root
    }
}

/// The code of the ``AddressError`` that `body` throws, or nil if it throws none.
func code(_ body: () throws -> Any) -> AddressError.Code? {
    error(body)?.code
}

/// The message of the ``AddressError`` that `body` throws, or an empty text.
func message(_ body: () throws -> Any) -> String {
    error(body)?.message ?? ""
}

private func error(_ body: () throws -> Any) -> AddressError? {
    do {
        _ = try body()
        return nil
    } catch {
        return error as? AddressError
    }
}

/// A random address of which long stretches are zeros or ones as often as not, as in real ones.
func randomAddress(_ family: IPFamily, using generator: inout SplitMix64) -> IPAddress {
    let noise = UInt128(generator.next()) << 64 | UInt128(generator.next())
    switch family {
    case .ipv4:
        return IPAddress(ipv4: UInt32(truncatingIfNeeded: noise))
    case .ipv6:
        var bits = noise
        for group in 0..<8 {
            switch generator.next() % 4 {
            case 0, 1: bits &= ~(0xFFFF << (16 * group))
            case 2: bits &= ~(0xFF00 << (16 * group))
            default: break
            }
        }
        return IPAddress(ipv6: bits)
    }
}
