import DNSTestSupport
import KernelTestSupport
import Testing

/// A running server answers as a responder in this process does, which the tests of answers query; and dnspython reads
/// its answers as they do.
@Suite struct AgreementTests {
    private static let policy = Example.policy(
        of: [
            "name: free, list: customers, attribute: account=free, pool: p1",
            "name: eu, attribute: region=eu, types: A, pool: p2, ttl: 5",
            "name: near, suffix: near.example.com, clients: [127.1.0.0/16, 198.51.100.0/24, \"2001:db8:5::/48\"], pool: p3",
            "name: here, site: here, exact: [four.example.com, p.q.example.com], pool: p4",
            "name: there, site: there, pool: p5",
            "name: wild, suffix: [wild.example.com, aliases.example.com], outcome: pass",
            "name: no, suffix: no.example.com, outcome: refuse",
            "name: by-name, suffix: name.example.com, pool: net, select: name",
            "name: by-client, suffix: client.example.com, pool: net, select: client",
            "name: fixed, suffix: fixed.example.com, pool: net, select: fixed",
            "name: six, suffix: six.example.com, types: AAAA, pool: p6",
            "name: default, pool: p7",
        ], lists: ["customers"], more: "  client-subnet: use\n")
    private static let files = [
        "zone": Example.zone,
        "customers": "One.example.com account=free\ntwo.example.com region=eu\na.b.list.example.com account=free\n",
    ]

    private static let names = [
        "", "www", "one", "two", "a.b.list", "b.list", "near", "four", "p.q", "q", "wild", "there.wild", "*.wild",
        "aliases",
        "no", "name", "client", "fixed", "six", "ns1", "mail", "txt", "ent", "below.ent", "alias", "second", "away",
        "nowhere", "circle", "into", "sub", "ns.sub", "big", "huge",
    ]
    private static let types = [
        "A", "A", "A", "AAAA", "AAAA", "TXT", "MX", "NS", "SOA", "CNAME", "DS", "HTTPS", "ANY", "TYPE666", "AXFR",
        "TKEY",
    ]
    private static let options = [
        (3, ""), (8, "00011800c63364"), (8, "00023000" + "20010db80005"), (8, "00000000"), (8, "000118"),
        (10, "01234567"),
        (12, "0000"), (65_001, "0102"),
    ]

    private func request(_ generator: inout SeededGenerator) -> Request {
        func pick<Element>(_ choices: [Element]) -> Element { choices.randomElement(using: &generator)! }
        let parts = [
            pick(["", "", "x", "x.y"]), pick(Self.names), pick(["example.com", "example.com", "example.org"]),
        ]
        let name = String(
            parts.filter { !$0.isEmpty }.joined(separator: ".").map {
                Bool.random(using: &generator) ? Character($0.uppercased()) : $0
            })
        var request = Request(name, pick(Self.types))
        if pick(Array(0..<20)) == 0 {
            request = Request(pick(["version.bind", "id.server", "other.bind"]), "TXT").with { $0.class = "CH" }
        }
        request.id = pick(Array(0...0xFFFF))
        request.flags = pick([0, 0x0100, 0x0100, 0x0230])
        if pick(Array(0..<20)) == 0 { request.opcode = pick([1, 4, 5]) }
        request.from = pick([nil, nil, "127.1.2.3", "127.0.9.9"])
        if pick([true, true, false]) {
            request = request.edns(
                payload: pick([0, 512, 600, 1_232, 4_096]), version: pick([0, 0, 0, 0, 1]), flags: pick([0, 0x8000]),
                (0..<pick([0, 0, 1, 2])).map { _ in pick(Self.options) })
        }
        return request
    }

    @Test("a server and a responder in this process answer random queries alike, byte for byte")
    func randomQueries() throws {
        let bed = try DNSBed(
            Self.policy, Self.files, options: "--site here --identifier 'a name' --version 'a test'")
        let responder = try InProcessServer(
            Self.policy, Self.files, site: "here",
            options: InProcessServer.unlimited {
                ($0.identifier, $0.version) = (Array("a name".utf8), Array("a test".utf8))
            })
        var generator = SeededGenerator(seed: 1)
        // Every kind of answer is among them.
        let kinds = [
            Request("one.example.com"), Request("two.example.com"), Request("four.example.com"),
            Request("near.example.com").with { $0.from = "127.1.2.3" }, Request("six.example.com", "AAAA"),
            Request("www.example.com"), Request("ns1.example.com"), Request("a.wild.example.com"),
            Request("x.ns1.example.com"), Request("x.sub.example.com"), Request("x.no.example.com"),
            Request("huge.example.com", "TXT"), Request("www.example.com").edns([(8, "0001")]),
            Request("www.example.com").edns(version: 1), Request("www.example.com").edns([(3, "")]),
            Request("www.example.com").with { $0.opcode = 4 },
            Request("version.bind", "TXT").with { $0.class = "CH" },
        ]
        let requests = kinds + (0..<1_000).map { _ in request(&generator) }
        let answers = try responder.askBoth(requests)
        for (request, (one, other)) in zip(requests, zip(try bed.askBoth(requests), answers)) {
            #expect(one.udp.wire == other.udp.wire && one.tcp.wire == other.tcp.wire, "\(request)")
            #expect(one == other, "\(request)")
        }
        #expect(
            Set(answers.map(\.udp.code)) == ["NOERROR", "NXDOMAIN", "REFUSED", "FORMERR", "NOTIMP", "BADVERS"])
        #expect(Set(answers.map(\.udp.outcome)).isSuperset(of: ["1", "2", "3", "4", "6", "7", "53", "99", "NODATA"]))
        #expect(answers.contains { $0.udp.isTruncated } && answers.contains { $0.udp.authority.count > 1 })
    }

    @Test("damaged queries are answered alike, byte for byte")
    func damagedQueries() throws {
        let bed = try DNSBed(Self.policy, Self.files)
        let responder = try InProcessServer(Self.policy, Self.files)
        var generator = SeededGenerator(seed: 2)
        var requests: [Request] = []
        while requests.count < 500 {
            var message = request(&generator).message
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                message[Int.random(in: 2..<message.count, using: &generator)] = UInt8.random(
                    in: 0...255, using: &generator)
            }
            // Responses are not answered. A cookie has the time in it.
            guard let answer = try responder.answer(message, over: .tcp) else { continue }
            guard try Response(answer, to: message).edns?.options.contains(where: { $0.code == 10 }) != true else {
                continue
            }
            requests.append(Request(raw: hexadecimal(message)))
        }
        let answers = try responder.askBoth(requests)
        for (request, (one, other)) in zip(requests, zip(try bed.askBoth(requests), answers)) {
            #expect(one.udp.wire == other.udp.wire && one.tcp.wire == other.tcp.wire, "\(request)")
        }
        #expect(answers.filter { $0.udp.code == "FORMERR" }.count > 50)
    }

    @Test("clients of IPv6 are known by theirs")
    func clientsOfIPv6() throws {
        let policy = """
            pools: { one: 192.0.2.1/32, two: 192.0.2.2/32 }
            names:
              zones: [zone]
              policies: [{ name: a, clients: "::1/128", pool: one }, { name: default, pool: two }]

            """
        let bed = try DNSBed(policy, listen: "[::1]:0")
        #expect(try bed.ask(Request("www.example.com")).addresses == ["192.0.2.1"])
    }
}
