import AddressPools

/// Answers DNS queries one at a time, without allocating.
///
/// Each worker has one. The zones and policies are passed with each query, so they can be replaced between two queries.
public struct Responder: ~Copyable {
    /// The largest UDP response in bytes, whatever the client accepts: it avoids fragmentation (DNS flag day 2020).
    public static let maximumDatagram = 1_232
    /// The largest TCP response in bytes.
    public static let maximumMessage = 65_535

    /// The transport that a query arrived over.
    public enum Transport: Sendable {
        case udp, tcp
    }

    /// The current time, by two clocks.
    public struct Time: Sendable {
        /// Seconds since 1970.
        public var seconds: UInt32
        /// Milliseconds of a monotonic clock, which may wrap around.
        public var milliseconds: UInt32

        /// Makes a time.
        ///
        /// - Parameters:
        ///   - seconds: Seconds since 1970.
        ///   - milliseconds: Milliseconds of a monotonic clock.
        public init(seconds: UInt32, milliseconds: UInt32) {
            self.seconds = seconds
            self.milliseconds = milliseconds
        }
    }

    private var lookup: Lookup
    private var query = Query()
    private var nextQuery = Query()
    private var limiter: ResponseLimiter?
    private let options: ResponderOptions
    private let cookies: CookieMaker

    /// Makes a responder.
    ///
    /// - Parameters:
    ///   - options: The server information and the limits.
    ///   - generator: The source of random addresses. A seeded one gives the same answers to the same queries, as
    ///     simulations need.
    public init(_ options: ResponderOptions, drawingWith generator: FastGenerator = FastGenerator()) {
        self.options = options
        lookup = Lookup(generator)
        cookies = CookieMaker(secret: options.cookieSecret)
        limiter =
            options.limitsResponses
            ? ResponseLimiter(rate: options.responseRate, places: options.limiterPlaces) : nil
    }

    /// Answers a message.
    ///
    /// - Parameters:
    ///   - message: The message, without the length prefix of TCP.
    ///   - client: The client's address.
    ///   - transport: The transport that the message arrived over. Only UDP answers are limited.
    ///   - time: The current time, for cookies and the response limit.
    ///   - served: The zones and policies to answer from.
    ///   - counts: The counts to update.
    ///   - buffer: The memory for the answer: at least ``maximumDatagram`` bytes for UDP, ``maximumMessage`` for TCP.
    /// - Returns: The length of the answer in bytes; 0 for no answer, to a response, a message shorter than a DNS
    ///   header, or when the response limit drops the answer.
    public mutating func respond(
        to message: Span<UInt8>, from client: IPAddress, over transport: Transport, at time: Time,
        with served: ServedData, counting counts: inout AnswerCounts, into buffer: inout MutableSpan<UInt8>
    ) -> Int {
        reply(to: message, from: client, over: transport, at: time, with: served, counting: &counts, into: &buffer)
            .size
    }

    /// Answers a message, and returns the decision as well.
    mutating func reply(
        to message: Span<UInt8>, from client: IPAddress, over transport: Transport, at time: Time,
        with served: ServedData, counting counts: inout AnswerCounts, into buffer: inout MutableSpan<UInt8>
    ) -> (size: Int, answer: Answer?) {
        readAhead(message, served)
        advance()
        return answer(message, from: client, over: transport, at: time, with: served, counting: &counts, into: &buffer)
    }

    /// Reads the next message, and prefetches its name's slot in the table, so that a likely cache miss overlaps with
    /// answering the current message.
    @inline(__always)
    mutating func readAhead(_ message: Span<UInt8>, _ served: ServedData) {
        nextQuery.read(message, &lookup.nextKeys)
        if nextQuery.hasQuestion { served.policies.names.prefetch(lookup.nextKeys.last) }
    }

    /// Makes the message that was read ahead the current one.
    @inline(__always)
    mutating func advance() {
        query = nextQuery
        lookup.advance()
    }

    /// Answers the current message.
    @inline(__always)
    mutating func answer(
        _ message: Span<UInt8>, from client: IPAddress, over transport: Transport, at time: Time,
        with served: ServedData, counting counts: inout AnswerCounts, into buffer: inout MutableSpan<UInt8>
    ) -> (size: Int, answer: Answer?) {
        if transport == .udp { counts.datagrams &+= 1 } else { counts.streamed &+= 1 }
        let query = query
        var refusal: ResponseCode?
        switch query.reading {
        case .query: break
        case .failure(let code): refusal = code
        case .ignored:
            counts.ignored &+= 1
            return (0, nil)
        }

        var ending = MessageWriter.Options()
        let isVerified = readCookie(query, message, client, time, &ending)
        if let subnet = query.edns?.clientSubnet, served.usesClientSubnet {
            ending.clientSubnet = (subnet, 0)
        }
        let signature = refusal == .notAuthorized ? query.signature(message) : nil
        var endingSize = query.edns == nil ? 0 : MessageWriter.optionlessSize + ending.size
        endingSize += signature?.size ?? 0
        // Without the server identifier, which may be long, so that a truncated answer is not much longer than its
        // query.
        let truncatedSize = query.questionEnd + endingSize

        let limit = transport == .tcp ? Self.maximumMessage : Self.datagramLimit(query)
        if query.edns?.wantsIdentifier == true, let length = options.identifier?.count,
            truncatedSize + 4 + length <= limit
        {
            ending.identifierLength = length
            endingSize += 4 + length
        }
        var writer = MessageWriter(limit: limit - endingSize)
        writer.begin(query, message, &buffer)
        var answer = refusal.map { Answer(code: $0, kind: $0.kind) } ?? Answer(code: .noError, kind: .server)
        if refusal == nil, query.hasQuestion {
            answer = lookUp(query, message, client, served, &writer, &buffer)
            if let (subnet, _) = ending.clientSubnet, lookup.dependsOnClient, !answer.isNegative {
                // The answer may depend on the whole source prefix, whose length is the option's third byte.
                ending.clientSubnet = (subnet, message[subnet.lowerBound + 2])
            }
        }
        if writer.isTruncated { writer.truncate(query) }

        if transport == .udp, !isVerified, limiter != nil {
            switch limiter!.verdict(
                client, query: message.count, answer: writer.count + endingSize, truncated: truncatedSize,
                time: time.milliseconds)
            {
            case .send: break
            case .truncate:
                counts.limited &+= 1
                writer.truncate(query)
                ending.identifierLength = nil
                answer.policy = nil
            case .drop:
                counts.dropped &+= 1
                return (0, nil)
            }
        }
        if writer.isTruncated { counts.truncated &+= 1 }
        if let edns = query.edns {
            writer.addEDNS(edns, answer.code, ending, identifier: options.identifier, message, &buffer)
        }
        if let signature { writer.addUnknownKey(signature, message, &buffer) }
        writer.finish(answer.code, isAuthoritative: answer.isAuthoritative, &buffer)
        count(answer, served, &counts)
        return (writer.count, answer)
    }

    /// The properties of an answer besides its records.
    struct Answer {
        var code: ResponseCode
        var kind: AnswerCounts.Kind
        var isAuthoritative = false
        /// The policy that decided, and the first address that it gave.
        var policy: Int?
        var address: IPAddress?
        /// What several addresses were drawn from.
        var seed: UInt64 = 0

        /// Whether resolvers may cache it for all clients, whatever its scope (RFC 7871, section 7.4).
        var isNegative: Bool { kind == .noData || kind == .referral || code == .nameError }
    }

    /// The largest datagram that the client accepts: 512 bytes, or the EDNS buffer size.
    private static func datagramLimit(_ query: Query) -> Int {
        guard let edns = query.edns else { return 512 }
        return min(maximumDatagram, max(512, Int(edns.payloadSize)))
    }

    /// Returns whether a cookie proves that the client receives packets at its address. Any client that sent a cookie
    /// gets a new one.
    private func readCookie(
        _ query: Query, _ message: Span<UInt8>, _ client: IPAddress, _ time: Time,
        _ ending: inout MessageWriter.Options
    ) -> Bool {
        guard let part = query.edns?.cookie else { return false }
        let start = part.lowerBound
        let clientPart = message.number64(at: start)
        ending.cookie = (start..<(start + 8), cookies.cookie(for: clientPart, at: client, time: time.seconds))
        guard part.count == 24 else { return false }
        let cookie = ServerCookie(head: message.number64(at: start + 8), hash: message.number64(at: start + 16))
        return cookies.accepts(cookie, for: clientPart, at: client, time: time.seconds)
    }

    private mutating func lookUp(
        _ query: Query, _ message: Span<UInt8>, _ client: IPAddress, _ served: ServedData,
        _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>
    ) -> Answer {
        if query.recordClass == RecordClass.chaos {
            guard let text = options.chaosText(query, message) else { return Answer(code: .refused, kind: .refused) }
            writer.addChaosText(text, &buffer)
            return Answer(code: .noError, kind: .server, isAuthoritative: true)
        }
        guard query.recordClass == RecordClass.internet else { return Answer(code: .refused, kind: .refused) }
        let type = RecordType(rawValue: query.type)
        switch type {
        case .AXFR, .IXFR: return Answer(code: .refused, kind: .refused)
        case .OPT: return Answer(code: .formatError, kind: .formatError)
        case .TKEY, .TSIG, .MAILA, .MAILB: return Answer(code: .notImplemented, kind: .notImplemented)
        default: break
        }
        var asking = client
        if served.usesClientSubnet, let data = query.edns?.clientSubnet,
            let subnet = Query.ClientSubnet(message, data), subnet.sourceLength > 0
        {
            asking = subnet.network
        }
        return lookup.answer(
            type, message, client: asking, watchesClient: served.usesClientSubnet && query.edns?.clientSubnet != nil,
            served, &writer, &buffer)
    }

    private func count(_ answer: Answer, _ served: ServedData, _ counts: inout AnswerCounts) {
        counts.count(answer.kind)
        guard let policy = answer.policy, answer.address != nil else { return }
        counts.byPolicy[policy] &+= 1
        if counts.byAddress != nil { served.countAddresses(of: answer, &counts) }
    }
}

extension ResponseCode {
    /// The kind under which an answer without records is counted.
    fileprivate var kind: AnswerCounts.Kind {
        switch self {
        case .notImplemented, .badVersion: .notImplemented
        case .notAuthorized, .refused: .refused
        default: .formatError
        }
    }
}
