import AddressPools

// Directives: $ORIGIN, $TTL, $INCLUDE (RFC 1035, RFC 2308), and $GENERATE, which is BIND's.

extension ZoneReader {
    mutating func readDirective(_ token: ZoneToken) throws(ZoneFileError) {
        switch text(token).uppercased() {
        case "$ORIGIN":
            origin = try name(try required("name"))
        case "$TTL":
            defaultTTL = try seconds(try required("TTL"), maximum: ZoneReader.longestTTL, "TTL")
        case "$INCLUDE":
            return try include(token)
        case "$GENERATE":
            return try generate(token)
        default:
            throw lexer.failure(
                "\(shown(token)) is not a directive; write $ORIGIN, $TTL, $INCLUDE or $GENERATE, or \\$ where a name "
                    + "begins with it", at: token.place)
        }
        try expectEnd(of: text(token))
    }

    // MARK: $INCLUDE

    /// Goes on with another file, `$INCLUDE FILE [ORIGIN]`.
    private mutating func include(_ directive: ZoneToken) throws(ZoneFileError) {
        let file = try required("name of the file")
        let name = String(decoding: try characters(file), as: UTF8.self)
        var inner = origin
        if let token = try lexer.next() {
            inner = try self.name(token)
            try expectEnd(of: "$INCLUDE")
        }
        let (path, bytes): (String, [UInt8])
        do throws(FieldRefusal) {
            (path, bytes) = try inclusions.enter(name, room: ZoneLexer.largestFile - size)
        } catch {
            throw lexer.failure(error.reason, at: file.place)
        }
        size += bytes.count
        outer.append(Outer(lexer: lexer, origin: origin, owner: owner))
        lexer = try ZoneLexer(bytes: bytes, file: path)
        origin = inner
        startRun()
    }

    /// Returns to the including file, with its origin and owner; false if there is none.
    mutating func leaveFile() -> Bool {
        guard let last = outer.popLast() else { return false }
        (lexer, origin, owner) = (last.lexer, last.origin, last.owner)
        inclusions.leave()
        startRun()
        return true
    }

    // MARK: $GENERATE

    static let mostGenerated = 1 << 20

    /// Reads a record for each number of a range, `$GENERATE START-STOP[/STEP] OWNER [TTL] [CLASS] TYPE DATA`.
    private mutating func generate(_ directive: ZoneToken) throws(ZoneFileError) {
        let range = try required("range")
        let numbers = try self.numbers(range)
        let template: ZoneTemplate
        let words = try templateText()
        do throws(FieldRefusal) {
            template = try ZoneTemplate(words)
        } catch {
            throw lexer.failure(error.reason, at: directive.place)
        }
        let (outer, owner) = (lexer, owner)
        for number in numbers {
            do throws(FieldRefusal) {
                let text = try template.text(for: number)
                size += text.count
                guard size <= ZoneLexer.largestFile else {
                    throw FieldRefusal("the zone is larger than 256 MiB with its generated records; generate fewer")
                }
                lexer = ZoneLexer(generated: text, from: outer, at: directive.place)
            } catch {
                throw outer.failure(error.reason, at: directive.place)
            }
            try readEntry(isGenerated: true)
            lexer = outer
        }
        self.owner = owner
    }

    /// Parses `START-STOP` or `START-STOP/STEP`.
    private func numbers(_ token: ZoneToken) throws(ZoneFileError) -> StrideThrough<Int> {
        let parts = text(token).split(separator: "/", omittingEmptySubsequences: false)
        let ends = parts[0].split(separator: "-", omittingEmptySubsequences: false)
        let numbers = (ends + parts.dropFirst()).map { $0.utf8.allSatisfy(isDigit) ? Int32($0).map(Int.init) : nil }
        guard !token.isQuoted, ends.count == 2, parts.count <= 2, let start = numbers[0], let stop = numbers[1],
            let step = parts.count == 2 ? numbers[2] : 1, start <= stop, step > 0
        else {
            throw lexer.failure(
                "\(shown(token)) is not a range; write START-STOP, or START-STOP/STEP, with numbers up to \(Int32.max)",
                at: token.place)
        }
        guard (stop - start) / step < ZoneReader.mostGenerated else {
            throw lexer.failure(
                "the range has more than \(ZoneReader.mostGenerated) numbers; let a policy answer for these names",
                at: token.place)
        }
        return stride(from: start, through: stop, by: step)
    }

    /// Returns the rest of the entry as one line. Data that is one quoted string stands for what is in it, as in
    /// `MX "10 mail$"`.
    private mutating func templateText() throws(ZoneFileError) -> [UInt8] {
        var tokens = [try required("owner")]
        while let token = try lexer.next() { tokens.append(token) }
        var type = 1
        while type < tokens.count, isTTL(tokens[type]) ? true : try isClass(tokens[type]) { type += 1 }
        let quote = UInt8(ascii: "\"")
        var text: [UInt8] = []
        for (index, token) in tokens.enumerated() {
            let bytes = lexer.bytes[token.range]
            if index > 0 { text.append(UInt8(ascii: " ")) }
            if !token.isQuoted {
                text += bytes
            } else if index == tokens.count - 1, type == index - 1 {
                text += String(decoding: bytes, as: UTF8.self).replacing("\\\"", with: "\"").utf8
            } else {
                text += [quote] + bytes + [quote]
            }
        }
        return text
    }
}
