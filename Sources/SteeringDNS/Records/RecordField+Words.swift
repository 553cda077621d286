import AddressPools

// The forms of fields that consist of words which need no origin: from text to bytes.

extension RecordField.Form {
    /// The number of words that the field has in text; nil if it goes on to the end of the record.
    var wordCount: Int? {
        switch self {
        case .hostIdentity: 3
        case .location, .prefixes, .services, .types: nil
        default: 1
        }
    }

    /// Parses the words of a field.
    func wire(of words: [String]) throws(FieldRefusal) -> [UInt8] {
        switch self {
        case .groups(let count, let bytes, let separator):
            return try groups(words[0], count: count, bytes: bytes, separator: separator)
        case .hostIdentity: return try HostIdentity.wire(of: words)
        case .location: return try Location.wire(of: words)
        case .networkServicePoint: return try networkServicePoint(words[0])
        case .prefixes: return try AddressPrefixes.wire(of: words)
        case .services: return try KnownServices.wire(of: words)
        case .types: return try TypeBits.wire(of: words)
        default: preconditionFailure("the form has no words of its own")
        }
    }

    /// Parses groups of digits. Leading zeros may be left out in groups of two bytes (RFC 6742), and not in those of one
    /// (RFC 7043).
    private func groups(_ word: String, count: Int, bytes: Int, separator: UInt8) throws(FieldRefusal) -> [UInt8] {
        let groups = word.utf8.split(separator: separator, omittingEmptySubsequences: false)
        var wire: [UInt8] = []
        for group in groups {
            let missing = 2 * bytes - group.count
            let digits = [UInt8](repeating: UInt8(ascii: "0"), count: max(missing, 0)) + group
            guard !group.isEmpty, missing == 0 || missing > 0 && bytes > 1, let decoded = Hexadecimal.decode(digits)
            else { break }
            wire += decoded
        }
        guard groups.count == count, wire.count == count * bytes else {
            let example = bytes == 1 ? "00-00-5e-00-53-2a" : "2001:db8:1140:1000"
            throw FieldRefusal(
                "\(quoted(word)) does not have \(count) groups of \(2 * bytes) hexadecimal digits; write them as in "
                    + example)
        }
        return wire
    }

    /// Parses `0x` and digits, between which dots may stand.
    private func networkServicePoint(_ word: String) throws(FieldRefusal) -> [UInt8] {
        let digits = word.utf8.dropFirst(2).filter { $0 != UInt8(ascii: ".") }
        guard word.lowercased().hasPrefix("0x"), let bytes = Hexadecimal.decode(digits), !bytes.isEmpty else {
            throw FieldRefusal("\(quoted(word)) is not an NSAP address; write 0x and hexadecimal digits")
        }
        return bytes
    }
}
