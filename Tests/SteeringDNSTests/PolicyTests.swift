import DNSTestSupport
import Testing

/// Which policy answers whom.
@Suite struct PolicyTests {
    private func server(
        _ policies: [String], lists: [String: String] = [:], site: String? = nil
    ) throws -> InProcessServer {
        try InProcessServer(
            Example.policy(of: policies, lists: lists.keys.sorted()), lists.merging(["zone": Example.zone]) { $1 },
            site: site)
    }

    /// The last numbers of the addresses that names have; "NXDOMAIN" and "NODATA" for those without.
    private func numbers(
        _ server: InProcessServer, _ names: [String], _ type: String = "A", from: String? = nil
    ) throws -> [String] {
        try server.ask(names.map { Request("\($0).example.com", type).with { $0.from = from } }).map(\.outcome)
    }

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

    @Test("an address by name or by client is the same each time and on each server, and a fixed one is the first")
    func selections() throws {
        let policies = [
            "name: a, suffix: name.example.com, pool: net, select: name",
            "name: b, suffix: client.example.com, pool: net, select: client",
            "name: c, suffix: fixed.example.com, pool: net, select: fixed", "name: default, pool: net",
        ]
        let one = try server(policies), other = try server(policies)
        let names = (0..<100).map { "host\($0).name" }
        for type in ["A", "AAAA"] {
            let numbers = try numbers(one, names, type)
            #expect(try self.numbers(one, names.map { $0.uppercased() }, type) == numbers)
            #expect(try self.numbers(other, names, type) == numbers)
            // 256 addresses: 100 names have some 83 different ones, and 60 or fewer once in a billion runs.
            #expect(Set(numbers).count > 60)
        }
        func byClient(_ server: InProcessServer, _ name: String, _ host: Int) throws -> [[String]] {
            try server.ask(
                (0..<50).map { network in
                    Request("\(name).client.example.com").with { $0.from = "127.0.\(network).\(host)" }
                }
            ).map(\.addresses)
        }
        let addresses = try byClient(one, "x", 1)
        #expect(Set(addresses).count > 25)
        #expect(try byClient(one, "y", 99) == addresses)
        #expect(try byClient(other, "z", 200) == addresses)
        #expect(try numbers(one, ["a.fixed", "b.fixed"], from: "127.9.9.9") == ["0", "0"])
    }

    @Test("an address by chance is another each time, of the pool, with one TTL")
    func random() throws {
        let server = try server(["name: default, pool: net, ttl: 5"])
        let replies = try server.askBoth(Array(repeating: Request("www.example.com"), count: 200)).map(\.udp)
        #expect(
            replies.allSatisfy { $0.answer.count == 1 && $0.answer[0].hasPrefix("www.example.com. 5 IN A 198.51.100.") }
        )
        // Some 139 different ones of 256.
        #expect(Set(replies.map(\.addresses)).count > 90)
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

    @Test("ends of a prefix, and drained prefixes, are not handed out")
    func leftOut() throws {
        let policy = """
            pools:
              ends: { prefixes: 192.0.2.0/30, without-ends: true }
              drained: { prefixes: 192.0.2.128/30, drained-from: drained }
            names:
              zones: [zone]
              policies: [{ name: a, exact: a.example.com, pool: ends }, { name: default, pool: drained }]

            """
        let server = try InProcessServer(policy, ["zone": Example.zone, "drained": "192.0.2.128/31\n"])
        let replies = try server.askBoth(
            ["a", "b"].flatMap { Array(repeating: Request("\($0).example.com"), count: 60) })
        #expect(Set(replies[..<60].map(\.udp.addresses)) == [["192.0.2.1"], ["192.0.2.2"]])
        #expect(Set(replies[60...].map(\.udp.addresses)) == [["192.0.2.130"], ["192.0.2.131"]])
    }
}
