import AddressPools

extension RecordData {
    /// Returns the data in zone file syntax; in the generic form of RFC 3597 if the type has no syntax of its own, or
    /// if the data is malformed.
    static func text(of data: [UInt8], type: RecordType) -> [UInt8] {
        guard let fields = type.fields, let parts = parts(of: data, fields: fields), fault(in: data, type: type) == nil
        else { return genericText(of: data) }
        var text: [UInt8] = []
        text.reserveCapacity(data.count * 2)
        for (field, part) in zip(fields, parts) {
            // Parameters come with a leading space each, and there may be none.
            if case .parameters = field.form {} else if !text.isEmpty { text.append(UInt8(ascii: " ")) }
            append(field.form, data[part], to: &text)
        }
        return text
    }

    private static func genericText(of data: [UInt8]) -> [UInt8] {
        var text = Array("\\# \(data.count)".utf8)
        if !data.isEmpty { text.append(UInt8(ascii: " ")) }
        appendHexadecimal(data[...], to: &text)
        return text
    }

    private static func append(_ form: RecordField.Form, _ part: ArraySlice<UInt8>, to text: inout [UInt8]) {
        switch form {
        case .number, .seconds:
            text += String(part.reduce(0 as UInt32) { $0 << 8 | UInt32($1) }).utf8
        case .ipv4, .ipv6:
            if let address = IPAddress(bytes: part) { text += address.description.utf8 }
        case .domain:
            DNSName.appendText(of: part, to: &text)
        case .string:
            appendQuoted(part.dropFirst(), to: &text)
        case .strings:
            var rest = part
            while let length = rest.first {
                if rest.startIndex > part.startIndex { text.append(UInt8(ascii: " ")) }
                appendQuoted(rest.dropFirst().prefix(Int(length)), to: &text)
                rest = rest.dropFirst(1 + Int(length))
            }
        case .tag:
            text += part.dropFirst()
        case .text:
            appendQuoted(part, to: &text)
        case .digest:
            appendHexadecimal(part, to: &text)
        case .parameters:
            ServiceParameter.appendText(of: part, to: &text)
        }
    }

    static func appendQuoted(_ bytes: ArraySlice<UInt8>, plainSpace: Bool = true, to text: inout [UInt8]) {
        let quote = UInt8(ascii: "\"")
        text.append(quote)
        for byte in bytes {
            appendEscaped(byte, special: [quote, UInt8(ascii: "\\")], plainSpace: plainSpace, to: &text)
        }
        text.append(quote)
    }

    private static func appendHexadecimal(_ bytes: ArraySlice<UInt8>, to text: inout [UInt8]) {
        for byte in bytes {
            for digit in [byte >> 4, byte & 15] {
                text.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "A") + digit - 10)
            }
        }
    }
}
