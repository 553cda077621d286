import AddressPools

/// The address prefixes of APL records (RFC 3123): for each a family, a length in bits, a byte with the sign and the
/// number of bytes, and the address without the zero bytes at its end.
enum AddressPrefixes {
    /// Parses items such as `1:192.0.2.0/24` and `!2:2001:db8::/32`.
    static func wire(of words: [String]) throws(FieldRefusal) -> [UInt8] {
        var wire: [UInt8] = []
        for (index, word) in words.enumerated() {
            guard let item = item(word) else {
                throw FieldRefusal(
                    "\(quoted(word)) is not a prefix; write 1:192.0.2.0/24 or 2:2001:db8::/32, with ! in front to exclude",
                    word: index)
            }
            wire += item
        }
        return wire
    }

    private static func item(_ word: String) -> [UInt8]? {
        var rest = word[...]
        let isNegated = rest.first == "!"
        if isNegated { rest = rest.dropFirst() }
        guard let family: IPFamily = rest.hasPrefix("1:") ? .ipv4 : rest.hasPrefix("2:") ? .ipv6 : nil,
            let slash = rest.lastIndex(of: "/"), let address = try? IPAddress(String(rest[..<slash].dropFirst(2))),
            address.family == family
        else { return nil }
        let digits = rest[slash...].dropFirst()
        guard digits.utf8.allSatisfy(isDigit), let length = UInt8(digits), Int(length) <= family.bitWidth else {
            return nil
        }
        var bytes = address.bytes
        while bytes.last == 0 { bytes.removeLast() }
        return [0, family == .ipv4 ? 1 : 2, length, (isNegated ? 0x80 : 0) | UInt8(bytes.count)] + bytes
    }

    /// Returns the length of the item at the start of `wire`; nil if it is malformed.
    static func itemLength(in wire: ArraySlice<UInt8>) -> Int? {
        let head = Array(wire.prefix(4))
        guard head.count == 4, head[0] == 0, head[1] == 1 || head[1] == 2 else { return nil }
        let (size, count) = (head[1] == 1 ? 4 : 16, Int(head[3] & 0x7F))
        let bytes = wire.dropFirst(4).prefix(count)
        guard Int(head[2]) <= size * 8, count <= size, bytes.count == count, bytes.last != 0 else { return nil }
        return 4 + count
    }

    /// Returns the text of well-formed items.
    static func text(of wire: ArraySlice<UInt8>) -> String {
        var items: [String] = []
        var rest = wire
        while let length = itemLength(in: rest) {
            let item = Array(rest.prefix(length))
            let bytes = item.dropFirst(4) + [UInt8](repeating: 0, count: (item[1] == 1 ? 4 : 16) - (length - 4))
            let address = IPAddress(bytes: bytes)?.description ?? ""
            items.append("\(item[3] & 0x80 == 0 ? "" : "!")\(item[1]):\(address)/\(item[2])")
            rest = rest.dropFirst(length)
        }
        return items.joined(separator: " ")
    }
}
