import DNSTestSupport
import SteeringDNS
import Testing

/// Which addresses of its pool a policy gives.
@Suite struct PolicyDrawTests: PolicySuite {
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

    @Test("several addresses in an answer are distinct, of the pool, as many as there are, and counted each")
    func severalAddresses() throws {
        let policies = [
            "name: a, suffix: a.example.com, pool: net, answers: 4, ttl: 7",
            "name: n, suffix: n.example.com, pool: net, answers: 3, select: name",
            "name: c, suffix: c.example.com, pool: net, answers: 3, select: client",
            "name: f, suffix: f.example.com, pool: net, answers: 3, select: fixed",
            "name: default, pool: p1, answers: 16",
        ]
        let server = try InProcessServer(
            Example.policy(of: policies), ["zone": Example.zone],
            options: InProcessServer.unlimited { $0.countsAddresses = true })
        for type in ["A", "AAAA"] {
            let replies = try server.askBoth((0..<100).map { _ in Request("x.a.example.com", type) }).map(\.udp)
            for reply in replies {
                #expect(Set(reply.addresses).count == 4)
                #expect(reply.answer.allSatisfy { $0.hasPrefix("x.a.example.com. 7 IN ") })
            }
            #expect(Set(replies.map { Set($0.addresses) }).count > 90)
            #expect(try server.ask(Request("other.example.com", type)).addresses.count == 1)
        }
        // Each answer was sent by UDP and by TCP, with four addresses of 256.
        #expect(server.counts.byPolicy[0] == 400 && server.counts.byAddress![9].reduce(0, +) == 0)
        let small = try InProcessServer(
            "pools: { web: 192.0.2.0/29 }\nnames: { zones: [zone], policies: [{ name: a, pool: web, answers: 5 }] }",
            ["zone": Example.zone], options: InProcessServer.unlimited { $0.countsAddresses = true })
        _ = try small.askBoth(Array(repeating: Request("x.example.com"), count: 50))
        #expect(small.counts.byAddress![0].reduce(0, +) == 500 && small.counts.byAddress![0].allSatisfy { $0 > 20 })
        let fixed = try server.ask(Request("x.f.example.com"))
        #expect(Set(fixed.addresses) == ["198.51.100.0", "198.51.100.1", "198.51.100.2"])
        let byName = try server.ask(["x", "X", "y"].map { Request("\($0).n.example.com") }).map { Set($0.addresses) }
        #expect(byName[0] == byName[1] && byName[0] != byName[2] && byName[0].count == 3)
        let byClient = try server.ask(
            [9, 200].map { host in Request("x.c.example.com").with { $0.from = "127.3.2.\(host)" } })
        #expect(byClient[0].addresses == byClient[1].addresses && byClient[0].addresses.count == 3)
        let told = server.served.explain(try DNSName("x.a.example.com"), .A)
        #expect(told.draws.count == 4 && told.description.contains("random, 4 addresses, TTL 7 s"))
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
