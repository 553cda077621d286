// Parses the more complex fields: strings, digests, service parameters.

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
        try characters(token.range, isQuoted: token.isQuoted, at: token.place)
    }

    private func characters(
        _ range: Range<Int>, isQuoted: Bool, at place: ZonePlace
    ) throws(ZoneFileError) -> [UInt8] {
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
            } else if byte == UInt8(ascii: "\""), !isQuoted {
                throw lexer.failure(
                    "there is a quote in the middle of a word; put all of it in quotes, or write \\\"", at: place)
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
                guard !token.isQuoted, let digit = ZoneReader.hexadecimalDigit(byte) else {
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

    private static func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    // MARK: Service parameters

    /// Parses parameters in any order, and appends them in the order of their keys.
    mutating func appendParameters(from first: ZoneToken?, to data: inout [UInt8]) throws(ZoneFileError) {
        var parameters: [(key: Int, value: [UInt8])] = []
        var next = first
        while let token = next {
            parameters.append(try parameter(token))
            next = try lexer.next()
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
            let isQuoted = text[range].first == UInt8(ascii: "\"")
            if isQuoted { range = range.lowerBound + 1..<range.upperBound - 1 }
            value = try characters(range, isQuoted: isQuoted, at: token.place)
        }
        do throws(ServiceParameter.Refusal) {
            guard !token.isQuoted else {
                throw ServiceParameter.Refusal("the quotes belong around the value only; write name=\"value\"")
            }
            let key = try ServiceParameter.key(named: String(decoding: name, as: UTF8.self).lowercased())
            return (key, try ServiceParameter.value(of: key, text: value))
        } catch {
            throw lexer.failure("\(shown(token)) is refused: \(error.reason)", at: token.place)
        }
    }
}
