import DNSTestSupport
import SteeringDNS
import Testing

@Suite struct ZoneCheckTests {
    /// What every zone needs; it takes up lines 1 to 3.
    private static let top = "@ SOA ns1 hostmaster 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.53\n"

    /// What follows the top, the line of the problem, and its sentence; no sentence where there is no problem.
    private static let cases: [(text: String, line: Int, sentence: String?)] = [
        ("www A 192.0.2.1", 0, nil),
        ("@ SOA . . 1 2 3 4 5", 4, "a second SOA record beside line 1; remove one"),
        ("sub SOA . . 1 2 3 4 5", 4, "the SOA record of sub.example.com. is not at the origin"),
        ("www.example.org. A 192.0.2.1", 4, "www.example.org. is outside of the zone example.com."),
        ("badexample.com. A 192.0.2.1", 4, "outside of the zone"),
        // Aliases.
        ("w CNAME a\nw A 192.0.2.1", 5, "the A record of w.example.com. is beside the CNAME record at line 4"),
        ("w A 192.0.2.1\nw CNAME a", 4, "is beside the CNAME record at line 5"),
        ("w CNAME a\nW CNAME b", 5, "another CNAME record at line 4"),
        ("@ CNAME a.", 1, "is beside the CNAME record at line 4"),
        ("w CNAME a\nw CNAME A", 0, nil),
        ("w CNAME a", 0, nil),
        ("w DNAME a", 4, "DNAME records are not served"),
        // Delegations.
        ("sub NS ns.example.net.", 0, nil),
        ("sub NS ns.sub\nns.sub A 192.0.2.1", 0, nil),
        ("sub NS ns.sub\nns.sub AAAA 2001:db8::1\nother.sub A 192.0.2.1", 0, nil),
        ("sub NS sub\nsub A 192.0.2.1", 0, nil),
        ("sub NS ns.example.net.\nsub DS 1 8 9 00", 0, nil),
        ("sub NS ns.sub", 4, "ns.sub.example.com., a name server of sub.example.com., is in the delegated zone"),
        ("sub NS sub", 4, "has no address here"),
        ("sub NS ns.sub\n*.sub A 192.0.2.1", 4, "has no address here"),
        ("sub NS ns.other\nother NS ns.example.net.", 0, nil),
        (
            "sub NS ns.example.net.\nw.sub TXT a", 5,
            "the TXT record of w.sub.example.com. is below the delegation of sub"
        ),
        ("w.x.sub TXT a\nsub NS ns.example.net.", 4, "is below the delegation of sub.example.com."),
        ("sub NS ns.example.net.\nsub TXT a", 5, "is at the delegation of that name"),
        ("sub NS ns.example.net.\nx.sub NS ns.example.net.", 5, "is below the delegation of sub.example.com."),
        ("sub NS ns.example.net.\nsub CNAME a", 4, "is beside the CNAME record at line 5"),
        ("w DS 1 8 9 00", 4, "has no NS record beside it"),
        ("@ DS 1 8 9 00", 4, "has no NS record beside it"),
        ("*.w NS ns.example.net.", 4, "the wildcard *.w.example.com. cannot be delegated"),
        // Targets.
        ("@ NS ns2", 4, "the NS record of example.com. points to ns2.example.com., which has no address"),
        ("@ NS ns.example.net.", 0, nil),
        ("@ NS ns2\nns2 AAAA 2001:db8::1", 0, nil),
        ("@ NS ns2\nns2 CNAME ns1", 4, "points to ns2.example.com., which is a CNAME"),
        ("@ NS ns2\n* A 192.0.2.1", 0, nil),
        ("@ NS ns2.w\nx.w TXT a\n* A 192.0.2.1", 4, "which has no address"),
        ("@ NS ns2.w\nx.w TXT a\n*.w A 192.0.2.1", 0, nil),
        ("@ NS w\nx.w TXT a\n* A 192.0.2.1", 4, "which has no address"),
        ("@ NS ns2\n* CNAME ns1", 4, "which is a CNAME"),
        ("@ NS ns2.sub\nsub NS ns.example.net.", 4, "is in the delegated zone sub.example.com. and has no address"),
        ("w MX 10 m", 4, "the MX record of w.example.com. points to m.example.com., which has no address"),
        ("w MX 10 m\nm CNAME ns1", 4, "which is a CNAME"),
        ("w MX 10 m.example.net.\nx MX 0 .\ny MX 10 NS1", 0, nil),
        ("w MX 10 m.sub\nsub NS ns.example.net.", 0, nil),
        ("w SRV 1 2 3 s", 4, "the SRV record of w.example.com. points to s.example.com., which has no address"),
        ("w SRV 1 2 3 s\ns CNAME ns1", 0, nil),
        ("w SRV 0 0 0 .\nx SRV 1 2 3 ns1", 0, nil),
        ("w SRV 1 2 3 s\ns TXT a", 4, "which has no address"),
    ]

    private func checked(
        _ text: String, answeredElsewhere: (DNSName) -> Bool = { _ in false }
    ) throws -> CheckedZone {
        let origin = try DNSName("example.com")
        let file = try ZoneFile(Array(text.utf8), named: "zone.txt", origin: origin, defaultTTL: 300)
        return try CheckedZone(file, origin: origin, answeredElsewhere: answeredElsewhere)
    }

    private func problems(_ text: String) throws -> [String] {
        do {
            _ = try checked(text)
            return []
        } catch let error as ZoneProblems {
            return error.problems.map(\.description)
        }
    }

    @Test("records that make no zone are refused with the line and a remedy", arguments: cases)
    func rules(text: String, line: Int, sentence: String?) throws {
        let found = try problems(Self.top + text)
        guard let sentence else {
            #expect(found.isEmpty)
            return
        }
        #expect(found.first?.hasPrefix("zone.txt:\(line): ") == true, "\(found)")
        #expect(found.first?.contains(sentence) == true, "\(found)")
        #expect(found.first?.contains("; ") == true, "a problem names a remedy: \(found)")
    }

    @Test("zones that are accepted pass named-checkzone", arguments: cases.filter { $0.sentence == nil }.map(\.text))
    func bindAccepts(text: String) throws {
        let folder = ZoneFolder()
        let file = folder.write("$TTL 300\n\(Self.top)\(text)\n", to: "zone")
        #expect(try Tool.run("named-checkzone -i local -M fail -S warn example.com \(file)").contains("OK"))
    }

    @Test("a zone without SOA or NS records is refused, and every problem is told at once") func nothingAtTheTop()
        throws
    {
        #expect(
            try problems("w A 192.0.2.1\nx.org. A 192.0.2.1\nv DNAME a").map { $0.prefix { $0 != ";" } } == [
                "zone.txt: the zone example.com. has no SOA record", "zone.txt: the zone example.com. has no NS record",
                "zone.txt:2: x.org. is outside of the zone example.com.", "zone.txt:3: DNAME records are not served",
            ])
    }

    @Test("records without a file or lines are checked too") func noLines() throws {
        let origin = try DNSName("example.com")
        let records = try zone(Self.top + "@ SOA . . 1 2 3 4 5\nw CNAME a\nw CNAME b")
        let error = #expect(throws: ZoneProblems.self) { try CheckedZone(records, origin: origin) }
        #expect(
            error?.description == """
                the zone has a second SOA record beside the first; remove one of them
                w.example.com. has another CNAME record at the first; remove one of them
                """)
        #expect(throws: ZoneProblems.self) { try CheckedZone([], origin: origin) }
    }

    @Test("duplicates are dropped with a warning, whatever the case of names in them") func duplicates() throws {
        let zone = try checked(Self.top + "@ NS NS1.example.COM.\nw A 192.0.2.1\nW 300 A 192.0.2.1\nw TXT a\nw TXT A")
        #expect(
            zone.records.map(ZoneFile.text).suffix(3) == [
                "w.example.com. 300 IN A 192.0.2.1", "w.example.com. 300 IN TXT \"a\"",
                "w.example.com. 300 IN TXT \"A\"",
            ])
        #expect(zone.records.count == 6)
        #expect(
            zone.warnings.map(\.description) == [
                "zone.txt:4: the NS record of example.com. appears twice; remove one",
                "zone.txt:6: the A record of W.example.com. appears twice; remove one",
            ])
    }

    @Test("records of one name and type that fit no answer are refused, and those that fit are answered with")
    func largeSet() throws {
        let string = String(repeating: "x", count: 255)
        // With the header, the question and the OPT record, and one more of 14 strings and one of 241 bytes: 65,535.
        let most = (0..<15).map { "w TXT \(Array(repeating: string, count: 16).joined(separator: " ")) \($0)\n" }
            .joined()
        func last(_ count: Int) -> String {
            "w TXT \(Array(repeating: string, count: 14).joined(separator: " ")) \(string.prefix(count))\n"
        }
        #expect(
            try problems(Self.top + most + last(242)) == [
                "zone.txt:4: the TXT records of w.example.com. need 65536 bytes and fit no answer, which has at most "
                    + "65,535; remove some"
            ])
        let server = try InProcessServer(
            "names: { zones: [zone], policies: [{ name: default, outcome: pass }] }",
            ["zone": "$ORIGIN example.com.\n$TTL 300\n" + Self.top + most + last(241)])
        #expect(try server.askBoth([Request("w.example.com", "TXT").edns()])[0].tcp.answer.count == 16)
    }

    @Test("records of one name and type get the least of their TTLs, with a warning") func levelledTTLs() throws {
        let zone = try checked(Self.top + "w 60 A 192.0.2.1\nw 30 A 192.0.2.2\nw 90 A 192.0.2.3\nw 5 AAAA 2001:db8::1")
        #expect(zone.records.map(\.ttl) == [300, 300, 300, 30, 30, 30, 5])
        #expect(
            zone.warnings.map(\.description) == [
                "zone.txt:5: the TTL 30 differs from 60 of line 4 for w.example.com. A, and 30 is used for all; write the same",
                "zone.txt:6: the TTL 90 differs from 60 of line 4 for w.example.com. A, and 30 is used for all; write the same",
            ])
    }

    @Test("a name that a policy answers for needs no address in the file") func answeredElsewhere() throws {
        let text = Self.top + "@ NS ns2\nw MX 10 m\nw SRV 1 2 3 s\n"
        let policy = ["ns2", "m", "s"].map { "\($0).example.com." }
        #expect(try checked(text, answeredElsewhere: { policy.contains($0.description) }).records.count == 6)
        #expect(throws: ZoneProblems.self) {
            try checked(text, answeredElsewhere: { $0.description == "m.example.com." })
        }
        // A policy does not make a CNAME a name server.
        #expect(throws: ZoneProblems.self) {
            try checked(Self.top + "@ NS ns2\nns2 CNAME ns1", answeredElsewhere: { _ in true })
        }
    }

    @Test("the zone of the root is a zone") func root() throws {
        let file = try ZoneFile(
            Array(". 5 SOA a. b. 1 2 3 4 5\n. NS a.\na. A 192.0.2.1\ncom. NS ns.com.\nns.com. A 192.0.2.2".utf8),
            named: "root")
        #expect(try CheckedZone(file, origin: .root).records.count == 5)
    }
}
