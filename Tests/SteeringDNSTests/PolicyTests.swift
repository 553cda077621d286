import DNSTestSupport
import SteeringDNS
import Testing

/// Which policy answers whom.
@Suite struct PolicyTests: PolicySuite {
    @Test("the first policy that matches decides, whatever comes later")
    func order() throws {
        let server = try server([
            "name: a, exact: a.x.example.com, pool: p1", "name: b, suffix: x.example.com, types: A, pool: p2",
            "name: c, exact: [a.x.example.com, c.x.example.com], types: AAAA, pool: p3",
            "name: d, suffix: example.com, pool: p4",
            "name: e, pool: p5",
        ])
        #expect(try numbers(server, ["a.x", "b.x", "c.x", "x", "d"]) == ["1", "2", "2", "2", "4"])
        #expect(try numbers(server, ["a.x", "b.x", "c.x", "x", "d"], "AAAA") == ["1", "4", "3", "4", "4"])
    }

    @Test("a suffix is of whole labels; a name is all of a name; the top of a zone may be said")
    func names() throws {
        let server = try server([
            "name: a, exact: [A.example.com, example.com], pool: p1",
            "name: b, suffix: [b.example.com, c.b.example.com], pool: p2",
            "name: default, outcome: pass",
        ])
        #expect(
            try numbers(server, ["a", "b", "x.b", "c.b", "x.y.c.b", "xb", "b.a", "z"])
                == ["1", "2", "2", "2", "2", "NXDOMAIN", "NXDOMAIN", "NXDOMAIN"])
        #expect(try server.ask(Request("EXAMPLE.com")).addresses == ["192.0.2.1"])
    }

    @Test("lists give names attributes, in whatever case, and a name may be in several")
    func lists() throws {
        let customers = """
            # customers
            One.example.com account=free
            two.example.com   account=paid region=eu  # since May

            three.example.com
            a.b.four.example.com account=free
            """
        let others = "two.example.com.\nfive.example.com account=free\nONE.example.com region=us\n"
        let server = try server(
            [
                "name: a, list: customers, attribute: account=free, pool: p1",
                "name: b, attribute: region=eu, pool: p2",
                "name: c, list: others, suffix: example.com, pool: p3", "name: d, list: customers, types: A, pool: p4",
                "name: default, outcome: pass",
            ], lists: ["customers": customers, "others": others])
        #expect(
            try numbers(server, ["one", "ONE", "two", "three", "a.b.four", "five", "six", "x.one"])
                == ["1", "1", "2", "4", "1", "3", "NXDOMAIN", "NXDOMAIN"])
        // Names above listed ones exist, and nothing is below them that is not said.
        #expect(try numbers(server, ["b.four", "four", "x.four"]) == ["NODATA", "NODATA", "NXDOMAIN"])
        #expect(try numbers(server, ["three", "one"], "AAAA") == ["NODATA", "1"])
    }

    @Test("clients are known by their address, and a site by the server's name")
    func clientsAndSites() throws {
        let policies = [
            "name: a, clients: [127.1.0.0/16, 127.2.2.2/32], pool: p1",
            "name: b, site: here, exact: a.example.com, pool: p2",
            "name: c, site: there, pool: p3", "name: default, pool: p4",
        ]
        let nowhere = try server(policies), here = try server(policies, site: "here")
        let there = try server(policies, site: "there")
        for (client, expected) in [("127.1.255.255", "1"), ("127.2.2.2", "1"), ("127.2.2.3", "4"), ("127.0.0.1", "4")] {
            #expect(try numbers(nowhere, ["a"], from: client) == [expected])
        }
        #expect(try numbers(here, ["a", "b"]) == ["2", "4"])
        #expect(try numbers(there, ["a", "b"]) == ["3", "3"])
    }

    @Test("what a policy passes, the zone answers; what it refuses is refused")
    func outcomes() throws {
        let server = try server([
            "name: a, suffix: wild.example.com, outcome: pass", "name: b, suffix: no.example.com, outcome: refuse",
            "name: default, pool: p1",
        ])
        #expect(
            try numbers(server, ["a.wild", "there.wild", "x.no", "no", "other"]) == [
                "99", "98", "REFUSED", "REFUSED", "1",
            ])
        for type in ["AAAA", "TXT", "MX", "ANY"] {
            #expect(try numbers(server, ["x.no", "no"], type) == ["REFUSED", "REFUSED"])
        }
        let reply = try server.ask(Request("x.no.example.com"))
        #expect(reply.text == "REFUSED qr rd")
    }

    @Test("a name exists for every type, family and client, or for none")
    func existence() throws {
        let server = try server([
            "name: a, suffix: six.example.com, types: AAAA, pool: p1",
            "name: b, suffix: only4.example.com, types: AAAA, outcome: pass",
            "name: c, exact: deep.er.example.com, pool: p2", "name: d, suffix: far.away.example.com, pool: p3",
            "name: e, suffix: near.example.com, clients: 127.1.0.0/16, pool: p4",
            "name: f, suffix: none.example.com, outcome: pass",
            "name: g, suffix: only4.example.com, pool: p5", "name: h, exact: both.example.com, outcome: pass",
            "name: i, exact: x.both.example.com, pool: p6",
            "name: default, outcome: pass",
        ])
        #expect(
            try numbers(
                server, ["x.six", "x.only4", "er", "deep.er", "x.er", "away", "x.away", "far.away", "x.near", "x.none"])
                == ["NODATA", "5", "NODATA", "2", "NXDOMAIN", "NODATA", "NXDOMAIN", "3", "NODATA", "NXDOMAIN"])
        for type in ["A", "AAAA", "TXT", "ANY"] { #expect(try numbers(server, ["both"], type) == ["NODATA"]) }
        #expect(try numbers(server, ["x.both", "y.both"]) == ["6", "NXDOMAIN"])
        #expect(
            try numbers(server, ["x.six", "x.only4", "x.near", "x.none"], "AAAA") == [
                "1", "NODATA", "NODATA", "NXDOMAIN",
            ])
        #expect(
            try numbers(server, ["x.six", "x.only4", "er", "away", "x.near", "x.none"], "TXT")
                == ["NODATA", "NODATA", "NODATA", "NODATA", "NODATA", "NXDOMAIN"])
    }

    @Test("clients are those of a file as well, looked up among a hundred thousand prefixes")
    func clientFiles() throws {
        let prefixes = (0..<100_000).map { "10.\($0 >> 12 & 255).\($0 >> 4 & 255).\(($0 & 15) * 16)/29 # \($0)\n" }
        let policy = Example.policy(of: [
            "name: a, clients-from: many, pool: p1", "name: b, clients: 192.0.2.0/24, clients-from: few, pool: p2",
            "name: default, pool: p3",
        ])
        let server = try InProcessServer(
            policy, ["zone": Example.zone, "many": prefixes.joined(), "few": "\n# v6\n2001:db8::/32\r\n"])
        let asked = [
            ("10.0.0.0", "1"), ("10.0.0.7", "1"), ("10.0.0.8", "3"), ("10.24.105.247", "1"), ("10.24.105.248", "3"),
            ("10.24.106.0", "3"), ("192.0.2.9", "2"), ("2001:db8:9::1", "2"), ("2001:db9::1", "3"),
        ]
        for (client, expected) in asked {
            #expect(try numbers(server, ["a"], from: client) == [expected], "\(client)")
        }
    }

    @Test("policies by client decide in their order, however many there are and whatever else they ask for")
    func manyClients() throws {
        var policies = (0..<300).map {
            "name: c\($0), clients: 127.0.\($0 % 250).\($0 / 250 * 128)/25, pool: p\($0 % 5 + 1)"
        }
        policies.insert("name: b, clients: 127.0.7.0/28, types: AAAA, pool: p6", at: 0)
        policies.insert("name: l, list: l, pool: p7", at: 100)
        policies += ["name: e, clients: \"2001:db8::/32\", pool: p8", "name: default, pool: p9"]
        let server = try server(policies, lists: ["l": "l.example.com\n"])
        for client in 0..<300 {
            let from = "127.0.\(client % 250).\(client / 250 * 128 + 3)", own = "\(client % 5 + 1)"
            #expect(try numbers(server, ["x"], from: from) == [own])
            #expect(try numbers(server, ["l"], from: from) == [client < 99 ? own : "7"])
        }
        #expect(try numbers(server, ["x"], "AAAA", from: "127.0.7.9") == ["6"])
        #expect(try numbers(server, ["x"], "AAAA", from: "127.0.7.16") == ["3"])
        for (client, own) in [("127.1.0.1", "9"), ("2001:db8::1", "8"), ("2001:db9::1", "9"), ("126.255.255.255", "9")]
        {
            #expect(try numbers(server, ["x"], from: client) == [own], "\(client)")
        }
    }

    @Test("a policy whose pool is drained or empty is passed over, and its names exist")
    func drained() throws {
        func server(drained: String, empty: String = "", _ last: String) throws -> InProcessServer {
            let policy = """
                pools:
                  web: { prefixes: [192.0.2.1/32, "2001:db8::1/128"], drained-from: drained }
                  spare: [192.0.2.2/32, "2001:db8::2/128"]
                  later: { prefixes-from: later }
                names:
                  zones: [zone]
                  policies:
                    - { name: later, exact: later.example.com, pool: later }
                    - { name: web, suffix: web.example.com, pool: web }
                    - { name: default, \(last) }

                """
            return try InProcessServer(policy, ["zone": Example.zone, "drained": drained, "later": empty])
        }
        let names = ["x.web", "later", "y"]
        let before = try server(drained: "", empty: "192.0.2.3/32\n", "pool: spare")
        #expect(try numbers(before, names) == ["1", "3", "2"])
        #expect(try numbers(before, names, "AAAA") == ["1", "NODATA", "2"])
        let half = try server(drained: "192.0.2.1/32", "pool: spare")
        #expect(try numbers(half, names) == ["2", "2", "2"])
        #expect(try numbers(half, names, "AAAA") == ["1", "2", "2"])
        let all = try server(drained: "192.0.2.0/24\n2001:db8::/64\n", "pool: spare")
        #expect(try numbers(all, names, "AAAA") == ["2", "2", "2"])
        // Nothing is behind it: the names exist, and have no address for now.
        let alone = try server(drained: "192.0.2.0/24\n2001:db8::/64\n", "outcome: pass")
        for type in ["A", "AAAA", "TXT"] {
            #expect(try numbers(alone, names, type) == ["NODATA", "NODATA", "NXDOMAIN"])
        }
        let told = all.served.explain(try DNSName("x.web.example.com"), .A)
        #expect(told.policy == "default")
        #expect(told.reasons.contains("web does not match: all addresses of its pool are drained"))
    }

    @Test("a name that a policy answers has the other types of the zone's wildcard, but no CNAME")
    func otherTypes() throws {
        let zone = """
            $ORIGIN example.com.
            $TTL 300
            @ SOA ns1 host 1 2h 1h 2w 300
            @ NS ns1
            ns1 A 192.0.2.53
            * 600 MX 10 ns1
            * HTTPS 1 . alpn=h2
            * CAA 0 issue "ca.example"
            * A 192.0.2.99
            *.alias CNAME ns1
            said TXT "the zone's own"

            """
        let server = try InProcessServer(
            Example.policy(
                of: [
                    "name: listed, list: l, pool: p1", "name: passed, exact: passed.example.com, outcome: pass",
                    "name: alias, suffix: alias.example.com, pool: p3",
                    "name: default, suffix: sub.example.com, pool: p2", "name: last, outcome: pass",
                ], lists: ["l"]), ["zone": zone, "l": "a.example.com\nb.c.example.com\nsaid.example.com\n"])
        for (name, address) in [("a", "1"), ("b.c", "1"), ("x.y.sub", "2"), ("other", "99"), ("passed", "99")] {
            #expect(try numbers(server, [name]) == [address])
            let mail = try server.ask(Request("\(name).example.com", "MX")).answer
            #expect(mail == ["\(name).example.com. 600 IN MX 10 ns1.example.com."])
            for type in ["HTTPS", "CAA"] {
                #expect(try server.ask(Request("\(name).example.com", type)).answer.count == 1, "\(name) \(type)")
            }
            #expect(try server.ask(Request("\(name).example.com", "TXT")).text.hasPrefix("NOERROR qr aa rd\n+ "))
        }
        // An empty non-terminal has nothing, a name in the zone what it has there, and a CNAME is alone.
        #expect(try server.ask(Request("c.example.com", "MX")).answer == [])
        #expect(try server.ask(Request("said.example.com", "MX")).answer == [])
        #expect(try server.ask(Request("said.example.com", "TXT")).answer.count == 1)
        #expect(try numbers(server, ["x.alias"]) == ["3"])
        for type in ["CNAME", "MX"] { #expect(try numbers(server, ["x.alias"], type) == ["NODATA"]) }
    }
}
