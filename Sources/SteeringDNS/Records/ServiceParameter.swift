import AddressPools

/// The parameters of SVCB and HTTPS records (RFC 9460, RFC 9461): each a 2-byte key, a 2-byte length and a value, in
/// ascending order of keys.
enum ServiceParameter {
    /// The names of the keys, from 0 on.
    private static let names = ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint"]
    private static let mandatory = 0
    private static let alpn = 1
    private static let noDefaultALPN = 2
    private static let port = 3
    private static let ipv4Hint = 4
    private static let ech = 5
    private static let ipv6Hint = 6
    private static let dohPath = 7
    private static let invalid = 65535

    static func name(of key: Int) -> String {
        key < names.count ? names[key] : "key\(key)"
    }

    /// Returns the key with a name, or with `key` and its number.
    static func key(named name: String) throws(FieldRefusal) -> Int {
        if let known = names.firstIndex(of: name) { return known }
        // RFC 9460, section 2.1, has no capitals, and no zeros in front.
        guard name == name.lowercased() else {
            throw FieldRefusal("keys have small letters only (RFC 9460); write \(quoted(name.lowercased()))")
        }
        // Parsed by name but printed by number: name servers older than RFC 9461 do not know the name.
        if name == "dohpath" { return dohPath }
        guard name.hasPrefix("key"), name.utf8.dropFirst(3).allSatisfy(isDigit), let key = UInt16(name.dropFirst(3))
        else {
            throw FieldRefusal(
                "it is not a known parameter; write others as key and their number, such as key667")
        }
        guard name == "key\(key)" else {
            throw FieldRefusal("the number has zeros in front (RFC 9460); write key\(key)")
        }
        guard key >= names.count else {
            throw FieldRefusal("this key has a name; write \(names[Int(key)])")
        }
        return Int(key)
    }
}

// MARK: - Parsing

extension ServiceParameter {
    /// Returns the value in wire form. `text` is the part after the `=`, unescaped; nil without `=`.
    static func value(of key: Int, text: [UInt8]?) throws(FieldRefusal) -> [UInt8] {
        guard let text, !text.isEmpty else {
            guard key == noDefaultALPN || key >= names.count else {
                throw FieldRefusal("it has no value; write \(name(of: key))= and the value")
            }
            return []
        }
        switch key {
        case mandatory:
            var keys: [Int] = []
            for item in text.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
                keys.append(try self.key(named: String(decoding: item, as: UTF8.self)))
            }
            return keys.sorted().flatMap { [UInt8(truncatingIfNeeded: $0 >> 8), UInt8(truncatingIfNeeded: $0)] }
        case alpn:
            return try protocols(text)
        case noDefaultALPN:
            throw FieldRefusal("it takes no value; remove the = and what follows")
        case port:
            guard text.count <= 5, text.allSatisfy(isDigit), let port = UInt16(String(decoding: text, as: UTF8.self))
            else {
                throw FieldRefusal("a port is a number from 0 to 65535; write one")
            }
            return [UInt8(port >> 8), UInt8(port & 0xFF)]
        case ipv4Hint:
            return try addresses(text, .ipv4)
        case ipv6Hint:
            return try addresses(text, .ipv6)
        case ech:
            guard let bytes = Base64.decode(text) else {
                throw FieldRefusal("its value is not Base64; copy the whole ECHConfigList, the = at its end too")
            }
            return bytes
        default:
            return text
        }
    }

    private static func addresses(_ text: [UInt8], _ family: IPFamily) throws(FieldRefusal) -> [UInt8] {
        var bytes: [UInt8] = []
        for item in text.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            let text = String(decoding: item, as: UTF8.self)
            guard let address = try? IPAddress(text), address.family == family else {
                throw FieldRefusal(
                    "\(quoted(text)) is not an \(family) address; write addresses with commas between them")
            }
            bytes += address.bytes
        }
        return bytes
    }

    /// Returns protocol names from a comma-separated list, in which `\,` and `\\` escape a comma and a backslash.
    private static func protocols(_ text: [UInt8]) throws(FieldRefusal) -> [UInt8] {
        var names: [[UInt8]] = [[]]
        var isEscaped = false
        for byte in text {
            if !isEscaped, byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else if !isEscaped, byte == UInt8(ascii: ",") {
                names.append([])
            } else {
                if isEscaped, byte != UInt8(ascii: "\\"), byte != UInt8(ascii: ",") {
                    throw FieldRefusal(
                        "a backslash in a protocol's name may only precede a comma or a backslash; remove it")
                }
                isEscaped = false
                names[names.count - 1].append(byte)
            }
        }
        guard !isEscaped, names.allSatisfy({ (1...255).contains($0.count) }) else {
            throw FieldRefusal(
                "protocol names have 1 to 255 bytes; write them with one comma in between, such as h2,h3")
        }
        return names.flatMap { [UInt8($0.count)] + $0 }
    }
}

// MARK: - Wire form

extension ServiceParameter {
    /// Returns the keys and values of `wire` up to the first malformed one, and whether all are well formed.
    private static func split(_ wire: ArraySlice<UInt8>) -> (
        parameters: [(key: Int, value: ArraySlice<UInt8>)], whole: Bool
    ) {
        var parameters: [(key: Int, value: ArraySlice<UInt8>)] = []
        var rest = wire
        while rest.count >= 4 {
            let start = rest.startIndex
            let key = Int(rest[start]) << 8 | Int(rest[start + 1])
            let length = Int(rest[start + 2]) << 8 | Int(rest[start + 3])
            guard rest.count >= 4 + length else { break }
            parameters.append((key, rest[start + 4..<start + 4 + length]))
            rest = rest[(start + 4 + length)...]
        }
        return (parameters, rest.isEmpty)
    }

    /// Returns the problem with parameters in wire form; nil if there is none.
    static func fault(in wire: ArraySlice<UInt8>) -> String? {
        let (parameters, isWhole) = split(wire)
        guard isWhole else { return "its parameters are cut short; copy all of the data" }
        for (earlier, later) in zip(parameters, parameters.dropFirst()) where earlier.key >= later.key {
            return earlier.key == later.key
                ? "the parameter \(name(of: later.key)) appears twice; remove one"
                : "its parameters are not in the order of their keys; sort them"
        }
        let keys = Set(parameters.map(\.key))
        for parameter in parameters where !isWellFormed(parameter.key, parameter.value, beside: keys) {
            return switch parameter.key {
            case mandatory: "mandatory must list other parameters that are present, each once; correct the list"
            case noDefaultALPN: "no-default-alpn needs alpn beside it and no value; add alpn, or remove it"
            case dohPath: "dohpath is a path with the query in it; write one such as /dns-query{?dns}"
            case invalid: "key65535 is reserved as invalid; use another key"
            default: "the value of \(name(of: parameter.key)) is malformed; write it in its text form"
            }
        }
        return nil
    }

    private static func isWellFormed(_ key: Int, _ value: ArraySlice<UInt8>, beside keys: Set<Int>) -> Bool {
        switch key {
        case mandatory:
            let bytes = Array(value)
            let listed = stride(from: 0, to: bytes.count - 1, by: 2).map { Int(bytes[$0]) << 8 | Int(bytes[$0 + 1]) }
            return bytes.count % 2 == 0 && !listed.isEmpty && listed.allSatisfy { $0 != mandatory && keys.contains($0) }
                && zip(listed, listed.dropFirst()).allSatisfy { $0 < $1 }
        case alpn:
            var rest = value
            while let length = rest.first {
                guard length > 0, rest.count > Int(length) else { return false }
                rest = rest.dropFirst(1 + Int(length))
            }
            return !value.isEmpty
        case noDefaultALPN: return value.isEmpty && keys.contains(alpn)
        case port: return value.count == 2
        case ipv4Hint: return !value.isEmpty && value.count % 4 == 0
        case ech: return !value.isEmpty
        case ipv6Hint: return !value.isEmpty && value.count % 16 == 0
        // RFC 9461: a URI template of a path with the `dns` variable.
        case dohPath:
            return value.first == UInt8(ascii: "/") && String(decoding: value, as: UTF8.self).contains("{?dns}")
        default: return key != invalid
        }
    }
}

// MARK: - Printing

extension ServiceParameter {
    /// Appends well-formed parameters, each with a leading space.
    static func appendText(of wire: ArraySlice<UInt8>, to text: inout [UInt8]) {
        for (key, value) in split(wire).parameters {
            text.append(UInt8(ascii: " "))
            text += name(of: key).utf8
            if value.isEmpty { continue }
            text.append(UInt8(ascii: "="))
            switch key {
            case mandatory, port:
                let numbers = stride(from: value.startIndex, to: value.endIndex, by: 2).map {
                    Int(value[$0]) << 8 | Int(value[$0 + 1])
                }
                text += numbers.map { key == port ? String($0) : name(of: $0) }.joined(separator: ",").utf8
            case ipv4Hint, ipv6Hint:
                let size = key == ipv4Hint ? 4 : 16
                let addresses = stride(from: value.startIndex, to: value.endIndex, by: size).compactMap {
                    IPAddress(bytes: value[$0..<$0 + size])
                }
                text += addresses.map(\.description).joined(separator: ",").utf8
            case ech:
                text += Base64.encode(value)
            case alpn:
                RecordData.appendQuoted(protocolText(value), plainSpace: false, to: &text)
            default:
                RecordData.appendQuoted(value, to: &text)
            }
        }
    }

    /// Returns the protocol names joined by commas, not yet escaped for the string around them.
    private static func protocolText(_ value: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var result: [UInt8] = []
        var rest = value
        while let length = rest.first {
            if !result.isEmpty { result.append(UInt8(ascii: ",")) }
            for byte in rest.dropFirst().prefix(Int(length)) {
                if byte == UInt8(ascii: ",") || byte == UInt8(ascii: "\\") { result.append(UInt8(ascii: "\\")) }
                result.append(byte)
            }
            rest = rest.dropFirst(1 + Int(length))
        }
        return result[...]
    }
}
