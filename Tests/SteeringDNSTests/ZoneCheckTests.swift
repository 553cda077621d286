import DNSTestSupport
import SteeringDNS
import Testing

@Suite struct ZoneCheckTests {
    /// What every zone needs; it takes up lines 1 to 3.
    private static let top = "@ SOA ns1 hostmaster 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.53\n"

    /// What becomes of records.
    enum Fate {
        case right, warned, refused
    }

    /// What follows the top, its fate, and the line and the sentence of the first problem.
    private static let cases: [(text: String, fate: Fate, line: Int, sentence: String)] = [
        ("www A 192.0.2.1", .right, 0, ""),
        ("@ SOA . . 1 2 3 4 5", .refused, 4, "a second SOA record beside line 1; remove one"),
        ("sub SOA . . 1 2 3 4 5", .refused, 4, "the SOA record of sub.example.com. is not at the origin"),
        ("www.example.org. A 192.0.2.1", .warned, 4, "www.example.org. is outside of the zone example.com., so"),
        ("badexample.com. A 192.0.2.1", .warned, 4, "outside of the zone"),
        ("example.org. SOA . . 1 2 3 4 5", .warned, 4, "outside of the zone"),
        // Aliases.
        (
            "w CNAME a\nw A 192.0.2.1", .refused, 5,
            "the A record of w.example.com. is beside the CNAME record at line 4"
        ),
        ("w A 192.0.2.1\nw CNAME a", .refused, 4, "is beside the CNAME record at line 5"),
        ("w CNAME a\nW CNAME b", .refused, 5, "another CNAME record at line 4"),
        ("@ CNAME a.", .refused, 1, "is beside the CNAME record at line 4"),
        ("w CNAME a\nw CNAME A", .warned, 5, "appears twice"),
        ("w CNAME a", .right, 0, ""),
        ("w DNAME a", .right, 0, ""),
        ("w DNAME a\nw TXT b", .right, 0, ""),
        ("w DNAME a\nw DNAME b", .refused, 5, "another DNAME record at line 4; remove one"),
        ("w DNAME a\nw CNAME b", .refused, 4, "is beside the CNAME record at line 5"),
        ("*.w DNAME a", .right, 0, ""),
        ("w DNAME a\nx.w A 192.0.2.1", .warned, 5, "the A record of x.w.example.com. is below the DNAME record of w"),
        ("y.x.w TXT a\nw DNAME a", .warned, 4, "is below the DNAME record of w.example.com., which redirects it"),
        ("w DNAME a\nx.w NS ns.example.net.", .warned, 5, "is below the DNAME record"),
        ("w DNAME a\nw NS ns.example.net.", .warned, 4, "is at the delegation of that name"),
        (
            "@ DNAME example.org.", .warned, 2,
            "the NS record of example.com. points to ns1.example.com., which is an alias"
        ),
        // Delegations.
        ("sub NS ns.example.net.", .right, 0, ""),
        ("sub NS ns.sub\nns.sub A 192.0.2.1", .right, 0, ""),
        ("sub NS ns.sub\nns.sub AAAA 2001:db8::1\nother.sub A 192.0.2.1", .right, 0, ""),
        ("sub NS sub\nsub A 192.0.2.1", .right, 0, ""),
        ("sub NS ns.example.net.\nsub DS 1 8 9 00", .right, 0, ""),
        (
            "sub NS ns.sub", .warned, 4,
            "ns.sub.example.com., a name server of sub.example.com., is in the delegated zone"
        ),
        ("sub NS sub", .warned, 4, "has no address here"),
        ("sub NS ns.sub\n*.sub A 192.0.2.1", .warned, 4, "has no address here"),
        ("sub NS ns.other\nother NS ns.example.net.", .right, 0, ""),
        (
            "sub NS ns.example.net.\nw.sub TXT a", .warned, 5,
            "the TXT record of w.sub.example.com. is below the delegation of sub"
        ),
        ("w.x.sub TXT a\nsub NS ns.example.net.", .warned, 4, "is below the delegation of sub.example.com."),
        ("sub NS ns.example.net.\nsub TXT a", .warned, 5, "is at the delegation of that name"),
        ("sub NS ns.example.net.\nx.sub NS ns.example.net.", .warned, 5, "is below the delegation of sub.example.com."),
        ("sub NS ns.example.net.\nx.sub DNAME a", .warned, 5, "is below the delegation of sub.example.com."),
        ("sub NS ns.example.net.\nsub CNAME a", .refused, 4, "is beside the CNAME record at line 5"),
        ("w DS 1 8 9 00", .warned, 4, "has no NS record beside it"),
        ("@ DS 1 8 9 00", .warned, 4, "belongs to the zone above"),
        ("*.w NS ns.example.net.", .warned, 4, "the wildcard *.w.example.com. does not delegate"),
        // Targets.
        ("@ NS ns2", .warned, 4, "the NS record of example.com. points to ns2.example.com., which has no address"),
        ("@ NS ns.example.net.", .right, 0, ""),
        ("@ NS ns2\nns2 AAAA 2001:db8::1", .right, 0, ""),
        ("@ NS ns2\nns2 CNAME ns1", .warned, 4, "points to ns2.example.com., which is an alias"),
        ("@ NS ns2\n* A 192.0.2.1", .right, 0, ""),
        ("@ NS ns2.w\nx.w TXT a\n* A 192.0.2.1", .warned, 4, "which has no address"),
        ("@ NS ns2.w\nx.w TXT a\n*.w A 192.0.2.1", .right, 0, ""),
        ("@ NS w\nx.w TXT a\n* A 192.0.2.1", .warned, 4, "which has no address"),
        ("@ NS ns2\n* CNAME ns1", .warned, 4, "which is an alias"),
        (
            "@ NS ns2.sub\nsub NS ns.example.net.", .warned, 4,
            "is in the delegated zone sub.example.com. and has no address"
        ),
        ("w MX 10 m", .warned, 4, "the MX record of w.example.com. points to m.example.com., which has no address"),
        ("w MX 10 m\nm CNAME ns1", .warned, 4, "which is an alias"),
        ("w MX 10 x.m\nm DNAME a", .warned, 4, "which is an alias"),
        ("w MX 10 m.example.net.\nx MX 0 .\ny MX 10 NS1", .right, 0, ""),
        ("w MX 10 m.sub\nsub NS ns.example.net.", .right, 0, ""),
        (
            "w SRV 1 2 3 s", .warned, 4,
            "the SRV record of w.example.com. points to s.example.com., which has no address"
        ),
        ("w SRV 1 2 3 s\ns CNAME ns1", .warned, 4, "which is an alias"),
        ("w SRV 0 0 0 .\nx SRV 1 2 3 ns1", .right, 0, ""),
        ("w SRV 1 2 3 s\ns TXT a", .warned, 4, "which has no address"),
    ]

    private func checked(_ text: String) throws -> CheckedZone {
        let origin = try DNSName("example.com")
        let file = try ZoneFile(Array(text.utf8), named: "zone.txt", origin: origin, defaultTTL: 300)
        return try CheckedZone(file, origin: origin)
    }

    /// The problems for which a zone is refused, or else its warnings.
    private func problems(_ text: String) throws -> (fate: Fate, sentences: [String]) {
        do {
            let warnings = try checked(text).warnings.map(\.description)
            return (warnings.isEmpty ? .right : .warned, warnings)
        } catch let error as ZoneProblems {
            return (.refused, error.problems.map(\.description))
        }
    }

    @Test(
        "records without an answer are refused and other faults are warnings, with the line and a remedy",
        arguments: cases)
    func rules(text: String, fate: Fate, line: Int, sentence: String) throws {
        let found = try problems(Self.top + text)
        #expect(found.fate == fate, "\(found)")
        guard fate != .right else { return }
        #expect(found.sentences.first?.hasPrefix("zone.txt:\(line): ") == true, "\(found)")
        #expect(found.sentences.first?.contains(sentence) == true, "\(found)")
        #expect(found.sentences.allSatisfy { $0.contains("; ") }, "a problem names a remedy: \(found)")
    }

    @Test(
        "records that can never be answered with are left out",
        arguments: [
            ("www.example.org. A 192.0.2.1", 0), ("sub NS ns.example.net.\nw.sub TXT a\nw.sub A 192.0.2.1", 2),
            ("sub NS ns.example.net.\nsub TXT a\nsub DS 1 8 9 00", 2), ("w DNAME a\nx.w A 192.0.2.1", 1),
            ("w DNAME a\nw NS ns.example.net.\nx.w A 192.0.2.1", 2), ("@ DS 1 8 9 00", 0), ("@ DNAME a.", 0),
        ])
    func leftOut(text: String, kept: Int) throws {
        // Below a DNAME record at the origin, ns1 is left out.
        #expect(try checked(Self.top + text).records.count == 3 + kept)
    }

    @Test("zones that are accepted pass named-checkzone", arguments: cases.filter { $0.fate == .right }.map(\.text))
    func bindAccepts(text: String) throws {
        let folder = ZoneFolder()
        let file = folder.write("$TTL 300\n\(Self.top)\(text)\n", to: "zone")
        #expect(try Tool.run("named-checkzone -i local -M fail -S warn example.com \(file)").contains("OK"))
    }

    @Test("a zone without an SOA record is refused, and every problem is told at once") func nothingAtTheTop() throws {
        let (fate, problems) = try problems("w A 192.0.2.1\nv CNAME a\nv CNAME b")
        #expect(
            fate == .refused
                && problems.map { $0.prefix { $0 != ";" } } == [
                    "zone.txt: the zone example.com. has no SOA record",
                    "zone.txt:3: v.example.com. has another CNAME record at line 2",
                ])
    }

    @Test("a zone without NS records is served with a warning, as NSD and Knot serve it") func noServers() throws {
        let zone = try checked("@ SOA ns1 hostmaster 1 2 3 4 5\nw A 192.0.2.1")
        #expect(
            zone.warnings.map(\.description) == [
                "zone.txt: the zone example.com. has no NS record; write one for its origin, or resolvers will not find it"
            ])
        #expect(zone.records.count == 2)
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
            try problems(Self.top + most + last(242)).sentences == [
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

    @Test("a name that is answered elsewhere needs no address in the file") func answeredElsewhere() throws {
        let zone = try checked(Self.top + "@ NS ns2\nw MX 10 m\nw SRV 1 2 3 s\n")
        let policy = ["ns2", "m", "s"].map { "\($0).example.com." }
        #expect(zone.records.count == 6 && zone.warnings.count == 3)
        #expect(zone.warnings { policy.contains($0.description) }.isEmpty)
        #expect(
            zone.warnings { $0.description == "m.example.com." }.map(\.line) == [4, 6],
            "\(zone.warnings)")
        // A policy does not make an alias a name server.
        let alias = try checked(Self.top + "@ NS ns2\nns2 CNAME ns1")
        #expect(alias.warnings { _ in true }.count == 1)
    }

    @Test("the zone of the root is a zone") func root() throws {
        let file = try ZoneFile(
            Array(". 5 SOA a. b. 1 2 3 4 5\n. NS a.\na. A 192.0.2.1\ncom. NS ns.com.\nns.com. A 192.0.2.2".utf8),
            named: "root")
        #expect(try CheckedZone(file, origin: .root).records.count == 5)
    }

    @Test("a target has an address if a zone or a policy gives it one to anybody, and none if that refuses")
    func targets() throws {
        let zone = """
            $TTL 300
            example.com. SOA ns.example.net. h.example.net. 1 2 3 4 5
            example.com. NS ns.example.net.

            """
            + ["exact", "listed", "x.suffix", "near", "refused", "passed", "nobody", "in.inner", "un.inner"].map {
                "example.com. MX 10 \($0).example.com.\n"
            }.joined()
        let inner = """
            $TTL 300
            inner.example.com. SOA ns.example.net. h.example.net. 1 2 3 4 5
            inner.example.com. NS ns.example.net.
            in.inner.example.com. A 192.0.2.1

            """
        let policy = """
            pools: { web: 192.0.2.0/24 }
            names:
              zones: [zone, inner]
              lists: { listed: listed, passed: passed }
              policies:
                - { name: a, exact: exact.example.com, pool: web }
                - { name: b, list: listed, pool: web }
                - { name: c, suffix: suffix.example.com, pool: web }
                - { name: d, exact: near.example.com, clients: 10.0.0.0/8, pool: web }
                - { name: e, exact: refused.example.com, outcome: refuse }
                - { name: f, list: passed, outcome: pass }
                - { name: default, DEFAULT }

            """
        let files = [
            "zone": zone, "inner": inner, "listed": "listed.example.com\n", "passed": "passed.example.com\n",
        ]
        func named(_ text: String) throws -> [String] {
            try NamePolicyFile.parse(text, files).warnings.map { warning in
                String(warning.split(separator: "points to ").last?.prefix { $0 != "." } ?? "")
            }
        }
        #expect(
            try named(policy.replacing("DEFAULT", with: "outcome: pass")) == ["refused", "passed", "nobody", "un"])
        #expect(try named(policy.replacing("DEFAULT", with: "pool: web")) == ["refused", "passed"])
    }
}
