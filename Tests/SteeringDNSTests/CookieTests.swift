import DNSTestSupport
import Testing

/// Cookies (RFC 7873, 9018).
@Suite struct CookieTests {
    private static let client = "2464c4abcf10c957"

    @Test("who sends a cookie gets it back with the server's, of RFC 9018's form")
    func form() throws {
        let options = try InProcessServer.plain().ask(Request("www.example.com").edns([(10, Self.client)])).edns!
            .options
        let cookie = options[0].data
        #expect(
            options.count == 1 && options[0].code == 10 && cookie.count == 48
                && cookie.hasPrefix(Self.client + "01000000"))
    }

    @Test("cookies of other lengths than there are, are mistakes", arguments: [0, 1, 7, 9, 15, 41, 48])
    func lengths(count: Int) throws {
        let reply = try InProcessServer.plain().ask(
            Request("www.example.com").edns([(10, String(repeating: "ab", count: count))]))
        #expect(reply.head == "FORMERR qr rd")
    }

    @Test("a server's part that is none of ours is answered, with a good one", arguments: [8, 16, 17, 32])
    func foreign(count: Int) throws {
        let reply = try InProcessServer.plain().ask(
            Request("www.example.com").edns([(10, Self.client + String(repeating: "01", count: count))]))
        #expect(reply.head == "NOERROR qr aa rd" && reply.edns!.options[0].data.count == 48)
    }
}
