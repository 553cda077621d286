import AddressPools
import SteeringDNS

/// The reason why a simulation cannot run: one sentence with the remedy.
public struct SimulationError: Error, Sendable, CustomStringConvertible {
    /// The sentence.
    public let description: String

    init(_ description: String) { self.description = description }
}

/// The authoritative name server.
///
/// It takes queries and returns responses as DNS messages, with the responder and the policy files of steer-dns.
struct Authority: ~Copyable {
    /// The data to answer from; a change takes effect with the next query, as after a reload.
    var serving: ServedData {
        didSet { counts = serving.counts() }
    }
    private var responder: Responder
    private var counts: AnswerCounts
    private var query: [UInt8]
    private var reply = [UInt8](repeating: 0, count: Responder.maximumDatagram)
    /// The number of digits for which the end of the query is in place.
    private var digits = 0

    struct Answer {
        let address: IPAddress
        /// The TTL in seconds.
        let ttl: UInt32
    }

    /// Names are `n1.example.com`, `n2.example.com` and so on, by rank.
    static let origin = "example.com"
    private static let header: [UInt8] = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    private static let tail: [UInt8] = [7] + Array("example".utf8) + [3] + Array("com".utf8) + [0, 0, 1, 0, 1]

    init(_ serving: ServedData, seed: UInt64) {
        var options = ResponderOptions()
        // Response rate limiting must not drop queries of the simulated resolvers.
        options.limitsResponses = false
        self.serving = serving
        responder = Responder(options, drawingWith: FastGenerator(seed: seed))
        counts = serving.counts()
        query = Self.header + Array(repeating: 0, count: 64)
    }

    /// Returns a resolver's address, which is in a /24 of its own.
    static func address(ofResolver number: Int) -> IPAddress {
        IPAddress(ipv4: 10 << 24 | UInt32(number) << 8 | 53)
    }

    /// Queries the address of a name.
    mutating func address(ofName rank: Int, for resolver: Int) throws(SimulationError) -> Answer {
        let length = write(rank)
        // Move the buffer out for the call, to avoid a copy, and back for the next one.
        let query = query
        var reply = reply
        self.reply = []
        defer { self.reply = reply }
        var buffer = reply.mutableSpan
        let size = responder.respond(
            to: query.span.extracting(0..<length), from: Self.address(ofResolver: resolver), over: .udp,
            at: .init(seconds: 0, milliseconds: 0), with: serving, counting: &counts, into: &buffer)
        guard let answer = Self.read(reply, size, after: length) else {
            throw SimulationError(
                "n\(rank).\(Self.origin) gets no address: have a policy answer the names of \(Self.origin) from a pool with IPv4"
            )
        }
        return answer
    }

    /// Writes the query and returns its length.
    private mutating func write(_ rank: Int) -> Int {
        var count = 1, power = 10
        while rank >= power {
            count += 1
            power *= 10
        }
        let begin = Self.header.count
        if count != digits {
            digits = count
            query[begin] = UInt8(count + 1)
            query[begin + 1] = UInt8(ascii: "n")
            for (offset, byte) in Self.tail.enumerated() { query[begin + 2 + count + offset] = byte }
        }
        var rest = rank, position = begin + 1 + count
        while position > begin + 1 {
            query[position] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
            position -= 1
        }
        return begin + 2 + count + Self.tail.count
    }

    /// Parses the reply: one A record, whose name is a compression pointer to the question.
    private static func read(_ reply: [UInt8], _ size: Int, after question: Int) -> Answer? {
        guard size >= question + 16, reply[3] & 0xF == 0, number(reply, 6, bytes: 2) == 1,
            number(reply, question + 2, bytes: 4) == 0x0001_0001, number(reply, question + 10, bytes: 2) == 4
        else { return nil }
        return Answer(
            address: IPAddress(ipv4: number(reply, question + 12, bytes: 4)), ttl: number(reply, question + 6, bytes: 4)
        )
    }

    private static func number(_ reply: [UInt8], _ position: Int, bytes: Int) -> UInt32 {
        var number: UInt32 = 0
        for offset in position..<(position + bytes) { number = number << 8 | UInt32(reply[offset]) }
        return number
    }
}
