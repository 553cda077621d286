import DNSTestSupport
import Testing

/// Aliases and delegations (RFC 1034, 2181, 6604, 9471).
@Suite struct AliasTests {
    private let server: InProcessServer
    init() throws { server = try InProcessServer.plain() }

    @Test("an alias leads to what policies say of its target, through other aliases")
    func aliases() throws {
        let replies = try server.ask([
            Request("alias.example.com"), Request("second.example.com", "AAAA"), Request("alias.example.com", "CNAME"),
            Request("alias.example.com", "TXT"),
        ])
        #expect(
            replies.map(\.text) == [
                "NOERROR qr aa rd\nalias.example.com. 3600 IN CNAME www.example.com.\nwww.example.com. 60 IN A 203.0.113.7",
                """
                NOERROR qr aa rd
                alias.example.com. 3600 IN CNAME www.example.com.
                second.example.com. 3600 IN CNAME alias.example.com.
                www.example.com. 60 IN AAAA 2001:db8:1::7
                """,
                "NOERROR qr aa rd\nalias.example.com. 3600 IN CNAME www.example.com.",
                "NOERROR qr aa rd\nalias.example.com. 3600 IN CNAME www.example.com.\n+ \(Example.soa)",
            ])
    }

    @Test("an alias that leads out of the zone, to nothing or around, is answered as far as it goes")
    func ends() throws {
        let replies = try server.ask(["away", "nowhere", "circle"].map { Request("\($0).example.com") })
        #expect(
            replies.map(\.text) == [
                "NOERROR qr aa rd\naway.example.com. 3600 IN CNAME www.example.org.",
                "NXDOMAIN qr aa rd\nnowhere.example.com. 3600 IN CNAME x.ns1.example.com.\n+ \(Example.soa)",
                """
                NOERROR qr aa rd
                circle.example.com. 3600 IN CNAME round.example.com.
                round.example.com. 3600 IN CNAME circle.example.com.
                """,
            ])
    }

    private static let referral = """
        + sub.example.com. 3600 IN NS ns.elsewhere.net.
        + sub.example.com. 3600 IN NS ns.sub.example.com.
        ++ ns.sub.example.com. 3600 IN A 198.51.100.53
        ++ ns.sub.example.com. 3600 IN AAAA 2001:db8:99::53
        """

    @Test("names at and below a delegation are referred to its servers, with glue and without authority")
    func delegations() throws {
        for (name, type) in [
            ("sub", "A"), ("sub", "NS"), ("sub", "SOA"), ("a.b.sub", "A"), ("ns.sub", "A"), ("ns.sub", "TXT"),
            ("x.sub", "DS"), ("sub", "ANY"),
        ] {
            #expect(
                try server.ask(Request("\(name).example.com", type)).text == "NOERROR qr rd\n\(Self.referral)",
                "\(name) \(type)")
        }
        // DS is the upper zone's to have.
        #expect(try server.ask(Request("sub.example.com", "DS")).text == "NOERROR qr aa rd\n+ \(Example.soa)")
        #expect(
            try server.ask(Request("into.example.com")).text
                == "NOERROR qr aa rd\ninto.example.com. 3600 IN CNAME host.sub.example.com.\n\(Self.referral)")
    }

    @Test("of two zones that are served, the inner one speaks of its names")
    func innerZone() throws {
        let outer = """
            $ORIGIN example.com.
            $TTL 300
            @ SOA ns host 1 2 3 4 60
            @ NS ns
            ns A 192.0.2.1
            inner NS ns.inner
            ns.inner A 192.0.2.2
            into CNAME www.inner
            a.deep NS ns

            """
        let inner = """
            $ORIGIN inner.example.com.
            $TTL 300
            @ SOA ns.example.com. host 1 2 3 4 50
            @ NS ns.example.com.
            www A 192.0.2.3
            back CNAME ns.example.com.

            """
        let deep = inner.replacing("inner", with: "a.deep")
        let server = try InProcessServer(
            "names: { zones: [inner, outer, deep], policies: [{ name: default, outcome: pass }] }",
            ["outer": outer, "inner": inner, "deep": deep])
        let replies = try server.ask([
            Request("www.inner.example.com"), Request("ns.inner.example.com"), Request("into.example.com"),
            Request("back.inner.example.com"), Request("deep.example.com"),
        ])
        #expect(
            replies.map(\.text) == [
                "NOERROR qr aa rd\nwww.inner.example.com. 300 IN A 192.0.2.3",
                "NXDOMAIN qr aa rd\n+ inner.example.com. 50 IN SOA ns.example.com. host.inner.example.com. 1 2 3 4 50",
                "NOERROR qr aa rd\ninto.example.com. 300 IN CNAME www.inner.example.com.\nwww.inner.example.com. 300 IN A 192.0.2.3",
                "NOERROR qr aa rd\nback.inner.example.com. 300 IN CNAME ns.example.com.\nns.example.com. 300 IN A 192.0.2.1",
                "NOERROR qr aa rd\n+ example.com. 60 IN SOA ns.example.com. host.example.com. 1 2 3 4 60",
            ])
    }

    @Test("DS at the name of a zone is answered by the zone above, if that is served, too")
    func delegationSigners() throws {
        func zone(_ name: String, _ more: String) -> String {
            "$TTL 300\n\(name). SOA ns.example.net. h.example.net. 1 2 3 4 60\n\(name). NS ns.example.net.\n\(more)\n"
        }
        let files = [
            "outer": zone(
                "example.com",
                "in.example.com. NS ns.example.net.\nin.example.com. DS 1 8 9 0123\n"
                    + "un.example.com. NS ns.example.net.\ncut.example.com. NS ns.example.net."),
            "in": zone("in.example.com", "x.in.example.com. TXT x"), "un": zone("un.example.com", ""),
            "no": zone("no.example.com", ""), "deep": zone("deep.cut.example.com", ""), "top": zone("example.org", ""),
        ]
        let server = try InProcessServer(
            "names: { zones: [\(files.keys.sorted().joined(separator: ", "))], policies: [{ name: d, outcome: pass }] }",
            files)
        func ask(_ name: String, _ type: String = "DS") throws -> String { try server.ask(Request(name, type)).text }
        let soa = "+ example.com. 60 IN SOA ns.example.net. h.example.net. 1 2 3 4 60"
        #expect(try ask("in.example.com") == "NOERROR qr aa rd\nin.example.com. 300 IN DS \\# 6 000108090123")
        // Without DS records in the delegation; without a delegation; below another delegation; without a zone above.
        #expect(try ask("un.example.com") == "NOERROR qr aa rd\n\(soa)")
        #expect(try ask("no.example.com") == "NOERROR qr aa rd\n\(soa)")
        #expect(try ask("deep.cut.example.com") == "NOERROR qr rd\n+ cut.example.com. 300 IN NS ns.example.net.")
        #expect(
            try ask("example.org")
                == "NOERROR qr aa rd\n+ example.org. 60 IN SOA ns.example.net. h.example.net. 1 2 3 4 60")
        // All else is the inner zone's.
        #expect(try ask("in.example.com", "NS") == "NOERROR qr aa rd\nin.example.com. 300 IN NS ns.example.net.")
        #expect(try ask("x.in.example.com").contains("+ in.example.com. 60 IN SOA"))
    }
}
