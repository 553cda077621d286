import DNSTestSupport
import Testing

/// The addresses in the additional section.
@Suite struct AdditionalAddressTests {
    private static let zone = """
        $ORIGIN example.com.
        $TTL 300
        @ SOA ns.example.net. host 1 2 3 4 60
        @ NS ns.example.net.
        @ MX 10 mail
        @ MX 20 mail
        @ MX 30 MX.example.org.
        @ MX 40 nowhere
        @ MX 50 pooled
        mail A 192.0.2.25
        mail A 192.0.2.26
        mail AAAA 2001:db8::25
        null MX 0 .
        _sip._tcp SRV 1 2 5060 mail
        _sip._tcp SRV 2 2 5060 mx.example.org.
        www HTTPS 1 . alpn=h2
        www A 192.0.2.80
        svc SVCB 1 www port=1
        alias HTTPS 0 www
        *.wild HTTPS 1 . alpn=h3
        *.wild A 192.0.2.99
        big MX 1 many
        \((0..<300).map { "many A 198.51.100.\($0 % 256)\n" }.prefix(200).joined())

        """
    private static let other = """
        $ORIGIN example.org.
        $TTL 60
        @ SOA ns.example.net. host 1 2 3 4 60
        @ NS ns.example.net.
        mx A 198.51.100.25

        """

    private func server() throws -> InProcessServer {
        try InProcessServer(
            """
            pools: { web: 203.0.113.7/32 }
            names:
              zones: [zone, other]
              policies:
                - { name: pooled, exact: pooled.example.com, pool: web }
                - { name: default, outcome: pass }
            """, ["zone": Self.zone, "other": Self.other])
    }

    private static let mail = [
        "mail.example.com. 300 IN A 192.0.2.25", "mail.example.com. 300 IN A 192.0.2.26",
        "mail.example.com. 300 IN AAAA 2001:db8::25",
    ]

    @Test("MX, SRV, SVCB and HTTPS records come with the addresses that zones have for their targets, once each")
    func targets() throws {
        let server = try server()
        func additional(_ name: String, _ type: String) throws -> [String] {
            let reply = try server.ask(Request("\(name)example.com", type).edns())
            #expect(reply.head == "NOERROR qr aa rd" && !reply.answer.isEmpty, "\(reply.text)")
            return reply.additional.map { $0.replacing("MX.", with: "mx.") }.sorted()
        }
        let mx = "mx.example.org. 60 IN A 198.51.100.25"
        #expect(try additional("", "MX") == Self.mail + [mx])
        #expect(try additional("_sip._tcp.", "SRV") == Self.mail + [mx])
        #expect(try additional("null.", "MX") == [])
        let www = "www.example.com. 300 IN A 192.0.2.80"
        #expect(try additional("www.", "HTTPS") == [www])
        #expect(try additional("svc.", "SVCB") == [www])
        #expect(try additional("alias.", "HTTPS") == [www])
        #expect(try additional("x.wild.", "HTTPS") == ["x.wild.example.com. 300 IN A 192.0.2.99"])
        #expect(server.counts.byKind[2] == 0)
    }

    @Test("addresses that do not fit are left out as whole sets, and the answer is not truncated")
    func limit() throws {
        let both = try server().askBoth([Request("big.example.com", "MX").edns(), Request("example.com", "MX")])
        #expect(both[0].udp.head == "NOERROR qr aa rd" && both[0].udp.additional.isEmpty)
        #expect(both[0].tcp.additional.count == 200)
        #expect(both[1].udp.additional == both[1].tcp.additional && both[1].udp.size < 512)
    }

    @Test("owners of glue are compressed: thirteen servers with two addresses each fit into a datagram")
    func glue() throws {
        let letters = "abcdefghijklm"
        let zone =
            "$ORIGIN com.\n$TTL 300\n@ SOA a.gtld-servers.net. nstld.verisign-grs.com. 1 2 3 4 60\n@ NS ns.example.net.\n"
            + letters.map {
                "sub NS \($0).servers.sub\n\($0).servers.sub A 192.0.2.1\n\($0).servers.sub AAAA 2001:db8::1\n"
            }.joined()
        let server = try InProcessServer(
            "names: { zones: [zone], policies: [{ name: default, outcome: pass }] }", ["zone": zone])
        let reply = try server.ask(Request("www.sub.com").edns())
        #expect(reply.authority.count == 13 && reply.additional.count == 26)
        // The header, the question, 13 name servers relative to the zone, 26 addresses of their names, and OPT.
        #expect(reply.size == 12 + 17 + 13 * (12 + 16) + 13 * (12 + 4 + 12 + 16) + 11)
        #expect(reply.additional.contains("m.servers.sub.com. 300 IN AAAA 2001:db8::1"))
    }
}
