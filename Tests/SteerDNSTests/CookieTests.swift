import KernelTestSupport
import Testing

/// Cookies (RFC 7873, 9018), and what is sent to those who have none.
@Suite struct CookieTests {
    private static let client = "2464c4abcf10c957"
    private let big = Request("big.example.com", "TXT")

    /// The cookie that a server gives.
    private func cookie(_ bed: DNSBed, from: String? = nil) throws -> String {
        let request = Request("www.example.com").edns([(10, Self.client)]).with { $0.from = from }
        let options = try bed.ask(request).edns!.options
        try verify(options.count == 1 && options[0].code == 10, "\(options)")
        return options[0].data
    }

    @Test("who sends a cookie gets it back with the server's, of RFC 9018's form")
    func form() throws {
        let cookie = try cookie(try DNSBed.plain())
        #expect(cookie.count == 48 && cookie.hasPrefix(Self.client + "01000000"))
    }

    @Test("cookies of other lengths than there are, are mistakes", arguments: [0, 1, 7, 9, 15, 41, 48])
    func lengths(count: Int) throws {
        let reply = try DNSBed.plain().ask(
            Request("www.example.com").edns([(10, String(repeating: "ab", count: count))]))
        #expect(reply.head == "FORMERR qr rd")
    }

    @Test("a server's part that is none of ours is answered, with a good one", arguments: [8, 16, 17, 32])
    func foreign(count: Int) throws {
        let reply = try DNSBed.plain().ask(
            Request("www.example.com").edns([(10, Self.client + String(repeating: "01", count: count))]))
        #expect(reply.head == "NOERROR qr aa rd" && reply.edns!.options[0].data.count == 48)
    }

    /// Asks so often that more is asked for than is sent to somebody unknown.
    private func ask(_ bed: DNSBed, cookie: String?, from: String? = nil) throws -> [Reply] {
        let request = big.edns(cookie.map { [(10, $0)] } ?? []).with { $0.from = from }
        return try bed.askBoth(Array(repeating: request, count: 40)).map(\.udp)
    }

    @Test("over time nobody unknown is sent more than 1.5 times what he sent; a cookie makes one known")
    func limit() throws {
        let secret = "e5e973e5a6b2a43f48e7dc849e37bfcf"
        let files = ["zone": DNSBed.zone, "secret": secret + "\n"]
        let other = try DNSBed(DNSBed.policy, files, limits: true)
        let secretFile = "\(other.folder)/secret"
        let bed = try DNSBed(options: "--cookie-secret \(secretFile)", limits: true)
        let twin = try DNSBed(options: "--cookie-secret \(secretFile)", limits: true)

        let unknown = try ask(bed, cookie: nil)
        // Query and answer with their headers; a cut answer is as long as its query.
        let query = 12 + 21 + 11 + 28
        let sent = unknown.reduce(0) { $0 + $1.size + 28 }
        #expect(sent <= 40 * query * 3 / 2 + 4_096)
        #expect(!unknown[0].isCut && unknown[39].isCut)
        #expect(unknown.allSatisfy { !$0.isCut || $0.size + 28 == query && $0.answer == [] })
        // The network is known by its /24, the client by its address.
        let mine = try cookie(bed)
        #expect(try ask(bed, cookie: mine).allSatisfy { !$0.isCut })
        #expect(try ask(bed, cookie: try cookie(twin)).allSatisfy { !$0.isCut })
        #expect(try ask(bed, cookie: mine, from: "127.0.0.2").contains { $0.isCut })
        #expect(try ask(bed, cookie: try cookie(other)).contains { $0.isCut })
        #expect(
            try ask(bed, cookie: String(mine.dropLast(2)) + (mine.hasSuffix("00") ? "01" : "00")).contains { $0.isCut })
        #expect(try ask(bed, cookie: nil, from: "127.0.1.1").first?.isCut == false)
    }

    @Test("a limit on answers a second cuts some of what is beyond it and drops the others")
    func rate() throws {
        let bed = try DNSBed(options: "--response-rate 5", limits: true)
        let rates: [Rate] = try bed.client([Request("www.example.com").with { ($0.do, $0.answers) = ("burst", 400) }])
        let (whole, cut, lost) = (rates[0].whole, rates[0].cut, rates[0].lost)
        #expect(whole + cut + lost == 400)
        #expect(whole >= 5 && cut > 0 && lost > 0 && cut + lost > whole)
    }

    private struct Rate: Decodable { let whole, cut, lost: Int }
}
