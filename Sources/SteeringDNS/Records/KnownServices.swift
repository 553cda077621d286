import AddressPools

/// The protocol of a WKS record and the bits of its ports (RFC 1035, section 3.4.2).
enum KnownServices {
    private static let protocols: [String: UInt8] = ["icmp": 1, "tcp": 6, "udp": 17]
    /// Names as RFC 1010 assigns them; others are written as numbers.
    private static let ports: [String: UInt16] = [
        "echo": 7, "discard": 9, "daytime": 13, "chargen": 19, "ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23,
        "smtp": 25, "time": 37, "nameserver": 42, "whois": 43, "nicname": 43, "domain": 53, "bootps": 67, "bootpc": 68,
        "tftp": 69, "gopher": 70, "finger": 79, "http": 80, "www": 80, "kerberos": 88, "pop2": 109, "pop3": 110,
        "sunrpc": 111, "auth": 113, "nntp": 119, "ntp": 123, "imap": 143, "imap2": 143, "snmp": 161, "https": 443,
    ]

    /// Parses a protocol and ports, such as `TCP 25 53`.
    static func wire(of words: [String]) throws(FieldRefusal) -> [UInt8] {
        guard let first = words.first else {
            throw FieldRefusal("the protocol is missing; write TCP or UDP")
        }
        guard let number = protocols[first.lowercased()] ?? decimal(first) else {
            throw FieldRefusal("\(quoted(first)) is not a protocol; write TCP, UDP, or a number up to 255")
        }
        var bits: [UInt8] = []
        for (index, word) in words.enumerated().dropFirst() {
            guard let port = ports[word.lowercased()] ?? decimal(word) else {
                throw FieldRefusal(
                    "\(quoted(word)) is not a known service; write a port from 0 to 65535", word: index)
            }
            NumberBits.insert(Int(port), into: &bits)
        }
        return [number] + bits
    }

    private static func decimal<Number: FixedWidthInteger>(_ word: String) -> Number? {
        word.utf8.allSatisfy(isDigit) ? Number(word) : nil
    }

    static func isWellFormed(_ wire: ArraySlice<UInt8>) -> Bool { (1...1 + 65_536 / 8).contains(wire.count) }

    /// Returns the numbers of the protocol and the ports.
    static func text(of wire: ArraySlice<UInt8>) -> String {
        let numbers = [Int(wire.first ?? 0)] + NumberBits.numbers(in: wire.dropFirst())
        return numbers.map(String.init).joined(separator: " ")
    }
}
