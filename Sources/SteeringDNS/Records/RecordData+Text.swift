import AddressPools

extension RecordData {
    /// Returns the data in zone file syntax; in the generic form of RFC 3597 if the type has no syntax of its own, if it
    /// does not express the data, or if the data is malformed.
    static func text(of data: [UInt8], type: RecordType) -> [UInt8] {
        guard let fields = type.fields, let parts = parts(of: data, fields: fields), fault(in: data, type: type) == nil,
            zip(fields, parts).allSatisfy({ hasText($0.form, data[$1]) })
        else { return genericText(of: data) }
        var text: [UInt8] = []
        text.reserveCapacity(data.count * 2)
        for (field, part) in zip(fields, parts) {
            // Fields at the end may be empty, and parameters come with a leading space each.
            let isSpaced = if case .parameters = field.form { true } else { part.isEmpty && field.mayBeEmpty }
            if !text.isEmpty, !isSpaced { text.append(UInt8(ascii: " ")) }
            append(field.form, data[part], of: data, to: &text)
        }
        return text
    }

    private static func hasText(_ form: RecordField.Form, _ part: ArraySlice<UInt8>) -> Bool {
        if case .location = form { Location.hasText(part) } else { true }
    }

    private static func genericText(of data: [UInt8]) -> [UInt8] {
        Array("\\# \(data.count)\(data.isEmpty ? "" : " ")\(Hexadecimal.encode(data))".utf8)
    }

    private static func append(
        _ form: RecordField.Form, _ part: ArraySlice<UInt8>, of data: [UInt8], to text: inout [UInt8]
    ) {
        switch form {
        case .number, .named, .seconds:
            text += String(part.reduce(0 as UInt32) { $0 << 8 | UInt32($1) }).utf8
        case .ipv4, .ipv6:
            if let address = IPAddress(bytes: part) { text += address.description.utf8 }
        case .gateway(let offset):
            let forms: [RecordField.Form] = [.ipv4, .ipv6, .domain]
            guard data[offset] > 0 else { return text.append(UInt8(ascii: ".")) }
            append(forms[Int(data[offset]) - 1], part, of: data, to: &text)
        case .domain:
            DNSName.appendText(of: part, to: &text)
        case .domains:
            var rest = part
            while let length = DNSName.length(in: rest) {
                if rest.startIndex > part.startIndex { text.append(UInt8(ascii: " ")) }
                DNSName.appendText(of: rest, to: &text)
                rest = rest.dropFirst(length)
            }
        case .string:
            appendQuoted(part.dropFirst(), to: &text)
        case .optionalString:
            if !part.isEmpty { appendQuoted(part.dropFirst(), to: &text) }
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
            text += Hexadecimal.encode(part).utf8
        case .base64:
            text += Base64.encode(part)
        case .groups(_, let bytes, let separator):
            for (index, byte) in part.enumerated() {
                if index > 0, index % bytes == 0 { text.append(separator) }
                text += Hexadecimal.encode([byte]).lowercased().utf8
            }
        case .hostIdentity:
            text += HostIdentity.text(of: part).utf8
        case .location:
            text += Location.text(of: part).utf8
        case .networkServicePoint:
            text += "0x\(Hexadecimal.encode(part))".utf8
        case .prefixes:
            text += AddressPrefixes.text(of: part).utf8
        case .services:
            text += KnownServices.text(of: part).utf8
        case .types:
            text += TypeBits.text(of: part).utf8
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
}
