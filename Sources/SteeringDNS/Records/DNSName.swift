import AddressPools

/// A domain name in wire form: labels with their lengths, the root's 0 at the end, letters as they were written.
///
/// Names are equal when they differ only in the case of ASCII letters (RFC 4343), so a name can be found whatever case
/// a question uses, and is still printed as its owner wrote it.
public struct DNSName: Sendable, Hashable {
    /// The name as it stands in a message, uncompressed: 1 to 255 bytes.
    public let wire: [UInt8]

    /// The root of all names, written `.`.
    public static let root = DNSName(unchecked: [0])

    /// Reads a name as zone files write it (RFC 1035, section 5.1).
    ///
    /// - Parameter text: labels of 1 to 63 bytes joined by dots, `.` for the root. A dot at the end changes nothing:
    ///   the name is absolute with or without. `\DDD` stands for the byte of that decimal number, `\X` for X itself.
    /// - Throws: one sentence that says what is wrong with the text, and the remedy.
    public init(_ text: String) throws(DNSNameError) {
        try self.init(parsing: Array(text.utf8)[...], origin: .root)
    }

    /// Takes a name in wire form; nil when the bytes are not exactly one uncompressed name.
    public init?(wire: [UInt8]) {
        guard DNSName.length(in: wire[...]) == wire.count else { return nil }
        self.wire = wire
    }

    /// Callers guarantee that `wire` is one name.
    init(unchecked wire: [UInt8]) {
        self.wire = wire
    }

    /// How many bytes the uncompressed name takes up that begins `bytes`; nil when none does.
    static func length(in bytes: ArraySlice<UInt8>) -> Int? {
        var position = bytes.startIndex
        while position < bytes.endIndex {
            let length = Int(bytes[position])
            guard length <= longestLabel else { return nil }
            position += 1 + length
            guard position - bytes.startIndex <= longestName else { return nil }
            if length == 0 { return position - bytes.startIndex }
        }
        return nil
    }

    static let longestLabel = 63
    static let longestName = 255
}

// MARK: - Comparing

extension DNSName {
    /// Whether two names are the same but for the case of letters.
    public static func == (left: DNSName, right: DNSName) -> Bool {
        left.wire.count == right.wire.count && left.endsAlike(right, from: 0)
    }

    /// Feeds the name in lower case to `hasher`.
    public func hash(into hasher: inout Hasher) {
        // Eight bytes a step: a byte a step is several times slower.
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

    /// The name with its letters in lower case: the canonical form of RFC 4034, section 6.2.
    var folded: DNSName { DNSName(unchecked: wire.map(lowercased)) }

    /// Whether the wire form from `start` on is that of `other`; as many bytes must remain.
    private func endsAlike(_ other: DNSName, from start: Int) -> Bool {
        // Folding length bytes too is harmless: a length is at most 63, and letters begin at 65.
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
    /// The number of labels, the root's not counted: 3 for `www.example.com.`, 0 for the root.
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

    /// The wildcard directly below this name; nil where it would be too long to exist.
    var wildcard: DNSName? {
        wire.count + 2 <= DNSName.longestName ? DNSName(unchecked: [1, UInt8(ascii: "*")] + wire) : nil
    }

    /// Whether the name is `ancestor` with labels in front of it.
    public func isBelow(_ ancestor: DNSName) -> Bool {
        wire.count > ancestor.wire.count && isAtOrBelow(ancestor)
    }

    /// Whether the name is `ancestor`, or that with labels in front of it.
    public func isAtOrBelow(_ ancestor: DNSName) -> Bool {
        let start = wire.count - ancestor.wire.count
        guard start >= 0 else { return false }
        // The end of the bytes can look like the ancestor inside a label, so walk from label to label.
        var position = 0
        while position < start { position += 1 + Int(wire[position]) }
        return position == start && endsAlike(ancestor, from: start)
    }
}

// MARK: - Reading

extension DNSName {
    /// Reads a name that takes up all of `text`; `origin` is appended to one that does not end with a dot.
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
        // Where the length of the current label stands; it is filled in when the label ends.
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
    /// The name as zone files write it, with a dot at the end and escapes where they are needed.
    public var description: String {
        var text: [UInt8] = []
        text.reserveCapacity(wire.count + 1)
        DNSName.appendText(of: wire[...], to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// Appends the text of the name in wire form that begins `wire`.
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

    /// Characters that mean something to a reader of zone files when they stand in a name.
    static let specialInNames = Array("\"().;\\@$".utf8)
}

/// Why a text is not a domain name: one sentence with the remedy.
public struct DNSNameError: Error, Sendable, Hashable, CustomStringConvertible {
    /// One sentence for people. Text from outside is quoted in it with everything but printable ASCII escaped.
    public let message: String

    init(_ text: ArraySlice<UInt8>, _ reason: String) {
        message = "\(quoted(String(decoding: text, as: UTF8.self))) is not a domain name: \(reason)"
    }

    /// The message.
    public var description: String { message }
}
