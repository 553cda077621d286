import AddressPools

/// The name at the start of a line of a list.
///
/// It is a host name: labels of letters, digits, hyphens and underscores, joined by dots; the last label is not a
/// number. Other bytes are escaped as in zone files, `\DDD` or `\X`. So files in other formats, which often have names
/// in them, are refused instead of being misread.
struct ListedName {
    /// The name in wire form is in the first `count` bytes.
    private(set) var wire = [UInt8](repeating: 0, count: DNSName.longestName)
    private(set) var count = 0

    /// Reads the name in a line.
    ///
    /// - Returns: The offset after the name; nil for a blank line or a comment.
    mutating func read(_ bytes: Span<UInt8>, _ line: Range<Int>) throws(ListError) -> Int? {
        let end = line.upperBound
        var position = line.lowerBound
        while position < end, bytes[position].isSpace { position += 1 }
        guard position < end, bytes[position] != UInt8(ascii: "#") else { return nil }
        let start = position
        // Written through a span: an array would check for uniqueness at every byte.
        var output = wire.mutableSpan
        // The position of the current label's length byte, which is set when the label ends.
        var label = 0
        var length = 1
        var hasLetter = false
        while position < end {
            var byte = bytes[position]
            if (byte | 0x20) &- UInt8(ascii: "a") < 26 || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_") {
                hasLetter = true
            } else if !isDigit(byte) {
                if byte == UInt8(ascii: ".") {
                    guard Self.end(label, length, &output) else {
                        throw Self.refused(bytes, line, at: position, Self.badLabel)
                    }
                    label = length
                    // The next label decides, if there is one.
                    hasLetter = hasLetter && (position + 1 == end || bytes[position + 1].endsName)
                    byte = 0
                } else if byte == UInt8(ascii: "\\") {
                    hasLetter = true
                    byte = try Self.readEscape(bytes, line, &position)
                } else {
                    guard byte.endsName else { throw Self.refused(bytes, line, at: position, Self.badByte) }
                    break
                }
            }
            // The last byte is for the root.
            guard length < DNSName.longestName - 1 || byte == 0 && length < DNSName.longestName else {
                throw Self.refused(bytes, line, at: start, Self.tooLong)
            }
            output[length] = byte
            length += 1
            position += 1
        }
        if length > label + 1 {
            guard Self.end(label, length, &output) else { throw Self.refused(bytes, line, at: start, Self.badLabel) }
            output[length] = 0
            length += 1
        }
        if !hasLetter { throw Self.refused(bytes, line, at: start, Self.noLetter) }
        if output[0] == 1, output[1] == UInt8(ascii: "*") { throw Self.refused(bytes, line, at: start, Self.badByte) }
        if position < end, Self.isFilter(bytes, position, line) {
            throw Self.refused(bytes, line, at: position, Self.badByte)
        }
        count = length
        return position
    }

    private static let badByte =
        "a name has letters, digits, hyphens, underscores and dots: write another byte as \\DDD, its value in decimal"
    private static let badLabel = "labels have 1 to 63 bytes and one dot between them: correct the name"
    private static let tooLong = "a name has at most 253 bytes: shorten it"
    private static let noLetter = "the last label of a name is not a number: correct the name, or remove the line"

    /// Sets the length of the label that begins at a position. Returns false if it is empty or too long.
    @inline(__always)
    private static func end(_ label: Int, _ length: Int, _ output: inout MutableSpan<UInt8>) -> Bool {
        let count = length - label - 1
        guard count > 0, count <= DNSName.longestLabel else { return false }
        output[label] = UInt8(truncatingIfNeeded: count)
        return true
    }

    /// Returns the byte of the escape at a position, which moves to the escape's last byte.
    private static func readEscape(
        _ bytes: Span<UInt8>, _ line: Range<Int>, _ position: inout Int
    ) throws(ListError) -> UInt8 {
        let rest = (position + 1..<min(position + 4, line.upperBound)).map { bytes[$0] }
        var read = 0
        guard let byte = unescaped(rest[...], at: &read) else { throw refused(bytes, line, at: position, badEscape) }
        position += read
        return byte
    }

    /// Whether what directly follows a name is an element of a filter list, as in `example.com##.banner`.
    private static func isFilter(_ bytes: Span<UInt8>, _ end: Int, _ line: Range<Int>) -> Bool {
        bytes[end] == UInt8(ascii: "#") && end + 1 < line.upperBound && "#@?$%".utf8.contains(bytes[end + 1])
    }

    private static func refused(
        _ bytes: Span<UInt8>, _ line: Range<Int>, at position: Int, _ reason: String
    ) -> ListError {
        let word = line.map { bytes[$0] }.drop(while: \.isSpace).prefix { !$0.isSpace }
        return ListError(
            message: "\(quoted(String(decoding: word.prefix(80), as: UTF8.self))) is not a name: \(reason)",
            position: position)
    }
}

extension UInt8 {
    /// Whether a name in a list ends before this byte.
    fileprivate var endsName: Bool { isSpace || self == UInt8(ascii: "#") }
}
