import AddressPools

// Parses record data field by field, as the layout of its type describes.

extension ZoneReader {
    static let longestData = 65_535

    /// Parses the data of a record of `type`, to the end of the entry.
    mutating func data(of type: RecordType) throws(ZoneFileError) -> [UInt8] {
        let fields = type.fields ?? []
        let first = try lexer.next()
        let place = first?.place ?? lexer.end
        var data: [UInt8] = []
        if let first, !first.isQuoted, lexer.bytes[first.range].elementsEqual("\\#".utf8) {
            data = try genericData(type, first)
        } else if !fields.isEmpty {
            var token = first
            for (index, field) in fields.enumerated() {
                if index > 0 { token = try nextToken(of: field) }
                try append(field, token, to: &data)
            }
        } else {
            guard first != nil else { throw missing("data") }
            throw lexer.failure("\(type) has no text form here; write \\# LENGTH HEXADECIMAL", at: place)
        }
        guard data.count <= ZoneReader.longestData else { throw tooLong(at: place) }
        try expectEnd(of: "the \(type) record")
        if let fault = RecordData.fault(in: data, type: type) {
            throw lexer.failure("the \(type) record is refused: \(fault)", at: place)
        }
        return data
    }

    private mutating func nextToken(of field: RecordField) throws(ZoneFileError) -> ZoneToken? {
        if case .parameters = field.form { try lexer.next(isParameter: true) } else { try lexer.next() }
    }

    func tooLong(at place: ZonePlace) -> ZoneFileError {
        lexer.failure("the data is longer than 65,535 bytes; split it over several records", at: place)
    }

    /// Parses the generic form after `\#`: a length, and that many bytes (RFC 3597).
    private mutating func genericData(_ type: RecordType, _ mark: ZoneToken) throws(ZoneFileError) -> [UInt8] {
        let length = try number(try required("length"), maximum: UInt32(ZoneReader.longestData), "length")
        var data: [UInt8] = []
        try appendHexadecimal(from: try lexer.next(), "data", to: &data)
        guard data.count == Int(length) else {
            throw lexer.failure(
                "the length is \(length) bytes, but \(data.count) follow; correct one of them", at: mark.place)
        }
        if let fields = type.fields, RecordData.parts(of: data, fields: fields) == nil {
            throw lexer.failure(
                "these bytes are not the data of type \(type) (\(fields.map(\.name).joined(separator: ", "))); "
                    + "write it in its text form", at: mark.place)
        }
        return data
    }

    private mutating func append(
        _ field: RecordField, _ next: ZoneToken?, to data: inout [UInt8]
    ) throws(ZoneFileError) {
        if case .parameters = field.form { return try appendParameters(from: next, to: &data) }
        guard let token = next else {
            if field.mayBeEmpty { return }
            throw missing(field.name)
        }
        switch field.form {
        case .number(let bytes):
            let maximum = bytes == 4 ? UInt32.max : UInt32(1) << UInt32(8 * bytes) - 1
            ZoneReader.append(try number(token, maximum: maximum, field.name), bytes: bytes, to: &data)
        case .named(let bytes, let names):
            ZoneReader.append(try number(token, bytes: bytes, names, field.name), bytes: bytes, to: &data)
        case .seconds:
            ZoneReader.append(try seconds(token, maximum: .max, field.name), bytes: 4, to: &data)
        case .ipv4:
            data += try address(token, .ipv4)
        case .ipv6:
            data += try address(token, .ipv6)
        case .gateway(let offset):
            try appendGateway(token, kind: data[offset], to: &data)
        case .domain:
            data += try name(token).wire
        case .domains:
            data += try name(token).wire
            while let token = try lexer.next() {
                data += try name(token).wire
                guard data.count <= ZoneReader.longestData else { throw tooLong(at: token.place) }
            }
        case .string, .optionalString:
            try appendString(token, field.name, to: &data)
        case .strings:
            try appendString(token, field.name, to: &data)
            while let token = try lexer.next() { try appendString(token, field.name, to: &data) }
        case .tag:
            let tag = try characters(token)
            guard !token.isQuoted, (1...255).contains(tag.count), tag.allSatisfy(RecordData.isTagCharacter) else {
                throw lexer.failure(
                    "\(shown(token)) is not a tag; write letters and digits, such as issue", at: token.place)
            }
            data.append(UInt8(tag.count))
            data += tag
        case .text:
            data += try characters(token)
        case .digest:
            try appendHexadecimal(from: token, field.name, to: &data)
        case .base64:
            try appendBase64(from: token, field.name, to: &data)
        case .groups, .hostIdentity, .location, .networkServicePoint, .prefixes, .services, .types:
            try appendWords(from: token, field, to: &data)
        case .parameters:
            break
        }
    }

    static func append(_ number: UInt32, bytes: Int, to data: inout [UInt8]) {
        for index in (0..<bytes).reversed() { data.append(UInt8(truncatingIfNeeded: number >> UInt32(8 * index))) }
    }

    // MARK: Fields of one token

    /// Parses a domain name. Relative names are below the origin, and `@` is the origin itself.
    func name(_ token: ZoneToken) throws(ZoneFileError) -> DNSName {
        guard !token.isQuoted else {
            throw lexer.failure("\(shown(token)) is in quotes; write names without quotes", at: token.place)
        }
        let text = lexer.bytes[token.range]
        if text.count == 1, text.first == UInt8(ascii: "@") {
            guard let origin else {
                throw lexer.failure(
                    "@ stands for the origin, and there is none yet; write $ORIGIN before it", at: token.place)
            }
            return origin
        }
        do throws(DNSNameError) {
            return try DNSName(parsing: text, origin: origin)
        } catch {
            throw lexer.failure(error.message, at: token.place)
        }
    }

    /// Parses a gateway of the kind that RFC 4025 numbers.
    private func appendGateway(_ token: ZoneToken, kind: UInt8, to data: inout [UInt8]) throws(ZoneFileError) {
        switch kind {
        case 0:
            guard lexer.bytes[token.range].elementsEqual(".".utf8), !token.isQuoted else {
                throw lexer.failure(
                    "the gateway type 0 means no gateway; write . here, or another type", at: token.place)
            }
        case 1: data += try address(token, .ipv4)
        case 2: data += try address(token, .ipv6)
        case 3: data += try name(token).wire
        default:
            throw lexer.failure(
                "the gateway type \(kind) is not known; write 0 to 3, or \\# LENGTH HEXADECIMAL", at: token.place)
        }
    }

    private func address(_ token: ZoneToken, _ family: IPFamily) throws(ZoneFileError) -> [UInt8] {
        let address: IPAddress
        do throws(AddressError) {
            address = try IPAddress(text(token))
        } catch {
            throw lexer.failure(error.message, at: token.place)
        }
        guard address.family == family else {
            throw lexer.failure(
                "\(address) is an \(address.family) address; write one of \(family) (records of type A have IPv4 "
                    + "addresses, and those of type AAAA IPv6 addresses)", at: token.place)
        }
        return address.bytes
    }

    private func number(_ token: ZoneToken, maximum: UInt32, _ what: String) throws(ZoneFileError) -> UInt32 {
        var value: UInt64 = 0
        for byte in lexer.bytes[token.range] {
            guard isDigit(byte), value <= UInt64(maximum) else {
                value = .max
                break
            }
            value = value * 10 + UInt64(byte - UInt8(ascii: "0"))
        }
        guard value <= UInt64(maximum), !token.isQuoted else {
            throw lexer.failure(
                "\(shown(token)) is not a valid \(what); write a number from 0 to \(maximum)", at: token.place)
        }
        return UInt32(value)
    }

    /// Parses a number or a name for it.
    private func number(
        _ token: ZoneToken, bytes: Int, _ names: Mnemonics, _ what: String
    ) throws(ZoneFileError) -> UInt32 {
        if !token.isQuoted, let number = names.number(of: text(token)) { return number }
        guard isDigit(lexer.bytes[token.range].first ?? 0) else {
            throw lexer.failure(
                "\(shown(token)) is not a known \(what); write its number, or a name such as \(names.example)",
                at: token.place)
        }
        return try number(token, maximum: UInt32(1) << UInt32(8 * bytes) - 1, what)
    }

    /// Parses seconds, or numbers with units: 1h30m.
    func seconds(_ token: ZoneToken, maximum: UInt32, _ what: String) throws(ZoneFileError) -> UInt32 {
        var total: UInt64 = 0
        var value: UInt64?
        var hasUnits = false
        var isValid = !token.isQuoted
        for byte in lexer.bytes[token.range] where isValid {
            if isDigit(byte) {
                value = (value ?? 0) * 10 + UInt64(byte - UInt8(ascii: "0"))
            } else if let unit = ZoneReader.unit(byte), let number = value {
                total += number * unit
                value = nil
                hasUnits = true
            } else {
                isValid = false
            }
            isValid = isValid && total <= UInt64(maximum) && value ?? 0 <= UInt64(maximum)
        }
        // 1h30 could mean minutes or seconds, so it is refused.
        isValid = isValid && (value != nil) != hasUnits
        total += value ?? 0
        guard isValid else {
            throw lexer.failure(
                "\(shown(token)) is not a valid \(what); write seconds from 0 to \(maximum), or units such as 1h30m",
                at: token.place)
        }
        return UInt32(total)
    }

    private static func unit(_ byte: UInt8) -> UInt64? {
        switch lowercased(byte) {
        case UInt8(ascii: "s"): 1
        case UInt8(ascii: "m"): 60
        case UInt8(ascii: "h"): 3_600
        case UInt8(ascii: "d"): 86_400
        case UInt8(ascii: "w"): 604_800
        default: nil
        }
    }
}
