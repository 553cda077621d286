internal import AddressPools

/// Parses JSON (RFC 8259) into nodes.
struct JSONReader {
    private let source: Source
    private let bytes: [UInt8]
    private var index = 0
    private var line = 1
    /// The index of column 1, adjusted for multi-byte scalars earlier in the line: `index - lineStart` counts scalars.
    private var lineStart = 0

    /// Parses a document; `bytes` must be valid UTF-8.
    static func node(of bytes: [UInt8], in source: Source) throws(DocumentError) -> Node {
        var reader = JSONReader(source: source, bytes: bytes)
        reader.skipSpace()
        let node = try reader.value(depth: 1)
        reader.skipSpace()
        guard reader.next == nil else { throw reader.unexpected("the end of the file") }
        return node
    }

    private init(source: Source, bytes: [UInt8]) {
        self.source = source
        self.bytes = bytes
    }

    private mutating func value(depth: Int) throws(DocumentError) -> Node {
        let start = position
        switch next {
        case UInt8(ascii: "{"): return Node(position: start, content: .mapping(try entries(depth: depth)))
        case UInt8(ascii: "["): return Node(position: start, content: .list(try elements(depth: depth)))
        case UInt8(ascii: "\""): return Node(position: start, content: .text(try string()))
        case let byte? where byte == UInt8(ascii: "-") || isDigit(byte):
            return Node(position: start, content: .text(try number()))
        default:
            // Text, as in YAML: the key decides what it means.
            for word in ["true", "false"] where takes(word) { return Node(position: start, content: .text(word)) }
            if takes("null") {
                throw source.error(
                    at: start, "null is not allowed in a policy: write a value, or leave the key out")
            }
            throw unexpected("a value")
        }
    }

    private mutating func entries(depth: Int) throws(DocumentError) -> [Node.Entry] {
        var entries: [Node.Entry] = []
        try open(depth: depth)
        while !take("}") {
            if !entries.isEmpty { try expect(",", or: "}") }
            let start = position
            guard next == UInt8(ascii: "\"") else { throw unexpected("a key in quotes") }
            let key = try string()
            skipSpace()
            try expect(":")
            entries.append(Node.Entry(key: key, position: start, value: try value(depth: depth + 1)))
            skipSpace()
        }
        return entries
    }

    private mutating func elements(depth: Int) throws(DocumentError) -> [Node] {
        var elements: [Node] = []
        try open(depth: depth)
        while !take("]") {
            if !elements.isEmpty { try expect(",", or: "]") }
            elements.append(try value(depth: depth + 1))
            skipSpace()
        }
        return elements
    }

    private mutating func open(depth: Int) throws(DocumentError) {
        guard depth <= Node.maximumDepth else { throw source.tooDeep(at: position) }
        index += 1
        skipSpace()
    }

    private mutating func number() throws(DocumentError) -> String {
        let start = index
        _ = take("-")
        if !take("0") { try digits() }
        if take(".") { try digits() }
        if take("e") || take("E") {
            _ = take("+") || take("-")
            try digits()
        }
        if let next, isDigit(next) { throw unexpected("the end of the number, which begins with 0,") }
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    private mutating func digits() throws(DocumentError) {
        let start = index
        while let next, isDigit(next) { index += 1 }
        if index == start { throw unexpected("a digit") }
    }

    private func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    private mutating func string() throws(DocumentError) -> String {
        index += 1
        let start = index
        while let byte = next, byte != UInt8(ascii: "\"") {
            if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
            try passInString(byte)
        }
        return String(decoding: bytes[start..<(try endOfString())], as: UTF8.self)
    }

    private mutating func escapedString(from start: Int) throws(DocumentError) -> String {
        var units = Array(String(decoding: bytes[start..<index], as: UTF8.self).utf16)
        while let byte = next, byte != UInt8(ascii: "\"") {
            let run = index
            if byte == UInt8(ascii: "\\") {
                units.append(try escape())
            } else {
                repeat { try passInString(bytes[index]) } while next.map { $0 & 0xC0 == 0x80 } ?? false
                units += Array(String(decoding: bytes[run..<index], as: UTF8.self).utf16)
            }
        }
        _ = try endOfString()
        // An unpaired surrogate becomes U+FFFD, which is not valid in any value of a policy.
        return String(decoding: units, as: UTF16.self)
    }

    private mutating func endOfString() throws(DocumentError) -> Int {
        guard take("\"") else { throw unexpected("the closing quote of a string") }
        return index - 1
    }

    private mutating func passInString(_ byte: UInt8) throws(DocumentError) {
        guard byte >= 0x20 else { throw unexpected("the closing quote of a string on the same line") }
        index += 1
        if byte & 0xC0 == 0x80 { lineStart += 1 }
    }

    private static let escapes: [UInt8: UInt16] = [
        UInt8(ascii: "\""): 0x22, UInt8(ascii: "\\"): 0x5C, UInt8(ascii: "/"): 0x2F, UInt8(ascii: "b"): 0x08,
        UInt8(ascii: "f"): 0x0C, UInt8(ascii: "n"): 0x0A, UInt8(ascii: "r"): 0x0D, UInt8(ascii: "t"): 0x09,
    ]

    private mutating func escape() throws(DocumentError) -> UInt16 {
        index += 1
        if let next, let unit = Self.escapes[next] {
            index += 1
            return unit
        }
        guard take("u"), let unit = hexadecimal(bytes[index...].prefix(4)) else {
            throw unexpected("an escape sequence")
        }
        index += 4
        return unit
    }

    private func hexadecimal(_ digits: ArraySlice<UInt8>) -> UInt16? {
        // Checked because the integer initializer also accepts a sign.
        guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }) else { return nil }
        return UInt16(String(decoding: digits, as: UTF8.self), radix: 16)
    }
}

// MARK: - Bytes and positions

extension JSONReader {
    private var next: UInt8? { index < bytes.count ? bytes[index] : nil }

    private var position: Position { Position(line: line, column: index - lineStart + 1) }

    private mutating func skipSpace() {
        while let byte = next {
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): index += 1
            case UInt8(ascii: "\n"):
                index += 1
                line += 1
                lineStart = index
            default: return
            }
        }
    }

    private mutating func take(_ byte: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: byte) else { return false }
        index += 1
        return true
    }

    private mutating func takes(_ word: String) -> Bool {
        guard bytes[index...].starts(with: word.utf8) else { return false }
        index += word.utf8.count
        return true
    }

    private mutating func expect(_ byte: Unicode.Scalar, or other: Unicode.Scalar? = nil) throws(DocumentError) {
        guard take(byte) else { throw unexpected("\(byte)" + (other.map { " or \($0)" } ?? "")) }
        skipSpace()
    }

    private func unexpected(_ expected: String) -> DocumentError {
        guard next != nil else {
            return source.error(at: position, "the file ends where JSON needs \(expected): complete it")
        }
        let found = String(decoding: bytes[index...].prefix(4), as: UTF8.self).prefix(1)
        return source.error(at: position, "JSON needs \(expected) here, not \(quoted(found)): fix the syntax")
    }
}

extension Source {
    func tooDeep(at position: Position) -> DocumentError {
        error(
            at: position,
            "lists and mappings are nested more than \(Node.maximumDepth) levels deep: a policy needs four")
    }
}
