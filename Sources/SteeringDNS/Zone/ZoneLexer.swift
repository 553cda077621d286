import AddressPools

/// A word or a quoted string, with its escapes.
struct ZoneToken {
    /// The range of its bytes, without the quotes around it.
    let range: Range<Int>
    let isQuoted: Bool
    let place: ZonePlace
}

/// A line and a byte in it, both from 1.
struct ZonePlace {
    let line: Int
    let column: Int
}

/// Splits a zone file into entries, and entries into tokens. It handles line ends, parentheses, comments, quotes and
/// backslashes, and nothing else.
struct ZoneLexer {
    static let largestFile = 256 << 20
    /// Four times the longest record data: 65,535 bytes, each written as \DDD.
    static let longestLine = 1 << 20
    static let deepestNesting = 32

    let bytes: [UInt8]
    let file: String
    private var position = 0
    private var line = 1
    private var lineStart = 0
    private var openParentheses: [ZonePlace] = []
    private var entryHasEnded = true
    /// The place where the last entry ended, for errors about missing fields.
    private(set) var end = ZonePlace(line: 1, column: 1)

    init(bytes: [UInt8], file: String) throws(ZoneFileError) {
        self.bytes = bytes
        self.file = file
        guard bytes.count <= ZoneLexer.largestFile else {
            throw failure("the file is larger than 256 MiB; split the zone, or answer most names by a policy", at: end)
        }
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) {
            throw failure("the file begins with a byte order mark; save it as plain text without one", at: end)
        }
    }

    func failure(_ message: String, at place: ZonePlace) -> ZoneFileError {
        ZoneFileError(file: file, line: place.line, column: place.column, message: message)
    }

    private var here: ZonePlace { ZonePlace(line: line, column: position - lineStart + 1) }

    // MARK: Entries

    enum EntryStart {
        /// The entry starts at the beginning of its line; its first token is an owner or a directive.
        case word
        /// The line begins with a space: the owner is that of the previous record.
        case space
    }

    /// Moves to the next entry, past empty lines and comments. Returns nil at the end of the file.
    mutating func nextEntry() throws(ZoneFileError) -> EntryStart? {
        while position < bytes.count {
            let start: EntryStart = isBlank(bytes[position]) ? .space : .word
            while position < bytes.count, isBlank(bytes[position]) { position += 1 }
            if position < bytes.count, bytes[position] == UInt8(ascii: ";") { skipComment() }
            guard position < bytes.count else { break }
            if try !skipLineEnd() {
                entryHasEnded = false
                return start
            }
        }
        try checkLength()
        return nil
    }

    /// Returns the next token of the entry; nil at its end.
    mutating func next() throws(ZoneFileError) -> ZoneToken? {
        while !entryHasEnded {
            end = here
            guard position < bytes.count else {
                if let open = openParentheses.last {
                    throw failure("this parenthesis is never closed; write ) after the last field", at: open)
                }
                try checkLength()
                entryHasEnded = true
                break
            }
            switch bytes[position] {
            case UInt8(ascii: " "), UInt8(ascii: "\t"):
                position += 1
            case UInt8(ascii: ";"):
                skipComment()
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"):
                _ = try skipLineEnd()
                entryHasEnded = openParentheses.isEmpty
            case UInt8(ascii: "("):
                guard openParentheses.count < ZoneLexer.deepestNesting else {
                    throw failure("more than 32 parentheses are open; one pair per record is enough", at: here)
                }
                openParentheses.append(here)
                position += 1
            case UInt8(ascii: ")"):
                guard openParentheses.popLast() != nil else {
                    throw failure("no parenthesis is open here; remove the ), or write \\) in a name", at: here)
                }
                position += 1
            case UInt8(ascii: "\""):
                return try quotedToken()
            default:
                return try word()
            }
        }
        return nil
    }

    // MARK: Scanning

    private func isBlank(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t")
    }

    private mutating func skipComment() {
        while position < bytes.count, bytes[position] != UInt8(ascii: "\n") { position += 1 }
    }

    /// Moves past the line end at the current position. Returns false if there is none.
    private mutating func skipLineEnd() throws(ZoneFileError) -> Bool {
        var next = position
        if bytes[next] == UInt8(ascii: "\r") { next += 1 }
        guard next < bytes.count, bytes[next] == UInt8(ascii: "\n") else {
            if next > position { throw stray(bytes[position]) }
            return false
        }
        try checkLength()
        position = next + 1
        line += 1
        lineStart = position
        return true
    }

    /// Called at the end of a line, so that errors in the line come first.
    private func checkLength() throws(ZoneFileError) {
        guard position - lineStart > ZoneLexer.longestLine else { return }
        let start = ZonePlace(line: line, column: 1)
        throw failure("the line is longer than 1 MiB; break it with parentheses, or remove it", at: start)
    }

    private mutating func quotedToken() throws(ZoneFileError) -> ZoneToken {
        let place = here
        position += 1
        let start = position
        try skipQuoted(from: place)
        try expectSeparator()
        return ZoneToken(range: start..<position - 1, isQuoted: true, place: place)
    }

    /// Moves past the closing quote of the string whose contents start here.
    private mutating func skipQuoted(from place: ZonePlace) throws(ZoneFileError) {
        while position < bytes.count, bytes[position] != UInt8(ascii: "\n") {
            let byte = bytes[position]
            position += 1
            if byte == UInt8(ascii: "\"") { return }
            if byte == UInt8(ascii: "\\"), position < bytes.count, bytes[position] != UInt8(ascii: "\n") {
                position += 1
            }
        }
        throw failure(
            "the string is not closed on its line; end it with a quote, and write line breaks as \\010", at: place)
    }

    /// Returns the word that starts here. It ends at a space, a line end, a comment or a parenthesis. Quotes are
    /// allowed only after the `=` of a service parameter, as in `alpn="h2,h3"`.
    private mutating func word() throws(ZoneFileError) -> ZoneToken {
        let place = here
        let start = position
        scan: while position < bytes.count {
            let byte = bytes[position]
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: ";"),
                UInt8(ascii: "("), UInt8(ascii: ")"):
                break scan
            case UInt8(ascii: "\\"):
                position += 1
                guard position < bytes.count, bytes[position] >= 0x20, bytes[position] <= 0x7E else {
                    throw failure("\(badEscape)", at: place)
                }
                position += 1
            case UInt8(ascii: "\""):
                guard position > start, bytes[position - 1] == UInt8(ascii: "=") else {
                    throw failure(
                        "there is a quote in the middle of a word; put all of it in quotes, or write \\\"", at: here)
                }
                let quote = here
                position += 1
                try skipQuoted(from: quote)
                try expectSeparator()
                break scan
            case 0x21...0x7E:
                position += 1
            default:
                throw stray(byte)
            }
        }
        return ZoneToken(range: start..<position, isQuoted: false, place: place)
    }

    private func expectSeparator() throws(ZoneFileError) {
        guard position < bytes.count else { return }
        switch bytes[position] {
        case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: ";"),
            UInt8(ascii: "("), UInt8(ascii: ")"):
            return
        default:
            throw failure(
                "something follows the closing quote; put a space there, or write \\\" for a quote inside", at: here)
        }
    }

    /// The error for a byte that is allowed only in comments and quoted strings.
    private func stray(_ byte: UInt8) -> ZoneFileError {
        let hexadecimal = (byte < 16 ? "0x0" : "0x") + String(byte, radix: 16, uppercase: true)
        return byte < 0x80
            ? failure(
                "the control character \(hexadecimal) is not allowed here; remove it, or write it as \\DDD", at: here)
            : failure(
                "the byte \(hexadecimal) is not ASCII; write names in their xn-- form, and text in quotes", at: here)
    }
}
