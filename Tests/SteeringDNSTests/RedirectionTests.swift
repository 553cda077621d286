import DNSTestSupport
import SteeringDNS
import Testing

/// DNAME records (RFC 6672).
@Suite struct RedirectionTests {
    private static let zone = """
        $ORIGIN example.com.
        $TTL 300
        @ SOA ns.example.net. host 1 2 3 4 60
        @ NS ns.example.net.
        d 600 DNAME new
        d TXT "beside"
        www.new A 192.0.2.1
        alias.new CNAME www.new
        deep.a.new TXT "deep"
        away DNAME example.net.
        root DNAME .
        chain DNAME d
        into CNAME www.d
        again DNAME step
        step.step TXT "not reached"
        round DNAME round2
        round2 DNAME round
        *.wild DNAME new
        sub DNAME host.cut
        cut NS ns.example.net.
        pool DNAME pools
        other DNAME inner.example.org
        long DNAME \(String(repeating: "\(String(repeating: "l", count: 50)).", count: 4))example.com.

        """
    private static let other = """
        $ORIGIN inner.example.org.
        $TTL 300
        @ SOA ns.example.net. host 1 2 3 4 60
        @ NS ns.example.net.
        www A 192.0.2.2
        b.c DNAME example.com.

        """
    private let server: InProcessServer

    init() throws {
        server = try InProcessServer(
            """
            pools: { web: 203.0.113.7/32 }
            names:
              zones: [zone, other]
              policies:
                - { name: pools, suffix: pools.example.com, pool: web, ttl: 60 }
                - { name: default, outcome: pass }
            """,
            ["zone": Self.zone.replacing("inner.example.org", with: "inner.example.org."), "other": Self.other])
    }

    private func ask(_ name: String, _ type: String = "A") throws -> String {
        try server.ask(Request(name.hasSuffix(".org") ? name : "\(name).example.com", type)).text
    }

    private static let soa = "+ example.com. 60 IN SOA ns.example.net. host.example.com. 1 2 3 4 60"

    @Test("a name below a DNAME record leads to the same name below its target, with a CNAME record of the same TTL")
    func substitution() throws {
        let head = "NOERROR qr aa rd\nd.example.com. 600 IN DNAME new.example.com."
        #expect(
            try ask("WWW.d") == """
                NOERROR qr aa rd
                WWW.d.example.com. 600 IN CNAME WWW.new.example.com.
                WWW.new.example.com. 300 IN A 192.0.2.1
                d.example.com. 600 IN DNAME new.example.com.
                """)
        #expect(
            try ask("deep.a.d", "TXT")
                == "\(head)\ndeep.a.d.example.com. 600 IN CNAME deep.a.new.example.com.\n"
                + "deep.a.new.example.com. 300 IN TXT \"deep\"")
        #expect(
            try ask("alias.d") == """
                NOERROR qr aa rd
                alias.d.example.com. 600 IN CNAME alias.new.example.com.
                alias.new.example.com. 300 IN CNAME www.new.example.com.
                d.example.com. 600 IN DNAME new.example.com.
                www.new.example.com. 300 IN A 192.0.2.1
                """)
        // Its own name has the records beside it.
        #expect(try ask("d", "DNAME") == head)
        #expect(try ask("d", "TXT") == "NOERROR qr aa rd\nd.example.com. 300 IN TXT \"beside\"")
        #expect(try ask("d") == "NOERROR qr aa rd\n\(Self.soa)")
        // The answer to CNAME is the record that was made.
        #expect(
            try ask("x.d", "CNAME") == "\(head)\nx.d.example.com. 600 IN CNAME x.new.example.com.")
    }

    @Test("the response code is that of the last name")
    func ends() throws {
        #expect(
            try ask("x.d") == "NXDOMAIN qr aa rd\nd.example.com. 600 IN DNAME new.example.com.\n"
                + "x.d.example.com. 600 IN CNAME x.new.example.com.\n\(Self.soa)")
        #expect(try ask("www.d", "MX").hasSuffix("www.d.example.com. 600 IN CNAME www.new.example.com.\n\(Self.soa)"))
        #expect(
            try ask("www.away") == "NOERROR qr aa rd\naway.example.com. 300 IN DNAME example.net.\n"
                + "www.away.example.com. 300 IN CNAME www.example.net.")
        #expect(
            try ask("www.root") == "NOERROR qr aa rd\nroot.example.com. 300 IN DNAME .\n"
                + "www.root.example.com. 300 IN CNAME www.")
        #expect(
            try ask("x.sub").hasSuffix(
                "x.sub.example.com. 300 IN CNAME x.host.cut.example.com.\n+ cut.example.com. 300 IN NS ns.example.net.")
        )
    }

    @Test("chains of DNAME and CNAME records are followed, through other zones and policies, and loops end")
    func chains() throws {
        #expect(
            try ask("www.chain") == """
                NOERROR qr aa rd
                chain.example.com. 300 IN DNAME d.example.com.
                d.example.com. 600 IN DNAME new.example.com.
                www.chain.example.com. 300 IN CNAME www.d.example.com.
                www.d.example.com. 600 IN CNAME www.new.example.com.
                www.new.example.com. 300 IN A 192.0.2.1
                """)
        #expect(
            try ask("into") == """
                NOERROR qr aa rd
                d.example.com. 600 IN DNAME new.example.com.
                into.example.com. 300 IN CNAME www.d.example.com.
                www.d.example.com. 600 IN CNAME www.new.example.com.
                www.new.example.com. 300 IN A 192.0.2.1
                """)
        #expect(
            try ask("a.pool").hasSuffix(
                "a.pools.example.com. 60 IN A 203.0.113.7\npool.example.com. 300 IN DNAME pools.example.com."))
        #expect(try ask("www.other").contains("\nwww.inner.example.org. 300 IN A 192.0.2.2\n"))
        // The second record replaces labels that the first brought.
        #expect(
            try ask("www.new.b.c.other") == """
                NOERROR qr aa rd
                b.c.inner.example.org. 300 IN DNAME example.com.
                other.example.com. 300 IN DNAME inner.example.org.
                www.new.b.c.inner.example.org. 300 IN CNAME www.new.example.com.
                www.new.b.c.other.example.com. 300 IN CNAME www.new.b.c.inner.example.org.
                www.new.example.com. 300 IN A 192.0.2.1
                """)
        #expect(try ask("x.round").hasPrefix("NOERROR qr aa rd\nround.example.com. 300 IN DNAME"))
    }

    @Test("a target that is too long is YXDOMAIN, with the DNAME record")
    func tooLong() throws {
        let fits = String(repeating: "a", count: 37), tooLong = fits + "a"
        #expect(try ask("\(fits).long").hasPrefix("NXDOMAIN qr aa rd\n"))
        let reply = try server.ask(Request("\(tooLong).long.example.com"))
        #expect(reply.head == "YXDOMAIN qr aa rd" && reply.answer.count == 1 && reply.answer[0].contains(" DNAME "))
        #expect(reply.authority == [])
    }

    @Test("a DNAME record at a wildcard redirects nothing that the wildcard matches, but names below the asterisk")
    func wildcards() throws {
        #expect(try ask("x.wild") == "NOERROR qr aa rd\n\(Self.soa)")
        #expect(try ask("x.wild", "DNAME") == "NOERROR qr aa rd\nx.wild.example.com. 300 IN DNAME new.example.com.")
        #expect(try ask("www.*.wild").hasSuffix("www.new.example.com. 300 IN A 192.0.2.1"))
    }

    @Test("records and policies below a DNAME record are hidden: the first with a warning, the others as an error")
    func hidden() throws {
        let files = ["zone": Self.zone + "www.d A 192.0.2.9\n", "list": "host.d.example.com\n", "other": Self.other]
        let policy = "names: { zones: [zone, other], lists: { l: list }, policies: [POLICY{ name: z, outcome: pass }] }"
        let server = try InProcessServer(
            policy.replacing("POLICY", with: "{ name: l, list: l, outcome: pass }, "), files)
        #expect(try server.ask(Request("www.d.example.com")).answer.last?.hasSuffix("192.0.2.1") == true)
        #expect(server.served.warnings.contains { $0.contains("is below the DNAME record of d.example.com.") })
        let errors = try NamePolicyFile.errors(
            of: policy.replacing("POLICY", with: "{ name: a, exact: www.d.example.com, outcome: refuse }, "), files)
        #expect(
            errors.contains("www.d.example.com., which a DNAME record in a zone redirects: remove one"), "\(errors)")
    }
}
