import DNSTestSupport
import Testing

/// What names and types have for an answer (RFC 1034, 2308, 4592, 8020, 8482, 8906).
@Suite struct AnswerTests {
    private let server: InProcessServer
    init() throws { server = try InProcessServer.plain() }

    private func negative(_ code: String) -> String { "\(code) qr aa rd\n+ \(Example.soa)" }

    @Test("a name has one address, of the pool and with the TTL of its policy")
    func addresses() throws {
        let replies = try server.ask([
            Request("www.example.com"), Request("www.example.com", "AAAA"), Request("four.example.com"),
            Request("a.b.c.example.com"), Request("txt.example.com"), Request("txt.example.com", "AAAA"),
        ])
        #expect(
            replies.map(\.text) == [
                "NOERROR qr aa rd\nwww.example.com. 60 IN A 203.0.113.7",
                "NOERROR qr aa rd\nwww.example.com. 60 IN AAAA 2001:db8:1::7",
                "NOERROR qr aa rd\nfour.example.com. 30 IN A 203.0.113.4",
                "NOERROR qr aa rd\na.b.c.example.com. 60 IN A 203.0.113.7",
                "NOERROR qr aa rd\ntxt.example.com. 10 IN A 203.0.113.7",
                "NOERROR qr aa rd\ntxt.example.com. 10 IN AAAA 2001:db8:1::7",
            ])
    }

    @Test(
        "a name with addresses has nothing of other types, and the SOA says so for as long as its last field",
        arguments: ["TXT", "MX", "HTTPS", "TYPE666", "NS", "SOA", "CNAME", "DS", "TYPE0", "TYPE65535", "RRSIG"])
    func noData(type: String) throws {
        #expect(try server.ask(Request("www.example.com", type)).text == negative("NOERROR"))
    }

    @Test("a pool without addresses of a family gives nothing, and the name exists")
    func oneFamily() throws {
        #expect(try server.ask(Request("four.example.com", "AAAA")).text == negative("NOERROR"))
    }

    @Test("the least of the SOA's TTL and its last field is how long nothing may be remembered")
    func negativeTTL() throws {
        let zone = "$TTL 90\n@ SOA ns.other. host.other. 1 2 3 4 3600\n@ NS ns.other.\n"
        let server = try InProcessServer(
            "names: { zones: [{ origin: example.net, file: zone }], policies: [{ name: default, outcome: pass }] }",
            ["zone": zone])
        let replies = try server.ask([
            Request("x.example.net"), Request("example.net", "A"), Request("example.net", "SOA"),
        ])
        let soa = "example.net. 90 IN SOA ns.other. host.other. 1 2 3 4 3600"
        #expect(
            replies.map(\.text) == [
                "NXDOMAIN qr aa rd\n+ \(soa)", "NOERROR qr aa rd\n+ \(soa)", "NOERROR qr aa rd\n\(soa)",
            ])
    }

    @Test("below a name that exists there is nothing that is not said (the closest encloser)")
    func encloser() throws {
        for name in [
            "x.ns1", "a.b.ns1", "x.txt", "x.four", "x.ent", "a.x.ent", "x.below.ent", "x.alias", "x.there.wild",
        ] {
            #expect(try server.ask(Request("\(name).example.com")).text == negative("NXDOMAIN"), "\(name)")
            #expect(try server.ask(Request("\(name).example.com", "TXT")).text == negative("NXDOMAIN"), "\(name)")
        }
    }

    @Test("a name that exists because of those below it has nothing")
    func emptyNonTerminals() throws {
        for name in ["ent", "wild", "aliases"] {
            for type in ["A", "AAAA", "TXT", "NS", "ANY"] {
                #expect(
                    try server.ask(Request("\(name).example.com", type)).text == negative("NOERROR"), "\(name) \(type)")
            }
        }
    }

    @Test("a wildcard of the zone stands for names of any number of labels, and not for what is said")
    func wildcards() throws {
        let replies = try server.ask([
            Request("a.wild.example.com"), Request("a.b.c.wild.example.com"), Request("*.wild.example.com"),
            Request("a.*.wild.example.com"), Request("there.wild.example.com"), Request("a.wild.example.com", "TXT"),
            Request("b.aliases.example.com", "AAAA"),
        ])
        #expect(
            replies.map { $0.answer.joined(separator: "|") } == [
                "a.wild.example.com. 600 IN A 192.0.2.99", "a.b.c.wild.example.com. 600 IN A 192.0.2.99",
                "*.wild.example.com. 600 IN A 192.0.2.99", "", "there.wild.example.com. 3600 IN A 192.0.2.98",
                "a.wild.example.com. 600 IN TXT \"wild\"",
                "b.aliases.example.com. 3600 IN CNAME www.example.com.|www.example.com. 60 IN AAAA 2001:db8:1::7",
            ])
        // Below a wildcard itself, which exists, nothing is made of it.
        #expect(replies[3].text == negative("NXDOMAIN"))
        for (name, type) in [("a.wild", "AAAA"), ("there.wild", "TXT")] {
            #expect(try server.ask(Request("\(name).example.com", type)).text == negative("NOERROR"))
        }
    }

    @Test("the top of a zone has its SOA, its name servers with their addresses, and no address by default")
    func apex() throws {
        let replies = try server.ask([
            Request("example.com", "SOA"), Request("example.com", "NS"), Request("example.com", "MX"),
            Request("example.com", "TXT"), Request("example.com", "A"), Request("example.com", "AAAA"),
        ])
        #expect(
            replies[0].text
                == "NOERROR qr aa rd\nexample.com. 7200 IN SOA ns1.example.com. host.example.com. 1 7200 3600 1209600 300"
        )
        #expect(
            replies[1].text == """
                NOERROR qr aa rd
                example.com. 3600 IN NS ns1.example.com.
                example.com. 3600 IN NS ns2.example.com.
                ++ ns1.example.com. 3600 IN A 192.0.2.53
                ++ ns1.example.com. 3600 IN AAAA 2001:db8::53
                ++ ns2.example.com. 3600 IN A 192.0.2.54
                """)
        #expect(replies[2].answer == ["example.com. 3600 IN MX 10 mail.example.com."])
        #expect(replies[3].answer == ["example.com. 3600 IN TXT \"top\""])
        #expect(replies[4].text == negative("NOERROR") && replies[5].text == negative("NOERROR"))
    }

    @Test("names outside of all zones, and other classes, are refused without authority")
    func elsewhere() throws {
        let names = ["www.example.org", "com", ".", "xexample.com", "example.com.example", "localhost"].map {
            Request($0)
        }
        let classes = ["HS", "ANY", "NONE", "CLASS666", "CH"].map { name in
            Request("www.example.com", "TXT").with { $0.class = name }
        }
        for reply in try server.ask(names + classes) { #expect(reply.text == "REFUSED qr rd") }
    }

    @Test("ANY has one record in place of all (RFC 8482), or the alias, or what there is to say of nothing")
    func any() throws {
        let replies = try server.ask(
            ["www", "ns1", "txt", "a.wild", "alias", "x.ns1", "x.sub", "b.aliases"].map {
                Request("\($0).example.com", "ANY")
            })
        let short = "3600 IN HINFO \"RFC8482\" \"\""
        #expect(replies[..<4].map(\.answer) == ["www", "ns1", "txt", "a.wild"].map { ["\($0).example.com. \(short)"] })
        #expect(replies[4].text == "NOERROR qr aa rd\nalias.example.com. 3600 IN CNAME www.example.com.")
        #expect(replies[5].text == negative("NXDOMAIN"))
        #expect(replies[6].answer == [] && replies[6].authority.count == 2)
        #expect(replies[7].answer == ["b.aliases.example.com. 3600 IN CNAME www.example.com."])
    }

    @Test("whole zones and their changes are given to nobody")
    func transfers() throws {
        // IXFR with the SOA that it really has.
        let ixfr = message(
            [1, 0, 1, 0],
            "076578616d706c6503636f6d0000fb0001" + "c00c00060001000000000016" + "0000"
                + "0000000100000002000000030000000400000005")
        let replies = try server.ask([
            Request("example.com", "AXFR"), Request("example.com", "IXFR"), Request("example.org", "AXFR"), ixfr,
        ])
        #expect(replies.map(\.code) == ["REFUSED", "REFUSED", "REFUSED", "REFUSED"])
        #expect(replies.allSatisfy { $0.answer + $0.authority + $0.additional == [] && $0.questions == 1 })
    }

    @Test("types that stand in messages only are no questions")
    func metaTypes() throws {
        let replies = try server.ask(["OPT", "TKEY", "TSIG", "MAILB", "MAILA"].map { Request("www.example.com", $0) })
        #expect(replies.map(\.head) == ["FORMERR qr rd"] + Array(repeating: "NOTIMP qr rd", count: 4))
    }

    @Test("a signed query is told that there is no key for it")
    func signatures() throws {
        let www = "03777777076578616d706c6503636f6d0000010001"
        let algorithm = "0b686d61632d73686132353600"
        let data = algorithm + "0000655f0000012c0020" + String(repeating: "ab", count: 32) + "123400000000"
        func tsig(_ owner: String = "036b657900") -> String {
            owner + "00fa00ff00000000" + hexadecimal(data.count / 2) + data
        }
        let replies = try server.ask([
            message([1, 0, 0, 1], www + tsig()), message([1, 0, 0, 2], www + "00" + opt() + tsig()),
            // The name of the key is www.example.com, and www.example.com.
            message([1, 0, 0, 1], www + tsig("c00c")), message([1, 0, 0, 1], www + tsig("036b6579c010")),
            // It must be the last; its name must lead to the question; its data must be whole.
            message([1, 0, 0, 2], www + tsig() + "00" + opt()), message([1, 0, 0, 1], www + tsig("c00d")),
            message([1, 0, 0, 1], www + tsig("c01d")),
            message([1, 0, 0, 1], www + "036b65790000fa00ff00000000000400000000"),
        ])
        #expect(
            replies.map(\.head) == Array(repeating: "NOTAUTH qr", count: 4) + Array(repeating: "FORMERR qr", count: 4))
        // The same key, algorithm and time, no MAC, the ID of the query and BADKEY (RFC 8945, section 5.3.2).
        let unsigned = algorithm + "0000655f0000012c0000" + "1234" + "0011" + "0000"
        let content = "\\# \(unsigned.count / 2) \(unsigned)"
        #expect(
            replies.map(\.additional) == ["key.", "key.", "www.example.com.", "key.example.com."].map {
                ["\($0) 0 CLASS255 TSIG \(content)"]
            } + [[], [], [], []])
        #expect(replies[1].edns == .init() && replies[0].edns == nil && replies.allSatisfy { $0.answer == [] })
    }

    @Test("in the class CHAOS there is what one asked to be told, and nothing else")
    func chaos() throws {
        func ask(_ server: InProcessServer, _ name: String, _ type: String = "TXT") throws -> String {
            try server.ask(Request(name, type).with { $0.class = "CH" }).text
        }
        #expect(try ask(server, "version.bind") == "NOERROR qr aa rd\nversion.bind. 0 CH TXT \"a test\"")
        #expect(try ask(server, "VERSION.SERVER") == "NOERROR qr aa rd\nVERSION.SERVER. 0 CH TXT \"a test\"")
        #expect(try ask(server, "id.server") == "NOERROR qr aa rd\nid.server. 0 CH TXT \"here\"")
        #expect(try ask(server, "hostname.bind") == "NOERROR qr aa rd\nhostname.bind. 0 CH TXT \"here\"")
        for (name, type) in [
            ("authors.bind", "TXT"), ("version.bind", "A"), ("version.bin", "TXT"), ("www.example.com", "A"),
        ] {
            #expect(try ask(server, name, type) == "REFUSED qr rd")
        }
        let silent = try InProcessServer()
        #expect(try ask(silent, "version.bind") == "REFUSED qr rd")
        #expect(try ask(silent, "id.server") == "REFUSED qr rd")
    }
}
