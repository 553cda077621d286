import DNSTestSupport
import KernelTestSupport
import Testing

/// What is sent to clients that have no cookie (RFC 7873, 9018).
@Suite struct ResponseLimitTests {
    private static let client = "2464c4abcf10c957"
    private let big = Request("big.example.com", "TXT")

    /// The cookie that a server gives.
    private func cookie(_ bed: DNSBed, from: String? = nil) throws -> String {
        let request = Request("www.example.com").edns([(10, Self.client)]).with { $0.from = from }
        let options = try bed.ask(request).edns!.options
        try verify(options.count == 1 && options[0].code == 10, "\(options)")
        return options[0].data
    }

    /// Asks so often that more is asked for than is sent to somebody unknown.
    private func ask(_ bed: DNSBed, cookie: String?, from: String? = nil) throws -> [Response] {
        let request = big.edns(cookie.map { [(10, $0)] } ?? []).with { $0.from = from }
        return try bed.askBoth(Array(repeating: request, count: 40)).map(\.udp)
    }

    @Test("over time nobody unknown is sent more than 1.5 times what he sent; a cookie makes one known")
    func limit() throws {
        let secret = "e5e973e5a6b2a43f48e7dc849e37bfcf"
        let files = ["zone": Example.zone, "secret": secret + "\n"]
        let other = try DNSBed(Example.policy, files, limits: true)
        let secretFile = "\(other.folder)/secret"
        let bed = try DNSBed(options: "--cookie-secret \(secretFile)", limits: true)
        let twin = try DNSBed(options: "--cookie-secret \(secretFile)", limits: true)

        let unknown = try ask(bed, cookie: nil)
        // Query and answer with their headers; a cut answer is as long as its query.
        let query = 12 + 21 + 11 + 28
        let sent = unknown.reduce(0) { $0 + $1.size + 28 }
        #expect(sent <= 40 * query * 3 / 2 + 4_096)
        #expect(!unknown[0].isTruncated && unknown[39].isTruncated)
        #expect(unknown.allSatisfy { !$0.isTruncated || $0.size + 28 == query && $0.answer == [] })
        // The network is known by its /24, the client by its address.
        let mine = try cookie(bed)
        #expect(try ask(bed, cookie: mine).allSatisfy { !$0.isTruncated })
        #expect(try ask(bed, cookie: try cookie(twin)).allSatisfy { !$0.isTruncated })
        #expect(try ask(bed, cookie: mine, from: "127.0.0.2").contains { $0.isTruncated })
        #expect(try ask(bed, cookie: try cookie(other)).contains { $0.isTruncated })
        #expect(
            try ask(bed, cookie: String(mine.dropLast(2)) + (mine.hasSuffix("00") ? "01" : "00")).contains {
                $0.isTruncated
            })
        #expect(try ask(bed, cookie: nil, from: "127.0.1.1").first?.isTruncated == false)
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
