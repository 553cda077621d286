import SteeringDNS

/// Writes zone files of random content, in every way in which the same record can be written. What a record means is
/// for others to say: BIND and dnspython read the same files.
struct ZoneWriter {
    var generator: ZoneGenerator

    /// Leaves out what dnspython 2.3 gets wrong: the class in front of the TTL, and bytes from 128 in texts that are
    /// not of type TXT, which it turns into two.
    let isForPython: Bool

    init(seed: UInt64, forPython: Bool = false) {
        generator = ZoneGenerator(seed: seed)
        isForPython = forPython
    }

    /// A zone of `count` records at names of their own, below the SOA and the NS record of example.com.
    mutating func zone(count: Int) -> String {
        var text = """
            $ORIGIN Example.com.
            $TTL 1h30m
            @ IN SOA ns1 host\\.master ( 2024010101 ; serial
                1d 2h 4w 300 )
              NS ns1
            ns1 A 192.0.2.53

            """
        for number in 0..<count {
            let owner = "r\(number)\(generator.flip() ? "-\(label())" : "")\(generator.flip() ? "" : ".\(label())")"
            text += owner + (generator.flip() ? "" : ".EXAMPLE.com.") + blank()
            text += generator.pick(
                ["", "IN ", "5w ", "1D2h IN ", "2147483647\t"] + (isForPython ? [] : ["in 77 ", "IN 0 "]))
            let (type, fields) = data()
            text += type + blank()
            text +=
                generator.number(0...3) == 0
                ? "(" + fields.joined(separator: fold()) + ")" : fields.joined(separator: blank())
            text += generator.pick(["\n", " ; comment\n", "\t\n", "\n\n;\n", "\r\n"])
        }
        return text
    }

    // MARK: Pieces

    private mutating func blank() -> String { generator.pick([" ", "\t", "  ", " \t "]) }
    private mutating func fold() -> String { generator.pick([" ", "\n  ", " ; comment ( \" \n\t", "\r\n\r\n "]) }

    private mutating func label() -> String {
        let plain = Array("abcXYZ019-_*")
        return (0..<generator.number(1...6)).map { _ in
            switch generator.number(0...12) {
            case 0: escaped(UInt8(generator.number(0...255)))
            case 1: "\\" + String(generator.pick(Array(".;()\"\\@$")))
            default: String(generator.pick(plain))
            }
        }.joined()
    }

    private func escaped(_ byte: UInt8) -> String {
        let digits = String(byte)
        return "\\" + String(repeating: "0", count: 3 - digits.count) + digits
    }

    private mutating func name() -> String {
        let labels = (0..<generator.number(1...4)).map { _ in label() }.joined(separator: ".")
        return generator.pick(["@", ".", labels, labels + ".", labels + ".example.net."])
    }

    /// A character string of up to 255 bytes, quoted or not.
    private mutating func string(isText: Bool = false) -> String {
        let highest = isForPython && !isText ? 127 : 255
        let isQuoted = generator.flip()
        let length = generator.number(0...7) == 0 ? 255 : generator.number(0...12)
        if length == 0 { return "\"\"" }
        let text = (0..<length).map { _ -> String in
            let byte = UInt8(
                generator.number(0...3) == 0 ? generator.number(0...highest) : generator.number(0x20...0x7E))
            let isSpecial = byte < 0x21 || byte > 0x7E || "\"\\;()".utf8.contains(byte)
            let mayStand =
                isQuoted && byte >= 0x20 && byte < 0x7F && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
            if mayStand || !isSpecial { return String(UnicodeScalar(byte)) }
            return byte > 0x20 && byte < 0x7F && generator.flip() ? "\\\(UnicodeScalar(byte))" : escaped(byte)
        }.joined()
        return isQuoted ? "\"\(text)\"" : text
    }

    private mutating func number(_ maximum: Int) -> String {
        String(generator.pick([0, 1, maximum, generator.number(0...maximum)]))
    }

    private mutating func digits(_ bytes: Int) -> String {
        (0..<bytes * 2).map { _ in String(generator.pick(Array("0123456789abcdefABCDEF"))) }.joined()
    }

    private mutating func ipv4() -> String {
        (0..<4).map { _ in String(generator.number(0...255)) }.joined(separator: ".")
    }

    private mutating func ipv6() -> String {
        let groups = { (count: Int, generator: inout ZoneGenerator) in
            (0..<count).map { _ in String(generator.number(0...65535), radix: 16, uppercase: generator.flip()) }
                .joined(separator: ":")
        }
        // Not ::/96, of which BIND prints the last 32 bits with dots, as RFC 5952 does not.
        return generator.flip()
            ? groups(8, &generator)
            : groups(generator.number(1...4), &generator) + "::" + groups(generator.number(0...3), &generator)
    }

    // MARK: Data

    private mutating func data() -> (String, [String]) {
        switch generator.number(0...17) {
        case 0: return ("A", [ipv4()])
        case 1: return ("AAAA", [ipv6()])
        case 2: return ("CNAME", [name()])
        case 3: return ("PTR", [name()])
        case 4: return ("MX", [number(65_535), name()])
        case 5, 6: return ("TXT", (0..<generator.number(1...4)).map { _ in string(isText: true) })
        case 7: return ("SRV", [number(65_535), number(65_535), number(65_535), name()])
        case 8: return ("CAA", [number(255), generator.pick(["issue", "iodef", "X9"]), string()])
        case 9:
            let expression = generator.pick(["\"\"", "\"!^(.*)$!sip:\\\\1@example.net!\"", "\"!a!b!i\""])
            return (
                "NAPTR",
                [number(65_535), number(65_535), generator.pick(["u", "\"s\"", "\"\""]), string(), expression, name()]
            )
        case 10:
            let (type, bytes) = generator.pick([(1, 20), (2, 32), (4, 48)])
            return ("DS", [number(65_535), "8", String(type)] + split(digits(bytes)))
        case 11:
            let (type, bytes) = generator.pick([(1, 20), (2, 32)])
            return ("SSHFP", ["4", String(type)] + split(digits(bytes)))
        case 12:
            let (type, bytes) = generator.pick([(0, 90), (1, 32), (2, 64)])
            return ("TLSA", [number(255), number(255), String(type)] + split(digits(bytes)))
        case 13, 14:
            return (generator.pick(["HTTPS", "SVCB"]), [generator.pick(["1", "65535"]), name()] + parameters())
        case 15: return ("HTTPS", ["0", name()])
        case 16: return ("HINFO", [string(), string()])
        default:
            let bytes = generator.number(0...40)
            return ("TYPE\(generator.number(600...60_000))", ["\\#", String(bytes)] + split(digits(bytes)))
        }
    }

    /// Digits in one word or in several.
    private mutating func split(_ digits: String) -> [String] {
        guard digits.count > 1, generator.flip() else { return digits.isEmpty ? [] : [digits] }
        let cut = digits.index(digits.startIndex, offsetBy: generator.number(1...digits.count - 1))
        return [String(digits[..<cut]), String(digits[cut...])]
    }

    private mutating func parameters() -> [String] {
        var parameters: [String] = []
        var names: [String] = []
        let add = { (name: String, value: String?) in
            names.append(name)
            parameters.append(value.map { "\(name)=\($0)" } ?? name)
        }
        if generator.flip() {
            add("alpn", generator.pick(["h2", "\"h3,h2\"", "a\\\\\\\\b\\\\,c,d", "\"x y,\\200\""]))
            if generator.flip() { add("no-default-alpn", nil) }
        }
        if generator.flip() { add("port", number(65_535)) }
        if generator.flip() { add("ipv4hint", [ipv4(), ipv4()].joined(separator: ",")) }
        if generator.flip() { add("ipv6hint", "\"\(ipv6())\"") }
        if generator.flip() { add("ech", generator.pick(["AQ==", "AQI=", "AQID", "\"+/+/AQID\""])) }
        if generator.flip() {
            add("key\(generator.number(1_000...65_000))", generator.pick(["a\\032b", "\"c d\\;\\\"\"", "e\\010"]))
        }
        if generator.flip(), let name = names.randomElement(using: &generator) {
            add("mandatory", names.first == name ? name : "\(name),\(names[0])")
        }
        return parameters.shuffled(using: &generator)
    }
}
