/// Sets of numbers as bits, the highest bit of the first byte for 0, in as few bytes as they need.
enum NumberBits {
    static func insert(_ number: Int, into bits: inout [UInt8]) {
        if bits.count <= number / 8 { bits += [UInt8](repeating: 0, count: number / 8 + 1 - bits.count) }
        bits[number / 8] |= 0x80 >> UInt8(number % 8)
    }

    static func numbers(in bits: some Sequence<UInt8>) -> [Int] {
        bits.enumerated().flatMap { index, byte in
            (0..<8).filter { byte & 0x80 >> UInt8($0) != 0 }.map { index << 3 | $0 }
        }
    }
}
