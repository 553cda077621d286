import AddressPools

/// The host identity tag and the key of HIP records (RFC 8005): the length of the tag, the algorithm and the length of
/// the key, then both.
enum HostIdentity {
    /// Parses an algorithm, a tag in hexadecimal and a key in Base64.
    static func wire(of words: [String]) throws(FieldRefusal) -> [UInt8] {
        guard words[0].utf8.allSatisfy(isDigit), let algorithm = UInt8(words[0]) else {
            throw FieldRefusal("\(quoted(words[0])) is not a valid algorithm number; write a number from 0 to 255")
        }
        guard let tag = Hexadecimal.decode(Array(words[1].utf8)), (1...255).contains(tag.count) else {
            throw FieldRefusal("\(quoted(words[1])) is not a tag; write two hexadecimal digits per byte", word: 1)
        }
        guard let key = Base64.decode(Array(words[2].utf8)), (1...65_000).contains(key.count) else {
            throw FieldRefusal("\(quoted(words[2])) is not a key; write it in Base64, in one word", word: 2)
        }
        return [UInt8(tag.count), algorithm, UInt8(key.count >> 8), UInt8(key.count & 255)] + tag + key
    }

    /// Returns the length of the fields at the start of `wire`; nil if they are malformed.
    static func length(in wire: ArraySlice<UInt8>) -> Int? {
        let head = wire.prefix(4).map(Int.init)
        guard head.count == 4 else { return nil }
        let (tag, key) = (head[0], head[2] << 8 | head[3])
        return tag > 0 && key > 0 && wire.count >= 4 + tag + key ? 4 + tag + key : nil
    }

    static func text(of wire: ArraySlice<UInt8>) -> String {
        let head = Array(wire.prefix(4))
        let tag = wire.dropFirst(4).prefix(Int(head[0]))
        let key = wire.dropFirst(4 + tag.count)
        return "\(head[1]) \(Hexadecimal.encode(tag)) \(String(decoding: Base64.encode(key), as: UTF8.self))"
    }
}
