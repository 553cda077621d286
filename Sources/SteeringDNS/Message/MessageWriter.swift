import AddressPools

/// Writes an answer into a buffer, front to back. Records that do not fit are left out, and the answer is truncated.
struct MessageWriter {
    /// The number of bytes written.
    private(set) var count = 0
    /// The maximum size of the answer without the OPT record.
    private let limit: Int
    private var questions: UInt16 = 0
    /// Whether a record did not fit.
    private(set) var isTruncated = false
    private var answers: UInt16 = 0
    private var authorities: UInt16 = 0
    private var additionals: UInt16 = 0

    init(limit: Int) { self.limit = limit }

    enum Section { case answer, authority, additional }

    /// Copies the header and the question of the query.
    mutating func begin(_ query: Query, _ message: Span<UInt8>, _ buffer: inout MutableSpan<UInt8>) {
        let end = query.questionEnd
        buffer.copy(message, 0..<end, to: 0)
        count = end
        questions = query.hasQuestion ? 1 : 0
    }

    /// Completes the header: flags, response code and record counts.
    @inline(__always)
    mutating func finish(_ code: ResponseCode, isAuthoritative: Bool, _ buffer: inout MutableSpan<UInt8>) {
        // Opcode and RD are copied from the query; RA, Z, AD and CD stay clear.
        var flags = buffer[2] & (Header.opcode | Header.recursionDesired) | Header.response
        if isAuthoritative { flags |= Header.authoritative }
        if isTruncated { flags |= Header.truncated }
        buffer.store(UInt16(flags) << 8 | code.rawValue & 0x0F, at: 2)
        buffer.store(Self.joined(questions, answers, authorities, additionals), at: 4)
    }

    /// Truncates the answer to the question: the client retries over TCP and has no use for a part of the records.
    mutating func truncate(_ query: Query) {
        count = query.questionEnd
        (answers, authorities, additionals) = (0, 0, 0)
        isTruncated = true
    }

    /// Whether so many bytes still fit.
    func hasRoom(for size: Int) -> Bool { count + size <= limit }

    private mutating func reserve(_ size: Int, _ section: Section) -> Bool {
        guard hasRoom(for: size) else {
            isTruncated = true
            return false
        }
        switch section {
        case .answer: answers += 1
        case .authority: authorities += 1
        case .additional: additionals += 1
        }
        return true
    }

    /// Four adjacent numbers, to be written at once.
    @inline(__always)
    private static func joined(_ first: UInt16, _ second: UInt16, _ third: UInt16, _ fourth: UInt16) -> UInt64 {
        UInt64(first) << 48 | UInt64(second) << 32 | UInt64(third) << 16 | UInt64(fourth)
    }

    @inline(__always)
    private mutating func add(_ number: some FixedWidthInteger & BitwiseCopyable, _ buffer: inout MutableSpan<UInt8>) {
        buffer.store(number, at: count)
        count += MemoryLayout.size(ofValue: number)
    }

    private mutating func add(_ bytes: [UInt8], _ buffer: inout MutableSpan<UInt8>) {
        buffer.copy(bytes.span, 0..<bytes.count, to: count)
        count += bytes.count
    }

    private mutating func add(_ message: Span<UInt8>, _ range: Range<Int>, _ buffer: inout MutableSpan<UInt8>) {
        buffer.copy(message, range, to: count)
        count += range.count
    }
}

// MARK: - Records

extension MessageWriter {
    /// Adds an address record of the name at an offset.
    mutating func add(
        _ address: IPAddress, of name: Int, ttl: UInt32, in section: Section = .answer,
        _ buffer: inout MutableSpan<UInt8>
    ) {
        let size = address.family == .ipv4 ? 4 : 16
        guard reserve(12 + size, section) else { return }
        let type: RecordType = address.family == .ipv4 ? .A : .AAAA
        add(
            Self.joined(
                Self.pointer(to: name), type.rawValue, RecordClass.internet, UInt16(truncatingIfNeeded: ttl >> 16)),
            &buffer)
        add(UInt32(UInt16(truncatingIfNeeded: ttl)) << 16 | UInt32(size), &buffer)
        if address.family == .ipv4 {
            add(UInt32(truncatingIfNeeded: address.bits), &buffer)
        } else {
            add(UInt64(truncatingIfNeeded: address.bits >> 64), &buffer)
            add(UInt64(truncatingIfNeeded: address.bits), &buffer)
        }
    }

    /// Adds a record of the name at an offset. Compressed names in its data point to the zone's name at `origin`.
    mutating func add(
        _ record: CompactRecord, of name: Int, ttl: UInt32, origin: Int, in section: Section,
        _ buffer: inout MutableSpan<UInt8>
    ) {
        guard reserve(2 + record.size, section) else { return }
        add(Self.pointer(to: name), &buffer)
        add(record, ttl, origin, &buffer)
    }

    /// Adds a record of a name that the message does not contain yet.
    ///
    /// - Parameter head: The number of bytes before the zone's name, which is at `origin`; all bytes if the name is in
    ///   another zone.
    mutating func add(
        _ record: CompactRecord, ofNew name: DNSName, head: Int, ttl: UInt32, origin: Int, in section: Section,
        _ buffer: inout MutableSpan<UInt8>
    ) {
        let isWhole = head == name.wire.count
        guard reserve(head + (isWhole ? 0 : 2) + record.size, section) else { return }
        add(name.wire.span, 0..<head, &buffer)
        if !isWhole { add(Self.pointer(to: origin), &buffer) }
        add(record, ttl, origin, &buffer)
    }

    /// Adds the CNAME record that a DNAME record implies (RFC 6672, section 3.1).
    ///
    /// - Parameters:
    ///   - name: The offset of the owner.
    ///   - head: The first labels of the target.
    ///   - tail: The offset of the rest of it: the target of the DNAME record.
    /// - Returns: The offset of the target; nil if the record does not fit.
    mutating func addAlias(
        of name: Int, to head: [UInt8], before tail: Int, ttl: UInt32, _ buffer: inout MutableSpan<UInt8>
    ) -> Int? {
        guard reserve(12 + head.count + 2, .answer) else { return nil }
        add(Self.pointer(to: name), &buffer)
        add(RecordType.CNAME.rawValue, &buffer)
        add(RecordClass.internet, &buffer)
        add(ttl, &buffer)
        add(UInt16(head.count + 2), &buffer)
        add(head, &buffer)
        add(Self.pointer(to: tail), &buffer)
        return count - head.count - 2
    }

    private mutating func add(
        _ record: CompactRecord, _ ttl: UInt32, _ origin: Int, _ buffer: inout MutableSpan<UInt8>
    ) {
        add(record.type.rawValue, &buffer)
        add(RecordClass.internet, &buffer)
        add(ttl, &buffer)
        add(UInt16(record.data.count), &buffer)
        let start = count
        add(record.data, &buffer)
        for pointer in record.origins { buffer.store(Self.pointer(to: origin), at: start + pointer) }
    }

    /// Adds a TXT record of class CHAOS (RFC 4892).
    mutating func addChaosText(_ text: [UInt8], _ buffer: inout MutableSpan<UInt8>) {
        guard reserve(13 + text.count, .answer) else { return }
        add(Self.pointer(to: Query.nameOffset), &buffer)
        add(RecordType.TXT.rawValue, &buffer)
        add(RecordClass.chaos, &buffer)
        add(UInt32(0), &buffer)
        add(UInt16(text.count + 1), &buffer)
        add(UInt8(text.count), &buffer)
        add(text, &buffer)
    }

    /// Adds the answer to ANY (RFC 8482, section 4.2): HINFO "RFC8482" "".
    mutating func addAnyRecord(_ buffer: inout MutableSpan<UInt8>) {
        let data = [7] + Array("RFC8482".utf8) + [0]
        guard reserve(12 + data.count, .answer) else { return }
        add(Self.pointer(to: Query.nameOffset), &buffer)
        add(RecordType.HINFO.rawValue, &buffer)
        add(RecordClass.internet, &buffer)
        add(UInt32(3_600), &buffer)
        add(UInt16(data.count), &buffer)
        add(data, &buffer)
    }

    /// The highest offset that a compression pointer can express.
    static let farthestPointer = 0x3FFF

    /// Returns a compression pointer to a name, whose offset must be at most ``farthestPointer``.
    private static func pointer(to offset: Int) -> UInt16 { 0xC000 | UInt16(truncatingIfNeeded: offset) }
}

// MARK: - EDNS

extension MessageWriter {
    /// The EDNS options of an answer.
    struct Options {
        /// The length of the server identifier, if it was requested.
        var identifierLength: Int?
        /// The client's part of the cookie, as a range of the query, and the server's part.
        var cookie: (client: Range<Int>, server: ServerCookie)?
        /// The client subnet option, as a range of the query, and the scope prefix length of the answer.
        var clientSubnet: (data: Range<Int>, scope: UInt8)?

        var size: Int {
            (identifierLength.map { 4 + $0 } ?? 0) + (cookie == nil ? 0 : 28)
                + (clientSubnet.map { 4 + $0.data.count } ?? 0)
        }
    }

    static let optionlessSize = 11

    /// Adds the OPT record (RFC 6891). The limit leaves room for it.
    mutating func addEDNS(
        _ edns: Query.EDNS, _ code: ResponseCode, _ options: Options, identifier: [UInt8]?, _ message: Span<UInt8>,
        _ buffer: inout MutableSpan<UInt8>
    ) {
        additionals += 1
        // The root as owner; type, UDP payload size, extended response code and version 0, flags.
        add(UInt8(0), &buffer)
        add(
            Self.joined(
                RecordType.OPT.rawValue, UInt16(Responder.maximumDatagram), code.rawValue << 4 & 0xFF00,
                edns.wantsDNSSEC ? 0x8000 : 0),
            &buffer)
        add(UInt16(options.size), &buffer)
        if options.identifierLength != nil, let identifier {
            add(EDNSOption.nameServerIdentifier, &buffer)
            add(UInt16(identifier.count), &buffer)
            add(identifier, &buffer)
        }
        if let (client, server) = options.cookie {
            add(EDNSOption.cookie, &buffer)
            add(UInt16(24), &buffer)
            add(message, client, &buffer)
            add(server.head, &buffer)
            add(server.hash, &buffer)
        }
        if let (data, scope) = options.clientSubnet {
            add(EDNSOption.clientSubnet, &buffer)
            add(UInt16(data.count), &buffer)
            let scopeAt = count + 3
            add(message, data, &buffer)
            buffer[scopeAt] = scope
        }
    }
}

// MARK: - TSIG

extension MessageWriter {
    /// Adds the TSIG record that says that this server does not know the key (RFC 8945, section 5.3.2): that of the
    /// query, without a MAC and with the error BADKEY. It is the last record, and the limit leaves room for it.
    mutating func addUnknownKey(
        _ signature: Query.Signature, _ message: Span<UInt8>, _ buffer: inout MutableSpan<UInt8>
    ) {
        additionals += 1
        add(message, signature.keyName, &buffer)
        add(RecordType.TSIG.rawValue, &buffer)
        add(RecordClass.any, &buffer)
        add(UInt32(0), &buffer)
        add(UInt16(signature.algorithmAndTime.count + 8), &buffer)
        add(message, signature.algorithmAndTime, &buffer)
        // The size of the MAC, the ID of the query, the error, and the size of other data.
        add(UInt16(0), &buffer)
        add(message, 0..<2, &buffer)
        add(Query.Signature.badKey, &buffer)
        add(UInt16(0), &buffer)
    }
}
