import AddressPools

/// A DNS query, as far as an authoritative server reads one: header, one question, EDNS.
///
/// It refers to the bytes it was read from by offsets, so that reading allocates nothing.
struct Query {
    /// What becomes of the message.
    private(set) var reading = Reading.ignored
    /// The question's name, from its first length to the root's.
    var nameLength = 0
    var type: UInt16 = 0
    var recordClass: UInt16 = 0
    var opcode: UInt8 = 0
    /// Whether there is a whole question to echo.
    var hasQuestion = false
    var edns: EDNS?

    /// Where the name begins.
    static let nameOffset = Header.size

    /// Where the question ends.
    var questionEnd: Int { hasQuestion ? Self.nameOffset + nameLength + 4 : Header.size }

    struct EDNS {
        var payloadSize: UInt16 = 512
        var version: UInt8 = 0
        var wantsDNSSEC = false
        var wantsIdentifier = false
        /// Where the data of the cookie option is, and its length: 8, or 16 to 40.
        var cookie: Range<Int>?
        /// Where the data of the client subnet option is. It is sound.
        var clientSubnet: Range<Int>?
    }

    /// What EDNS tells of the client's network (RFC 7871).
    struct ClientSubnet {
        let network: IPAddress
        let sourceLength: UInt8
    }

    /// What becomes of a message.
    enum Reading {
        case query
        /// To be answered with no more than a code.
        case failure(ResponseCode)
        /// To be left without an answer: too short for a header, or an answer itself, which two servers could throw at
        /// each other for ever.
        case ignored
    }
}

extension Query {
    /// Reads a message, and the keys of the question's name.
    @inline(__always)
    mutating func read(_ message: Span<UInt8>, _ keys: inout NameKeys) {
        self = Query()
        guard message.count >= Header.size, message[2] & Header.response == 0 else { return }
        opcode = (message[2] & Header.opcode) >> 3
        if let code = readSections(message, &keys) { reading = .failure(code) } else { reading = .query }
    }

    /// Reads what follows the flags. Returns what is wrong with it.
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
            // Who asks for the changes of a zone says which version it has (RFC 1995, section 3); others have no say.
            guard answers == 0, type == RecordType.IXFR.rawValue, authorities == 1,
                let fields = message.endOfName(at: offset), let end = message.endOfRecord(fields)
            else { return .formatError }
            offset = end
        }
        for index in 0..<additionals {
            if let code = readAdditional(message, &offset, isLast: index == additionals - 1) { return code }
        }
        // What follows the last record is not a record: a second message, or a mistake.
        guard offset == message.count, hasQuestion || edns?.cookie != nil else { return .formatError }
        if let edns, edns.version > 0 { return .badVersion }
        return nil
    }

    /// Reads the name, its type and class.
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

    /// Reads a record behind the question: OPT is understood, a signature is refused, others are passed over.
    @inline(__always)
    private mutating func readAdditional(
        _ message: Span<UInt8>, _ offset: inout Int, isLast: Bool
    ) -> ResponseCode? {
        guard let fields = message.endOfName(at: offset), let end = message.endOfRecord(fields) else {
            return .formatError
        }
        let type = message.number16(at: fields)
        let data = (fields + 10)..<end
        let owner = offset
        offset = end
        switch type {
        case RecordType.OPT.rawValue:
            // Its owner is the root, and there is one.
            guard edns == nil, message[owner] == 0 else { return .formatError }
            var edns = EDNS()
            edns.payloadSize = message.number16(at: fields + 2)
            edns.version = message[fields + 5]
            edns.wantsDNSSEC = message[fields + 6] & 0x80 != 0
            let isSound = edns.version > 0 || edns.readOptions(message, data)
            self.edns = edns
            return isSound ? nil : .formatError
        case 250:  // TSIG, which stands last (RFC 8945, section 5.1); there is no key here.
            return isLast ? .notAuthorized : .formatError
        default: return nil
        }
    }
}

extension Query.EDNS {
    /// Reads the options; false if one is not what its definition says.
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
                // A client's part of 8 bytes, and a server's of 8 to 32 or none (RFC 7873, section 5.2.2).
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
    /// Nil when the option is not one (RFC 7871, section 7.1.1): the address has as many bytes as its length needs,
    /// without bits beyond it.
    init?(_ message: Span<UInt8>, _ data: Range<Int>) {
        guard data.count >= 4 else { return nil }
        let family = message.number16(at: data.lowerBound), source = message[data.lowerBound + 2]
        // Who tells nothing of the client may leave out the family, too.
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
    /// The offset behind a record whose type is at an offset; nil if it is cut off.
    @inline(__always)
    fileprivate func endOfRecord(_ fields: Int) -> Int? {
        guard fields + 10 <= count else { return nil }
        let end = fields + 10 + Int(number16(at: fields + 8))
        return end <= count ? end : nil
    }

    /// The offset behind a name in a record; nil if it is cut off. Pointers are not followed: where they lead does not
    /// matter to records that are passed over.
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
