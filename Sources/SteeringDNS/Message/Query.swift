import AddressPools

/// A DNS query as an authoritative server reads it: header, one question, EDNS.
///
/// It refers to the message by offsets, so parsing does not allocate.
struct Query {
    /// The result of parsing.
    private(set) var reading = Reading.ignored
    /// The length in bytes of the question's name, up to and including the root label.
    var nameLength = 0
    var type: UInt16 = 0
    var recordClass: UInt16 = 0
    var opcode: UInt8 = 0
    /// Whether there is a complete question to echo.
    var hasQuestion = false
    var edns: EDNS?
    /// The offset of the TSIG record's owner; 0 without a TSIG record that is well formed.
    private var signatureOffset = 0

    /// The offset of the question's name.
    static let nameOffset = Header.size

    /// The offset after the question.
    var questionEnd: Int { hasQuestion ? Self.nameOffset + nameLength + 4 : Header.size }

    struct EDNS {
        var payloadSize: UInt16 = 512
        var version: UInt8 = 0
        var wantsDNSSEC = false
        var wantsIdentifier = false
        /// The range of the cookie option's data: 8, or 16 to 40 bytes.
        var cookie: Range<Int>?
        /// The range of the client subnet option's data, which is well formed.
        var clientSubnet: Range<Int>?
    }

    /// The client's network in EDNS client subnet (RFC 7871).
    struct ClientSubnet {
        let network: IPAddress
        let sourceLength: UInt8
    }

    /// The parts of a TSIG record that an answer without a MAC repeats (RFC 8945, section 5.3.2).
    struct Signature {
        /// The range of the name of the key. It may end with a pointer into the question.
        let keyName: Range<Int>
        /// The range of the algorithm, the time and the fudge.
        let algorithmAndTime: Range<Int>

        static let badKey: UInt16 = 17

        /// The size in bytes of the record without a MAC.
        var size: Int { keyName.count + 10 + algorithmAndTime.count + 8 }
    }

    /// The result of parsing a message.
    enum Reading {
        case query
        /// To be answered with a response code alone.
        case failure(ResponseCode)
        /// To be left unanswered: shorter than a header, or itself a response. Answering responses could make two
        /// servers loop.
        case ignored
    }
}

extension Query {
    /// Parses a message, and makes the keys of the question's name.
    @inline(__always)
    mutating func read(_ message: Span<UInt8>, _ keys: inout NameKeys) {
        self = Query()
        guard message.count >= Header.size, message[2] & Header.response == 0 else { return }
        opcode = (message[2] & Header.opcode) >> 3
        if let code = readSections(message, &keys) {
            reading = .failure(code)
            if edns == nil { findEDNS(message) }
        } else {
            reading = .query
        }
    }

    /// Parses EDNS in a message that is refused before its additional section was read: an answer has OPT if the query
    /// has (RFC 6891, section 7).
    @inline(never)
    private mutating func findEDNS(_ message: Span<UInt8>) {
        var offset = Header.size
        for _ in 0..<message.number16(at: 4) {
            guard let end = message.endOfName(at: offset), end + 4 <= message.count else { return }
            offset = end + 4
        }
        for _ in 0..<(Int(message.number16(at: 6)) + Int(message.number16(at: 8))) {
            guard let fields = message.endOfName(at: offset), let end = message.endOfRecord(fields) else { return }
            offset = end
        }
        for _ in 0..<message.number16(at: 10) where edns == nil {
            guard let fields = message.endOfName(at: offset), let end = message.endOfRecord(fields) else { return }
            if message.number16(at: fields) == RecordType.OPT.rawValue { _ = readEDNS(message, offset, fields, end) }
            offset = end
        }
    }

    /// Parses everything after the flags. Returns the response code for an error.
    @inline(__always)
    private mutating func readSections(_ message: Span<UInt8>, _ keys: inout NameKeys) -> ResponseCode? {
        guard opcode == 0 else { return .notImplemented }
        let questions = message.number16(at: 4), additionals = message.number16(at: 10)
        // A query for a cookie alone has no question (RFC 7873, section 5.4).
        guard questions == 1 || (questions == 0 && additionals > 0) else { return .formatError }
        if questions == 1 {
            guard readQuestion(message, &keys) else { return .formatError }
        }
        var offset = questionEnd
        let answers = message.number16(at: 6), authorities = message.number16(at: 8)
        if answers > 0 || authorities > 0 {
            // An IXFR query has the client's SOA in the authority section (RFC 1995, section 3). No other query has
            // records there.
            guard answers == 0, type == RecordType.IXFR.rawValue, authorities == 1,
                let fields = message.endOfName(at: offset), let end = message.endOfRecord(fields)
            else { return .formatError }
            offset = end
        }
        for index in 0..<additionals {
            if let code = readAdditional(message, &offset, isLast: index == additionals - 1) { return code }
        }
        // Trailing bytes are an error; so is a query without a question or a cookie.
        guard offset == message.count, hasQuestion || edns?.cookie != nil else { return .formatError }
        if let edns, edns.version > 0 { return .badVersion }
        return nil
    }

    /// Parses the question: name, type and class.
    @inline(__always)
    private mutating func readQuestion(_ message: Span<UInt8>, _ keys: inout NameKeys) -> Bool {
        guard let offset = keys.readIfSound(message, at: Self.nameOffset), offset + 4 <= message.count else {
            return false
        }
        nameLength = offset - Self.nameOffset
        type = message.number16(at: offset)
        recordClass = message.number16(at: offset + 2)
        hasQuestion = true
        return true
    }

    /// Parses a record of the additional section. OPT is read, TSIG is refused, others are skipped.
    @inline(__always)
    private mutating func readAdditional(
        _ message: Span<UInt8>, _ offset: inout Int, isLast: Bool
    ) -> ResponseCode? {
        guard let fields = message.endOfName(at: offset), let end = message.endOfRecord(fields) else {
            return .formatError
        }
        let type = message.number16(at: fields)
        let owner = offset
        offset = end
        switch type {
        case RecordType.OPT.rawValue: return readEDNS(message, owner, fields, end) ? nil : .formatError
        case RecordType.TSIG.rawValue:  // It must be last (RFC 8945, section 5.1); this server has no keys.
            signatureOffset = owner
            guard isLast, signature(message) != nil else {
                signatureOffset = 0
                return .formatError
            }
            return .notAuthorized
        default: return nil
        }
    }

    /// Parses an OPT record. Returns false if it is malformed.
    @inline(__always)
    private mutating func readEDNS(_ message: Span<UInt8>, _ owner: Int, _ fields: Int, _ end: Int) -> Bool {
        // Its owner must be the root, and there must be only one.
        guard edns == nil, message[owner] == 0 else { return false }
        var edns = EDNS()
        edns.payloadSize = message.number16(at: fields + 2)
        edns.version = message[fields + 5]
        edns.wantsDNSSEC = message[fields + 6] & 0x80 != 0
        let isSound = edns.version > 0 || edns.readOptions(message, (fields + 10)..<end)
        self.edns = edns
        return isSound
    }

    /// Returns the parts of the TSIG record; nil if there is none, or if it is malformed.
    func signature(_ message: Span<UInt8>) -> Signature? {
        guard signatureOffset > 0, let fields = message.endOfName(at: signatureOffset),
            let end = message.endOfRecord(fields), isRepeatable(message, signatureOffset, fields)
        else { return nil }
        let data = fields + 10
        // The algorithm is not compressed. After it: the time and the fudge in 8 bytes, the MAC, the ID and the error in 4
        // bytes, other data.
        guard let algorithm = DNSName.length(in: message, at: data).map({ data + $0 }), algorithm + 16 <= end else {
            return nil
        }
        let other = algorithm + 10 + Int(message.number16(at: algorithm + 8)) + 4
        guard other + 2 <= end, other + 2 + Int(message.number16(at: other)) == end else { return nil }
        return Signature(keyName: signatureOffset..<fields, algorithmAndTime: data..<(algorithm + 8))
    }

    /// Returns whether a name means the same at the end of an answer: it is not compressed, or ends with a pointer to a
    /// label of the question.
    private func isRepeatable(_ message: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
        if let length = DNSName.length(in: message, at: start) { return start + length == end }
        let pointer = Int(message.number16(at: end - 2) & 0x3FFF)
        var label = Self.nameOffset
        while label < pointer, label < questionEnd - 4 { label += 1 + Int(message[label]) }
        return hasQuestion && label == pointer && pointer < questionEnd - 4
            && end - start + nameLength <= DNSName.longestName
    }
}

extension Query.EDNS {
    /// Parses the options. Returns false if one is malformed.
    fileprivate mutating func readOptions(_ message: Span<UInt8>, _ data: Range<Int>) -> Bool {
        var offset = data.lowerBound
        while offset < data.upperBound {
            guard offset + 4 <= data.upperBound else { return false }
            let option = message.number16(at: offset)
            let value = (offset + 4)..<(offset + 4 + Int(message.number16(at: offset + 2)))
            guard value.upperBound <= data.upperBound else { return false }
            offset = value.upperBound
            switch option {
            case EDNSOption.nameServerIdentifier: wantsIdentifier = true
            case EDNSOption.cookie:
                // A client part of 8 bytes, then no server part or one of 8 to 32 bytes (RFC 7873, section 5.2.2).
                guard value.count == 8 || (16...40).contains(value.count) else { return false }
                if cookie == nil { cookie = value }
            case EDNSOption.clientSubnet:
                guard Query.ClientSubnet(message, value) != nil else { return false }
                if clientSubnet == nil { clientSubnet = value }
            default: break
            }
        }
        return true
    }
}

extension Query.ClientSubnet {
    /// Nil if the option is malformed (RFC 7871, section 7.1.1): the address must have as many bytes as the prefix
    /// length needs, and no bits set beyond it.
    init?(_ message: Span<UInt8>, _ data: Range<Int>) {
        guard data.count >= 4 else { return nil }
        let family = message.number16(at: data.lowerBound), source = message[data.lowerBound + 2]
        // A source prefix length of 0 discloses nothing; the family may then be 0, too.
        let width = family == 1 || family == 0 && source == 0 ? 32 : family == 2 ? 128 : 0
        guard width > 0, Int(source) <= width, message[data.lowerBound + 3] == 0 else { return nil }
        guard data.count == 4 + (Int(source) + 7) / 8 else { return nil }
        var bits: UInt128 = 0
        for offset in (data.lowerBound + 4)..<data.upperBound { bits = bits << 8 | UInt128(message[offset]) }
        bits <<= UInt128(width - 8 * (data.count - 4))
        let hostBits = (UInt128.max >> UInt128(128 - width)) >> UInt128(source)
        guard bits & (source == width ? 0 : hostBits) == 0 else { return nil }
        network = width == 32 ? IPAddress(ipv4: UInt32(bits)) : IPAddress(ipv6: bits)
        sourceLength = source
    }
}

extension Span<UInt8> {
    /// Returns the offset after the record whose type is at an offset; nil if the message ends before.
    @inline(__always)
    fileprivate func endOfRecord(_ fields: Int) -> Int? {
        guard fields + 10 <= count else { return nil }
        let end = fields + 10 + Int(number16(at: fields + 8))
        return end <= count ? end : nil
    }

    /// Returns the offset after a name in a record; nil if the message ends before. Pointers are not followed: skipped
    /// records do not need their names.
    fileprivate func endOfName(at start: Int) -> Int? {
        var offset = start
        while offset < count {
            let length = self[offset]
            switch length {
            case 0: return offset + 1
            case 1..<64: offset += 1 + Int(length)
            case 0xC0...: return offset + 2 <= count ? offset + 2 : nil
            default: return nil
            }
        }
        return nil
    }
}
