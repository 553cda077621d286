/// A field in the data of a record type. Parsing, printing, checking and comparing all follow one table of fields.
struct RecordField {
    /// The name of the field in errors.
    let name: String
    let form: Form

    enum Form {
        /// An integer of this many bytes.
        case number(Int)
        /// A 4-byte number of seconds; zone files may use units, as in `1h30m`.
        case seconds
        case ipv4
        case ipv6
        /// An uncompressed domain name.
        case domain
        /// A character string: a length byte and at most 255 bytes.
        case string
        /// One or more character strings, to the end.
        case strings
        /// A length byte, then letters and digits.
        case tag
        /// Text without a length, to the end.
        case text
        /// Bytes written in hexadecimal, to the end.
        case digest
        /// Service parameters (RFC 9460), to the end.
        case parameters
    }

    init(_ name: String, _ form: Form) {
        self.name = name
        self.form = form
    }
}

extension RecordType {
    /// The fields of the type's data; nil for a type without a syntax of its own, which takes the generic form of RFC
    /// 3597.
    var fields: [RecordField]? { RecordType.layouts[self] }

    private static let layouts: [RecordType: [RecordField]] = [
        .A: [RecordField("IPv4 address", .ipv4)],
        .AAAA: [RecordField("IPv6 address", .ipv6)],
        .NS: [RecordField("name server", .domain)],
        .CNAME: [RecordField("target", .domain)],
        .DNAME: [RecordField("target", .domain)],
        .PTR: [RecordField("name", .domain)],
        .SOA: [
            RecordField("primary server", .domain), RecordField("mailbox", .domain),
            RecordField("serial", .number(4)), RecordField("refresh time", .seconds),
            RecordField("retry time", .seconds), RecordField("expiry time", .seconds),
            RecordField("minimum TTL", .seconds),
        ],
        .HINFO: [RecordField("processor", .string), RecordField("system", .string)],
        .MX: [RecordField("preference", .number(2)), RecordField("mail server", .domain)],
        .TXT: [RecordField("text", .strings)],
        .SRV: [
            RecordField("priority", .number(2)), RecordField("weight", .number(2)), RecordField("port", .number(2)),
            RecordField("target", .domain),
        ],
        .NAPTR: [
            RecordField("order", .number(2)), RecordField("preference", .number(2)), RecordField("flags", .string),
            RecordField("services", .string), RecordField("expression", .string), RecordField("replacement", .domain),
        ],
        .DS: [
            RecordField("key tag", .number(2)), RecordField("algorithm number", .number(1)),
            RecordField("digest type", .number(1)), RecordField("digest", .digest),
        ],
        .SSHFP: [
            RecordField("algorithm number", .number(1)), RecordField("fingerprint type", .number(1)),
            RecordField("fingerprint", .digest),
        ],
        .TLSA: [
            RecordField("usage", .number(1)), RecordField("selector", .number(1)),
            RecordField("matching type", .number(1)), RecordField("certificate data", .digest),
        ],
        .SVCB: [
            RecordField("priority", .number(2)), RecordField("target", .domain), RecordField("parameters", .parameters),
        ],
        .HTTPS: [
            RecordField("priority", .number(2)), RecordField("target", .domain), RecordField("parameters", .parameters),
        ],
        .CAA: [RecordField("flags value", .number(1)), RecordField("tag", .tag), RecordField("value", .text)],
    ]
}

// MARK: - Data in wire form

/// Record data in wire form, split into the fields of its type.
enum RecordData {
    /// Returns the range of each field in `data`; nil if the data is malformed.
    static func parts(of data: [UInt8], fields: [RecordField]) -> [Range<Int>]? {
        var parts: [Range<Int>] = []
        parts.reserveCapacity(fields.count)
        var position = 0
        for field in fields {
            guard let length = length(of: field.form, in: data[position...]) else { return nil }
            parts.append(position..<position + length)
            position += length
        }
        return position == data.count ? parts : nil
    }

    private static func length(of form: RecordField.Form, in rest: ArraySlice<UInt8>) -> Int? {
        switch form {
        case .number(let bytes): return rest.count >= bytes ? bytes : nil
        case .seconds, .ipv4: return rest.count >= 4 ? 4 : nil
        case .ipv6: return rest.count >= 16 ? 16 : nil
        case .domain: return DNSName.length(in: rest)
        case .string: return stringLength(in: rest)
        case .tag:
            guard let length = stringLength(in: rest), length > 1,
                rest.dropFirst().prefix(length - 1).allSatisfy(isTagCharacter)
            else { return nil }
            return length
        case .strings:
            guard !rest.isEmpty else { return nil }
            var length = 0
            while length < rest.count {
                guard let next = stringLength(in: rest.dropFirst(length)) else { return nil }
                length += next
            }
            return length
        case .text, .parameters: return rest.count
        case .digest: return rest.isEmpty ? nil : rest.count
        }
    }

    private static func stringLength(in rest: ArraySlice<UInt8>) -> Int? {
        guard let first = rest.first, rest.count > Int(first) else { return nil }
        return Int(first) + 1
    }

    static func isTagCharacter(_ byte: UInt8) -> Bool {
        isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(lowercased(byte))
    }

    /// Returns the data with its names in lowercase. Records of one name and type are duplicates if this is equal.
    static func folded(_ data: [UInt8], type: RecordType) -> [UInt8] {
        guard let fields = type.fields, let parts = parts(of: data, fields: fields) else { return data }
        var result = data
        for (field, part) in zip(fields, parts) {
            guard case .domain = field.form else { continue }
            for index in part { result[index] = lowercased(result[index]) }
        }
        return result
    }

    /// Returns an error for data whose fields are well formed but wrong together; nil if there is none.
    static func fault(in data: [UInt8], type: RecordType) -> String? {
        switch type {
        case .DS: return digestFault(in: data, kindAt: 3, lengths: [1: 20, 2: 32, 4: 48])
        case .SSHFP: return digestFault(in: data, kindAt: 1, lengths: [1: 20, 2: 32])
        case .TLSA: return digestFault(in: data, kindAt: 2, lengths: [1: 32, 2: 64])
        case .SVCB, .HTTPS:
            guard let start = DNSName.length(in: data[2...]) else { return nil }
            return ServiceParameter.fault(in: data[(2 + start)...])
        default: return nil
        }
    }

    /// A digest truncated by copying would make clients refuse the service, so its length is checked.
    private static func digestFault(in data: [UInt8], kindAt index: Int, lengths: [UInt8: Int]) -> String? {
        guard let expected = lengths[data[index]] else { return nil }
        let count = data.count - index - 1
        guard count != expected else { return nil }
        return "a digest of type \(data[index]) has \(expected) bytes and this one has \(count); copy all of it"
    }
}
