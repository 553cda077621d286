// Parses the fields of several words: strings, digests, keys, service parameters.

extension ZoneReader {
    func appendString(_ token: ZoneToken, _ what: String, to data: inout [UInt8]) throws(ZoneFileError) {
        let string = try characters(token)
        guard string.count <= 255 else {
            throw lexer.failure(
                "the \(what) is longer than 255 bytes; split it into several quoted strings", at: token.place)
        }
        data.append(UInt8(string.count))
        data += string
        guard data.count <= ZoneReader.longestData else { throw tooLong(at: token.place) }
    }

    /// Returns the bytes of a text, unescaped.
    func characters(_ token: ZoneToken) throws(ZoneFileError) -> [UInt8] {
        try characters(token.range, at: token.place)
    }

    private func characters(_ range: Range<Int>, at place: ZonePlace) throws(ZoneFileError) -> [UInt8] {
        let text = lexer.bytes[range]
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var position = range.lowerBound
        while position < range.upperBound {
            let byte = text[position]
            position += 1
            if byte == UInt8(ascii: "\\") {
                guard let escaped = unescaped(text, at: &position) else { throw lexer.failure(badEscape, at: place) }
                result.append(escaped)
            } else {
                result.append(byte)
            }
        }
        return result
    }

    /// Parses hexadecimal digits in any number of words, to the end of the entry.
    mutating func appendHexadecimal(
        from first: ZoneToken?, _ what: String, to data: inout [UInt8]
    ) throws(ZoneFileError) {
        var next = first
        var half: UInt8?
        while let token = next {
            for byte in lexer.bytes[token.range] {
                guard !token.isQuoted, let digit = Hexadecimal.digit(byte) else {
                    throw lexer.failure(
                        "\(shown(token)) is not hexadecimal; write the \(what) in hexadecimal digits", at: token.place)
                }
                if let high = half { data.append(high << 4 | digit) }
                half = half == nil ? digit : nil
            }
            guard data.count <= ZoneReader.longestData else { throw tooLong(at: token.place) }
            next = try lexer.next()
        }
        guard half == nil else {
            throw lexer.failure(
                "the \(what) has an odd number of hexadecimal digits; write two per byte", at: lexer.end)
        }
    }

    /// Parses Base64 in any number of words, to the end of the entry.
    mutating func appendBase64(
        from first: ZoneToken, _ what: String, to data: inout [UInt8]
    ) throws(ZoneFileError) {
        var text: [UInt8] = []
        var next: ZoneToken? = first
        while let token = next {
            text += lexer.bytes[token.range]
            guard text.count <= ZoneReader.longestData * 2 else { throw tooLong(at: token.place) }
            next = token.isQuoted ? nil : try lexer.next()
            if token.isQuoted { text.append(UInt8(ascii: "\"")) }
        }
        guard let bytes = Base64.decode(text) else {
            throw lexer.failure(
                "the \(what) is not Base64; copy all of it, the = at its end too", at: first.place)
        }
        data += bytes
    }

    /// Parses the words of a form that needs no origin.
    mutating func appendWords(
        from first: ZoneToken, _ field: RecordField, to data: inout [UInt8]
    ) throws(ZoneFileError) {
        var tokens = [first]
        while tokens.count < field.form.wordCount ?? ZoneReader.longestData, let token = try lexer.next() {
            tokens.append(token)
        }
        if let count = field.form.wordCount, tokens.count < count { throw missing("next word of the \(field.name)") }
        for token in tokens where token.isQuoted {
            throw lexer.failure("\(shown(token)) is in quotes; write it without quotes", at: token.place)
        }
        do throws(FieldRefusal) {
            data += try field.form.wire(of: tokens.map(text))
        } catch {
            let place = error.word < tokens.count ? tokens[error.word].place : lexer.end
            throw lexer.failure(error.reason, at: place)
        }
    }

    // MARK: Service parameters

    /// Parses parameters in any order, and appends them in the order of their keys.
    mutating func appendParameters(from first: ZoneToken?, to data: inout [UInt8]) throws(ZoneFileError) {
        var parameters: [(key: Int, value: [UInt8])] = []
        var next = first
        while let token = next {
            parameters.append(try parameter(token))
            next = try lexer.next(isParameter: true)
        }
        // Duplicates end up next to each other, where the check of the whole record finds them.
        for (key, value) in parameters.sorted(by: { $0.key < $1.key }) {
            guard data.count + 4 + value.count <= ZoneReader.longestData else { throw tooLong(at: lexer.end) }
            ZoneReader.append(UInt32(key), bytes: 2, to: &data)
            ZoneReader.append(UInt32(value.count), bytes: 2, to: &data)
            data += value
        }
    }

    private func parameter(_ token: ZoneToken) throws(ZoneFileError) -> (key: Int, value: [UInt8]) {
        let text = lexer.bytes[token.range]
        let name = text.prefix { $0 != UInt8(ascii: "=") }
        var value: [UInt8]?
        if name.endIndex < text.endIndex {
            var range = name.endIndex + 1..<text.endIndex
            if text[range].first == UInt8(ascii: "\"") { range = range.lowerBound + 1..<range.upperBound - 1 }
            value = try characters(range, at: token.place)
        }
        do throws(FieldRefusal) {
            guard !token.isQuoted else {
                throw FieldRefusal("the quotes belong around the value only; write name=\"value\"")
            }
            let key = try ServiceParameter.key(named: String(decoding: name, as: UTF8.self))
            return (key, try ServiceParameter.value(of: key, text: value))
        } catch {
            throw lexer.failure("\(shown(token)) is refused: \(error.reason)", at: token.place)
        }
    }
}
