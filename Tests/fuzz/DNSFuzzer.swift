// A DNS responder fed with whatever libFuzzer thinks of, by UDP and TCP, and an independent look at what it answers.
// scripts/fuzz compiles it with the sources of SteeringDNS as one module.
//
// An input is a byte of options, then messages: a byte that says who asks and what time has passed, the message's
// length, 255 for all that is left, and the message. Of some inputs the same bytes are a stream of TCP, too.

import AddressPools
import Glibc

private let serving: ServedData = {
    // scripts/fuzz runs it in the repository.
    do { return try NamePolicyFile.read(contentsOf: "Tests/fuzz/dns/policy.json") } catch { fatalError("\(error)") }
}()
private let secret: UInt128 = 0xe5e9_73e5_a6b2_a43f_48e7_dc84_9e37_bfcf
private let now: UInt32 = 1_559_731_985

/// Seven networks for eight places, so that some meet, or for one; two clients of one.
private let clients: [IPAddress] =
    (0..<5).map { IPAddress(ipv4: 0xC633_6400 &+ $0 << 8 &+ 1) }
    + [IPAddress(ipv4: 0xC633_6402), IPAddress(ipv6: 0x2001_0db8_0005 << 80), IPAddress(ipv6: 0x2001_0db8_0006 << 80)]

nonisolated(unsafe) private var streamed = Asked(limited: false, rate: 0)
nonisolated(unsafe) private var unlimited = Asked(limited: false, rate: 0)

func fuzzAnswers(_ start: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    guard size > 1 else { return 0 }
    let input = Array(UnsafeBufferPointer(start: start, count: size))
    let rate: UInt32 = input[0] & 1 == 0 ? 0 : 3
    let isLimited = input[0] & 2 == 0
    var limited: Asked? = isLimited ? Asked(limited: true, rate: rate, places: input[0] & 8 == 0 ? 8 : 1) : nil
    var accounts = [UInt128: (received: Int, sent: Int)]()
    var milliseconds = UInt32(0) &- 50
    var position = 1
    while position + 2 <= input.count {
        let client = clients[Int(input[position] & 7)]
        milliseconds &+= UInt32(input[position] >> 3) * 20
        let length = input[position + 1] == 255 ? input.count : Int(input[position + 1])
        position += 2
        let message = Array(input[position..<min(input.count, position + length)])
        position += message.count

        let whole = streamed.ask(message, client, .tcp, milliseconds)
        check(whole, of: message, limit: 65_535)
        precondition(isAnswerable(message) == !whole.isEmpty, "a query is answered, all else is not")
        let cut: [UInt8]
        if isLimited {
            let limits = limited!.counts.limited
            cut = limited!.ask(message, client, .udp, milliseconds)
            if limited!.counts.limited > limits {
                // The name may be as long as one likes, which would make more of a forged query than is allowed.
                precondition(!AnswerReader(cut).options.contains(3), "what the limit cuts has no name of the server")
            }
            precondition(rate > 0 || cut.isEmpty == whole.isEmpty, "without a rate no answer is dropped")
            account(cut, message, client, milliseconds &+ 50, &accounts)
        } else {
            cut = unlimited.ask(message, client, .udp, milliseconds)
            precondition(cut.isEmpty == whole.isEmpty, "UDP answers what TCP answers")
        }
        check(cut, of: message, limit: datagramLimit(message))
        compare(cut, whole)
    }
    if input[0] & 4 != 0 { checkStream(Array(input.dropFirst()), pieces: Int(input[0] >> 3) * 4 + 1) }
    return 0
}

/// A responder and what it needs.
private struct Asked: ~Copyable {
    var responder: Responder
    var counts = serving.counts(byAddress: true)
    var buffer: [UInt8]

    init(limited: Bool, rate: UInt32, places: Int = 8) {
        var options = ResponderOptions()
        options.cookieSecret = secret
        options.limitsResponses = limited
        options.responseRate = rate
        options.limiterPlaces = places
        options.identifier = Array("a server's name that is longer than most".utf8)
        options.version = [0x31]
        responder = Responder(options)
        buffer = Array(repeating: 0, count: limited ? Responder.maximumDatagram : Responder.maximumMessage)
    }

    mutating func ask(
        _ message: [UInt8], _ client: IPAddress, _ transport: Responder.Transport, _ milliseconds: UInt32
    ) -> [UInt8] {
        // Lent, for a span of it would keep all of this.
        var bytes: [UInt8] = []
        swap(&bytes, &buffer)
        defer { swap(&bytes, &buffer) }
        var span = bytes.mutableSpan
        let size = responder.respond(
            to: message.span, from: client, over: transport, at: .init(seconds: now, milliseconds: milliseconds),
            with: serving, counting: &counts, into: &span)
        return Array(bytes[..<size])
    }
}

// MARK: - What must hold

private func isAnswerable(_ message: [UInt8]) -> Bool { message.count >= 12 && message[2] & 0x80 == 0 }

/// As much as a query could have asked for: whatever follows something like an OPT record's type.
private func datagramLimit(_ message: [UInt8]) -> Int {
    var limit = 512
    guard message.count > 16 else { return limit }
    for index in 12..<(message.count - 4) {
        guard message[index] == 0, message[index + 1] == 0, message[index + 2] == 41 else { continue }
        limit = max(limit, min(1_232, Int(message[index + 3]) << 8 | Int(message[index + 4])))
    }
    return limit
}

private func check(_ answer: [UInt8], of message: [UInt8], limit: Int) {
    guard !answer.isEmpty else { return }
    precondition(isAnswerable(message), "an answer, or what is too short, is not answered")
    precondition(answer.count <= limit, "\(answer.count) bytes are more than \(limit)")
    precondition(answer[..<2] == message[..<2], "the identifier is the query's")
    precondition(answer[2] & 0xF9 == message[2] & 0x79 | 0x80, "the opcode and RD are the query's")
    precondition(answer[3] & 0xF0 == 0, "RA, Z, AD and CD are not set")
    let reader = AnswerReader(answer)
    precondition(reader.counts[0] <= 1, "there is one question at most")
    precondition(answer[12..<reader.questionEnd] == message[12..<max(12, reader.questionEnd)], "it is the query's")
    if answer[2] & 2 != 0 {
        let counts = reader.counts
        precondition(
            counts[1] == 0 && counts[2] == 0 && counts[3] == reader.optCount + reader.tsigCount,
            "cut is cut")
    }
    precondition(reader.optCount <= 1, "there is one OPT record at most")
    precondition(reader.tsigCount == (answer[3] & 15 == 9 ? 1 : 0), "who has no key here is told so")
}

/// What UDP says is what TCP says, or it is cut.
private func compare(_ cut: [UInt8], _ whole: [UInt8]) {
    guard !cut.isEmpty, !whole.isEmpty else { return }
    precondition(cut[3] & 15 == whole[3] & 15, "the codes are alike")
    precondition(whole[2] & 2 == 0, "nothing is cut that goes by TCP")
    if cut[2] & 2 == 0 {
        precondition(cut[6..<10] == whole[6..<10], "an answer that is not cut has all records")
    }
}

/// What went to a network by UDP, against what came from it; with a cookie nothing counts.
private func account(
    _ answer: [UInt8], _ message: [UInt8], _ client: IPAddress, _ elapsed: UInt32,
    _ accounts: inout [UInt128: (received: Int, sent: Int)]
) {
    if hasCookie(message, client) { return }
    let headers = client.family == .ipv4 ? 28 : 48
    let network = IPPrefix(masking: client, length: client.family == .ipv4 ? 24 : 56).address.bits
    accounts[network, default: (0, 0)].received += message.count + headers
    if !answer.isEmpty { accounts[network]!.sent += answer.count + headers }
    let (received, sent) = accounts[network]!
    let first = 4_096 + 2 * (Int(elapsed >> 4) + 1)
    precondition(2 * sent <= 3 * received + 2 * first, "\(sent) bytes went to who sent \(received)")
}

/// Whether a message has a good cookie anywhere.
private func hasCookie(_ message: [UInt8], _ client: IPAddress) -> Bool {
    guard message.count >= 24 else { return false }
    func number(_ offset: Int) -> UInt64 { message[offset..<(offset + 8)].reduce(0) { $0 << 8 | UInt64($1) } }
    let maker = CookieMaker(secret: secret)
    for offset in 0...(message.count - 24) where message[offset + 8] == 1 {
        let cookie = ServerCookie(head: number(offset + 8), hash: number(offset + 16))
        if maker.accepts(cookie, for: number(offset), at: client, time: now) { return true }
    }
    return false
}

/// Messages come out of a stream as a reader finds them that has all of it.
private func checkStream(_ stream: [UInt8], pieces: Int) {
    var expected: [[UInt8]] = []
    var position = 0
    while position + 2 <= stream.count {
        let end = position + 2 + (Int(stream[position]) << 8 | Int(stream[position + 1]))
        guard end <= stream.count else { break }
        expected.append(Array(stream[(position + 2)..<end]))
        position = end
    }
    var framing = MessageFraming()
    var read: [[UInt8]] = []
    var start = 0
    while start < stream.count {
        framing.append(stream[start..<min(stream.count, start + pieces)])
        start += pieces
        while let message = framing.next() { read.append(message) }
    }
    precondition(read == expected && framing.count == stream.count - position, "a stream is read as it is")
}

/// Reads an answer from front to back, and traps where it is not one: RFC 1035, and nothing of the code that wrote it.
private struct AnswerReader {
    private let bytes: [UInt8]
    private(set) var counts: [Int] = []
    private(set) var questionEnd = 12
    private(set) var optCount = 0
    private(set) var tsigCount = 0
    /// The numbers of the options of EDNS.
    private(set) var options: [Int] = []

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        precondition(bytes.count >= 12, "an answer has a header")
        counts = (0..<4).map { number(4 + 2 * $0) }
        if counts[0] > 0 { questionEnd = skipName(12) + 4 }
        var position = questionEnd
        for section in 1...3 { for _ in 0..<counts[section] { position = skipRecord(position, section) } }
        precondition(position == bytes.count, "an answer ends with its last record")
    }

    private func number(_ offset: Int) -> Int {
        precondition(offset + 2 <= bytes.count, "an answer is whole")
        return Int(bytes[offset]) << 8 | Int(bytes[offset + 1])
    }

    private mutating func skipRecord(_ start: Int, _ section: Int) -> Int {
        let fields = skipName(start)
        let type = number(fields), length = number(fields + 8), data = fields + 10
        precondition(data + length <= bytes.count, "a record's data is there")
        switch type {
        case 1: precondition(length == 4, "an A record has four bytes")
        case 28: precondition(length == 16, "an AAAA record has sixteen")
        case 2, 5, 39: precondition(skipName(data) == data + length, "a name fills its record")
        case 15: precondition(skipName(data + 2) == data + length, "a mail exchange fills its record")
        case 6: precondition(skipName(skipName(data)) + 20 == data + length, "an SOA fills its record")
        case 41:
            precondition(section == 3 && bytes[start] == 0, "OPT is the root's, at the end")
            optCount += 1
            var option = data
            while option < data + length {
                options.append(number(option))
                option += 4 + number(option + 2)
            }
            precondition(option == data + length, "options fill their record")
        case 250:
            precondition(section == 3 && data + length == bytes.count, "TSIG is the last record")
            tsigCount += 1
        default: break
        }
        return data + length
    }

    /// The offset behind a name, each pointer of which leads back to where a name can be read.
    private func skipName(_ start: Int) -> Int {
        var position = start, end: Int?
        var length = 0
        while true {
            precondition(position < bytes.count, "a name is whole")
            let byte = Int(bytes[position])
            if byte >= 0xC0 {
                let target = number(position) & 0x3FFF
                precondition(target >= 12 && target < position, "a pointer leads back")
                end = end ?? position + 2
                position = target
            } else {
                precondition(byte < 64, "a label has 63 bytes at most")
                length += 1 + byte
                precondition(length <= 255, "a name has 255 bytes at most")
                position += 1 + byte
                if byte == 0 { return end ?? position }
            }
        }
    }
}
