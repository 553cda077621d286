/// Record data in wire form, split into the fields of its type.
enum RecordData {
    /// Returns the range of each field in `data`; nil if the data is malformed.
    static func parts(of data: [UInt8], fields: [RecordField]) -> [Range<Int>]? {
        var parts: [Range<Int>] = []
        parts.reserveCapacity(fields.count)
        var position = 0
        for field in fields {
            guard let length = length(of: field.form, in: data[position...], of: data) else { return nil }
            parts.append(position..<position + length)
            position += length
        }
        return position == data.count ? parts : nil
    }

    /// Returns the length of a field at the start of `rest`, the end of `data`; nil if it is malformed.
    private static func length(
        of form: RecordField.Form, in rest: ArraySlice<UInt8>, of data: [UInt8]
    ) -> Int? {
        switch form {
        case .number(let bytes), .named(let bytes, _): return fixed(bytes, in: rest)
        case .seconds, .ipv4: return fixed(4, in: rest)
        case .ipv6: return fixed(16, in: rest)
        case .groups(let count, let bytes, _): return fixed(count * bytes, in: rest)
        case .domain: return DNSName.length(in: rest)
        case .domains: return all(rest) { DNSName.length(in: $0) }
        case .string: return stringLength(in: rest)
        case .optionalString: return rest.isEmpty ? 0 : stringLength(in: rest)
        case .strings: return rest.isEmpty ? nil : all(rest, stringLength)
        case .tag:
            guard let length = stringLength(in: rest), length > 1,
                rest.dropFirst().prefix(length - 1).allSatisfy(isTagCharacter)
            else { return nil }
            return length
        case .text, .parameters: return rest.count
        case .digest, .base64(mayBeEmpty: false), .networkServicePoint: return rest.isEmpty ? nil : rest.count
        case .base64(mayBeEmpty: true): return rest.count
        case .gateway(let offset):
            switch data[offset] {
            case 0: return 0
            case 1: return fixed(4, in: rest)
            case 2: return fixed(16, in: rest)
            case 3: return DNSName.length(in: rest)
            default: return nil
            }
        case .hostIdentity: return HostIdentity.length(in: rest)
        case .location: return Location.isWellFormed(rest) ? rest.count : nil
        case .prefixes: return all(rest, AddressPrefixes.itemLength)
        case .services: return KnownServices.isWellFormed(rest) ? rest.count : nil
        case .types: return TypeBits.isWellFormed(rest) ? rest.count : nil
        }
    }

    private static func fixed(_ bytes: Int, in rest: ArraySlice<UInt8>) -> Int? { rest.count >= bytes ? bytes : nil }

    /// Returns the length of all of `rest` if it consists of items alone.
    private static func all(_ rest: ArraySlice<UInt8>, _ itemLength: (ArraySlice<UInt8>) -> Int?) -> Int? {
        var length = 0
        while length < rest.count {
            guard let next = itemLength(rest.dropFirst(length)) else { return nil }
            length += next
        }
        return length
    }

    private static func stringLength(in rest: ArraySlice<UInt8>) -> Int? {
        guard let first = rest.first, rest.count > Int(first) else { return nil }
        return Int(first) + 1
    }

    static func isTagCharacter(_ byte: UInt8) -> Bool { isDigit(byte) || isLetter(byte) }
}

// MARK: - Comparison

extension RecordData {
    /// Returns the data in canonical form: records of one name and type are duplicates if this is equal.
    ///
    /// Only the names in the types that RFC 4034, section 6.2, lists are in lowercase there; in later types the case of
    /// letters counts.
    static func folded(_ data: [UInt8], type: RecordType) -> [UInt8] {
        guard foldedTypes.contains(type.rawValue), let fields = type.fields,
            let parts = parts(of: data, fields: fields)
        else { return data }
        var result = data
        for (field, part) in zip(fields, parts) {
            guard case .domain = field.form else { continue }
            for index in part { result[index] = lowercased(result[index]) }
        }
        return result
    }

    /// NS, MD, MF, CNAME, SOA, MB, MG, MR, PTR, MINFO, MX, RP, AFSDB, RT, PX, SRV, NAPTR, KX and DNAME.
    private static let foldedTypes: Set<UInt16> = [2, 3, 4, 5, 6, 7, 8, 9, 12, 14, 15, 17, 18, 21, 26, 33, 35, 36, 39]
}

// MARK: - Fields together

extension RecordData {
    /// Returns an error for data whose fields are well formed but wrong together; nil if there is none.
    static func fault(in data: [UInt8], type: RecordType) -> String? {
        switch type {
        case .DS, .CDS, .DLV: return digestFault(in: data, kindAt: 3, lengths: [1: 20, 2: 32, 4: 48])
        case .SSHFP: return digestFault(in: data, kindAt: 1, lengths: [1: 20, 2: 32])
        case .TLSA, .SMIMEA: return digestFault(in: data, kindAt: 2, lengths: [1: 32, 2: 64])
        case .ZONEMD:
            guard data.count >= 18 else { return "a digest has at least 12 bytes (RFC 8976); copy all of it" }
            return digestFault(in: data, kindAt: 5, lengths: [1: 48, 2: 64])
        case .URI: return data.count > 4 ? nil : "the target is empty (RFC 7553); write a URI"
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
