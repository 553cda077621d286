import AddressPools

/// A set of record types in wire form (RFC 4034, section 4.1.2): blocks of 256 types, of which each has a number, a
/// length and as many bytes of bits.
enum TypeBits {
    static func wire(of words: [String]) throws(FieldRefusal) -> [UInt8] {
        var blocks: [UInt8: [UInt8]] = [:]
        for (index, word) in words.enumerated() {
            guard let type = RecordType(word) else {
                throw FieldRefusal("\(quoted(word)) is not a known type; write TYPE and its number", word: index)
            }
            NumberBits.insert(Int(type.rawValue & 255), into: &blocks[UInt8(type.rawValue >> 8), default: []])
        }
        return blocks.sorted { $0.key < $1.key }.flatMap { [$0.key, UInt8($0.value.count)] + $0.value }
    }

    static func isWellFormed(_ wire: ArraySlice<UInt8>) -> Bool {
        var rest = wire
        var last = -1
        while rest.count >= 2 {
            let (block, length) = (Int(rest[rest.startIndex]), Int(rest[rest.startIndex + 1]))
            let bits = rest.dropFirst(2).prefix(length)
            guard block > last, (1...32).contains(length), bits.count == length, bits.last != 0 else { return false }
            last = block
            rest = rest.dropFirst(2 + length)
        }
        return rest.isEmpty
    }

    /// Returns the names of the types in well-formed bits.
    static func text(of wire: ArraySlice<UInt8>) -> String {
        var names: [String] = []
        var rest = wire
        while rest.count >= 2 {
            let (block, length) = (Int(rest[rest.startIndex]), Int(rest[rest.startIndex + 1]))
            for number in NumberBits.numbers(in: rest.dropFirst(2).prefix(length)) {
                names.append(RecordType(rawValue: UInt16(block << 8 | number)).description)
            }
            rest = rest.dropFirst(2 + length)
        }
        return names.joined(separator: " ")
    }
}
