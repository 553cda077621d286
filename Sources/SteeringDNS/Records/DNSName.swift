import AddressPools

/// A domain name in wire form, with its letters as they were written.
///
/// Names that differ only in the case of ASCII letters are equal (RFC 4343), so lookups ignore case, and a name is
/// still printed as its owner wrote it.
public struct DNSName: Sendable, Hashable {
    /// The labels with their lengths, uncompressed, up to the root's zero byte: 1 to 255 bytes.
    public let wire: [UInt8]

    /// The root name, written `.`.
    public static let root = DNSName(unchecked: [0])

    /// Parses a name in zone file syntax (RFC 1035, section 5.1).
    ///
    /// - Parameter text: Labels of 1 to 63 bytes joined by dots, or `.` for the root; at most 255 bytes in wire form.
    ///   The name is absolute with or without a trailing dot. `\DDD` is the byte with that decimal value, `\X` the
    ///   character X.
    /// - Throws: ``DNSNameError`` if the text is empty, if a label is empty or too long, if the name is too long, if an
    ///   escape is malformed, or if a character other than visible ASCII, or one of `"();`, is not escaped.
    public init(_ text: String) throws(DNSNameError) {
        try self.init(parsing: Array(text.utf8)[...], origin: .root)
    }

    /// Makes a name from its wire form.
    ///
    /// - Parameter wire: The bytes. The result is nil unless they are exactly one uncompressed name.
    public init?(wire: [UInt8]) {
        guard DNSName.length(in: wire[...]) == wire.count else { return nil }
        self.wire = wire
    }

    /// Makes a name from the uncompressed name at the start of `bytes`; nil if there is none.
    init?(atStartOf bytes: ArraySlice<UInt8>) {
        guard let length = DNSName.length(in: bytes) else { return nil }
        wire = Array(bytes.prefix(length))
    }

    /// Makes a name from bytes that are known to be one name.
    init(unchecked wire: [UInt8]) {
        self.wire = wire
    }

    /// Returns the length in bytes of the uncompressed name at the start of `bytes`; nil if there is none.
    static func length(in bytes: ArraySlice<UInt8>) -> Int? { length(in: bytes.span, at: 0) }

    /// Returns the length in bytes of the uncompressed name at an offset; nil if there is none.
    static func length(in bytes: Span<UInt8>, at start: Int) -> Int? {
        var position = start
        while position < bytes.count {
            let length = Int(bytes[position])
            guard length <= longestLabel else { return nil }
            position += 1 + length
            guard position - start <= longestName else { return nil }
            if length == 0 { return position - start }
        }
        return nil
    }

    static let longestLabel = 63
    static let longestName = 255
}

// MARK: - Comparison

extension DNSName {
    /// Returns whether two names are equal, ignoring the case of ASCII letters.
    public static func == (left: DNSName, right: DNSName) -> Bool {
        left.wire.count == right.wire.count && left.endsAlike(right, from: 0)
    }

    /// Hashes the name, ignoring the case of ASCII letters.
    public func hash(into hasher: inout Hasher) {
        // Eight bytes per step: one byte per step is several times slower.
        var word: UInt64 = 0
        for (index, byte) in wire.enumerated() {
            word = word << 8 | UInt64(lowercased(byte))
            if index & 7 == 7 {
                hasher.combine(word)
                word = 0
            }
        }
        hasher.combine(word)
    }

    /// The name in lowercase: the canonical form of RFC 4034, section 6.2.
    var folded: DNSName { DNSName(unchecked: wire.map(lowercased)) }

    /// Returns whether the wire form from `start` on equals that of `other`, which must have the same length.
    private func endsAlike(_ other: DNSName, from start: Int) -> Bool {
        // Folding the length bytes is harmless: lengths are at most 63, and letters begin at 65.
        for index in other.wire.indices where lowercased(wire[start + index]) != lowercased(other.wire[index]) {
            return false
        }
        return true
    }
}

func lowercased(_ byte: UInt8) -> UInt8 {
    byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") ? byte | 0x20 : byte
}

// MARK: - Ancestors

extension DNSName {
    /// The number of labels without the root's: 3 for `www.example.com.`, 0 for the root.
    public var labelCount: Int {
        var count = 0
        var position = 0
        while wire[position] != 0 {
            position += 1 + Int(wire[position])
            count += 1
        }
        return count
    }

    /// The name without its first label; nil for the root.
    public var parent: DNSName? {
        wire[0] == 0 ? nil : DNSName(unchecked: Array(wire[(1 + Int(wire[0]))...]))
    }

    /// Whether the first label is the asterisk of a wildcard (RFC 4592).
    var isWildcard: Bool { wire.count > 2 && wire[0] == 1 && wire[1] == UInt8(ascii: "*") }

    /// The wildcard directly below this name; nil if it would exceed 255 bytes.
    var wildcard: DNSName? {
        wire.count + 2 <= DNSName.longestName ? DNSName(unchecked: [1, UInt8(ascii: "*")] + wire) : nil
    }

    /// Returns whether this name is a proper descendant of `ancestor`.
    public func isBelow(_ ancestor: DNSName) -> Bool {
        wire.count > ancestor.wire.count && isAtOrBelow(ancestor)
    }

    /// Returns whether this name is `ancestor` or a descendant of it.
    public func isAtOrBelow(_ ancestor: DNSName) -> Bool {
        let start = wire.count - ancestor.wire.count
        guard start >= 0 else { return false }
        // The bytes of the ancestor could also match inside a label, so walk the labels.
        var position = 0
        while position < start { position += 1 + Int(wire[position]) }
        return position == start && endsAlike(ancestor, from: start)
    }
}

// MARK: - Parsing

extension DNSName {
    /// Parses a name from all of `text`. A name without a trailing dot is relative to `origin`.
    init(parsing text: ArraySlice<UInt8>, origin: DNSName?) throws(DNSNameError) {
        let dot = UInt8(ascii: ".")
        guard let first = text.first else {
            throw DNSNameError(text, "it is empty; write a name such as www.example.com, or . for the root")
        }
        if text.count == 1, first == dot {
            self = .root
            return
        }
        var wire: [UInt8] = [0]
        wire.reserveCapacity(text.count + 2 + (origin?.wire.count ?? 0))
        // The position of the current label's length byte, which is set when the label ends.
        var start = 0
        var position = text.startIndex
        while position < text.endIndex {
            let byte = text[position]
            position += 1
            if byte == dot {
                guard wire.count > start + 1 else {
                    throw DNSNameError(text, "a label is empty; write one dot between labels, and none in front")
                }
                wire[start] = UInt8(wire.count - start - 1)
                start = wire.count
                wire.append(0)
            } else {
                guard wire.count - start <= DNSName.longestLabel else {
                    throw DNSNameError(text, "a label is longer than 63 bytes; shorten it")
                }
                wire.append(try DNSName.byte(byte, in: text, before: &position))
            }
            guard wire.count <= DNSName.longestName else { throw DNSName.tooLong(text) }
        }
        if wire.count > start + 1 {
            guard let origin else {
                throw DNSNameError(
                    text, "it is relative and there is no origin yet; end it with a dot, or write $ORIGIN before it")
            }
            wire[start] = UInt8(wire.count - start - 1)
            wire += origin.wire
        }
        guard wire.count <= DNSName.longestName else { throw DNSName.tooLong(text) }
        self.init(unchecked: wire)
    }

    private static func tooLong(_ text: ArraySlice<UInt8>) -> DNSNameError {
        DNSNameError(text, "it is longer than 255 bytes in all; shorten it")
    }

    private static func byte(
        _ byte: UInt8, in text: ArraySlice<UInt8>, before position: inout Int
    ) throws(DNSNameError) -> UInt8 {
        switch byte {
        case UInt8(ascii: "\\"):
            guard let escaped = unescaped(text, at: &position) else {
                throw DNSNameError(text, badEscape)
            }
            return escaped
        case UInt8(ascii: "\""), UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: ";"):
            let character = Character(Unicode.Scalar(byte))
            throw DNSNameError(text, "\(character) means something else in a zone file; write \\\(character)")
        case 0x21...0x7E:
            return byte
        case 0x80...:
            throw DNSNameError(text, "it is not all ASCII; write international names in their xn-- form")
        default:
            throw DNSNameError(text, "it has a space or a control character; remove it, or write it as \\032")
        }
    }
}

// MARK: - Printing

extension DNSName: CustomStringConvertible {
    /// The name in zone file syntax: with a trailing dot, and escapes where needed.
    public var description: String {
        var text: [UInt8] = []
        text.reserveCapacity(wire.count + 1)
        DNSName.appendText(of: wire[...], to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// Appends the text of the name at the start of `wire`.
    static func appendText(of wire: ArraySlice<UInt8>, to text: inout [UInt8]) {
        var position = wire.startIndex
        if wire[position] == 0 { text.append(UInt8(ascii: ".")) }
        while wire[position] != 0 {
            let end = position + 1 + Int(wire[position])
            for byte in wire[position + 1..<end] { appendEscaped(byte, special: specialInNames, to: &text) }
            text.append(UInt8(ascii: "."))
            position = end
        }
    }

    /// Characters with a meaning in zone files, which are escaped in names.
    static let specialInNames = Array("\"().;\\@$".utf8)
}

/// The reason why a text is not a domain name.
public struct DNSNameError: Error, Sendable, Hashable, CustomStringConvertible {
    /// One sentence: the problem and the remedy.
    ///
    /// It quotes the text with everything but printable ASCII escaped.
    public let message: String

    init(_ text: ArraySlice<UInt8>, _ reason: String) {
        message = "\(quoted(String(decoding: text, as: UTF8.self))) is not a domain name: \(reason)"
    }

    /// The message.
    public var description: String { message }
}
