import DNSTestSupport
import Testing

/// EDNS and its options (RFC 6891, 3225, 5001, 7828, 7830, 7871).
@Suite struct EDNSTests {
    private let server: InProcessServer
    init() throws { server = try InProcessServer.plain() }
    private let www = "03777777076578616d706c6503636f6d0000010001"

    @Test("EDNS is of version 0 with room for 1,232 bytes; DO comes back, other flags and unknown options do not")
    func plain() throws {
        let question = Request("www.example.com")
        let replies = try server.ask([
            question.edns(), question.edns(flags: 0x8000), question.edns(flags: 0x7FFF), question.edns(flags: 0xFFFF),
            question.edns(
                payload: 4_096, [(65_001, "0102"), (12, "0000"), (11, ""), (11, "0064"), (5, "08"), (15, "")]),
        ])
        #expect(replies.map { $0.edns!.flags } == [0, 0x8000, 0, 0x8000, 0])
        for reply in replies {
            #expect(reply.edns!.version == 0 && reply.edns!.payload == 1_232 && reply.edns!.options == [])
            #expect(reply.head == "NOERROR qr aa rd" && reply.addresses == [Example.web])
        }
    }

    @Test("answers of every kind have EDNS if it was asked for")
    func everyKind() throws {
        let replies = try server.ask(
            ["x.ns1.example.com", "x.sub.example.com", "www.example.org", "txt.example.com"].map { Request($0).edns() }
                + [Request("example.com", "AXFR").edns(), message([1, 0, 0, 1], www + "00" + opt() + "00")])
        #expect(
            replies.map(\.code) == ["NXDOMAIN", "NOERROR", "REFUSED", "NOERROR", "REFUSED", "FORMERR"])
        #expect(replies.allSatisfy { $0.edns?.version == 0 })
    }

    @Test("other versions are told the own one", arguments: [1, 2, 255])
    func versions(version: Int) throws {
        let reply = try server.ask(Request("www.example.com").edns(version: version, [(3, "")]))
        #expect(reply.head == "BADVERS qr rd" && reply.edns == .init() && reply.answer == [])
    }

    @Test(
        "a broken OPT record is a mistake",
        arguments: [
            // Twice; longer than the message; not the root's; options that overrun it.
            (2, "00" + opt() + "00" + opt()), (1, "00" + opt(length: 1)), (1, "00" + opt("00030000", length: 65_535)),
            (1, "0161" + "00" + opt()), (1, "c00c" + opt()), (1, "00" + opt("000300")),
            (
                1,
                "00"
                    + opt("0003000100")
                    .replacing("0003000100", with: "0003000200")
            ), (1, "00" + opt("00")), (1, "00"), (1, "000029"),
            (1, "80" + opt()), (1, "00" + opt("000a0000")),
        ])
    func broken(count: Int, records: String) throws {
        let reply = try server.ask(message([1, 0, 0, count], www + records))
        #expect(reply.head == "FORMERR qr" && reply.answer == [])
    }

    @Test("what does not fit into a datagram is truncated to the question, and TCP has it all")
    func sizes() throws {
        let big = Request("big.example.com", "TXT"), huge = Request("huge.example.com", "TXT")
        let truncated = [
            big, big.edns(payload: 0), big.edns(payload: 511), big.edns(payload: 512), big.edns(payload: 600), huge,
            huge.edns(payload: 1_232), huge.edns(payload: 4_096), huge.edns(payload: 65_535),
        ]
        for (request, both) in zip(truncated, try server.askBoth(truncated)) {
            #expect(both.udp.head == "NOERROR qr aa tc rd" && both.udp.answer + both.udp.additional == [], "\(request)")
            #expect(both.tcp.head == "NOERROR qr aa rd" && both.tcp.answer.count == 1)
        }
        let whole = try server.ask([big.edns(payload: 1_232), big.edns(payload: 800), big.edns(payload: 65_535)])
        #expect(whole.allSatisfy { $0.head == "NOERROR qr aa rd" && $0.answer.count == 1 && $0.size > 600 })
        // The smallest room in which it fits: 12 and 21 of header and question, 12 and 603 of the record, 11 of OPT.
        let edge = try server.askBoth([big.edns(payload: 659), big.edns(payload: 658)])
        #expect(edge[0].udp.size == 659 && !edge[0].udp.isTruncated)
        #expect(edge[1].udp.isTruncated)
    }

    @Test("an identifier is told who asks (NSID), as far as there is room")
    func identifier() throws {
        let replies = try server.ask([
            Request("www.example.com").edns([(3, "")]), Request("www.example.com").edns([(3, "00")]),
        ])
        #expect(replies.allSatisfy { $0.edns!.options == [.init(code: 3, data: "68657265")] })
        #expect(try InProcessServer().ask(Request("www.example.com").edns([(3, "")])).edns!.options == [])

        let long = try InProcessServer(
            options: InProcessServer.unlimited { $0.identifier = Array(repeating: UInt8(ascii: "i"), count: 255) })
        let name = String(repeating: "a.", count: 121) + "example.com"
        let options = [(3, ""), (10, "0123456789abcdef")]
        let both = try long.askBoth([
            Request(name).edns(payload: 512, options), Request("www.example.com").edns(payload: 512, options),
        ])
        #expect(both[0].udp.size <= 512 && both[0].udp.addresses == [Example.web])
        #expect(both[0].udp.edns!.options.map(\.code) == [10] && both[0].tcp.edns!.options.map(\.code).contains(3))
        #expect(both[1].udp.edns!.options.map(\.code).contains(3))
    }

    @Test("a client's network counts as the client where that is asked for, and comes back with its scope")
    func clientSubnet() throws {
        let policy = """
            pools: { near: 192.0.2.1/32, far: 192.0.2.2/32 }
            names:
              zones: [zone]
              client-subnet: use
              policies:
                - { name: near, clients: [198.51.100.0/24, "2001:db8:5::/48"], pool: near }
                - { name: far, pool: far }

            """
        let server = try InProcessServer(policy)
        let question = Request("www.example.com")
        let subnets = [
            "00011800c63364", "00012000c6336407", "00011800c63365", "00023000" + "20010db80005", "00010000", "00000000",
        ]
        let replies = try server.ask([question] + subnets.map { question.edns([(8, $0)]) })
        let near = ["192.0.2.1"], far = ["192.0.2.2"]
        #expect(replies.map(\.addresses) == [far, near, near, far, near, far, far])
        #expect(
            replies.dropFirst().map { $0.edns!.options.map(\.data) } == [
                ["00011818c63364"], ["00012020c6336407"], ["00011818c63365"], ["00023030" + "20010db80005"],
                ["00010000"], ["00000000"],
            ])
        let malformed = [
            "", "0001", "000118", "00011801c63364", "00012100c633640700", "00011800c6336407", "00011800c633",
            "00011700c63365", "00031800c63364", "00001800c63364", "0002810020010db8",
        ]
        for reply in try server.ask(malformed.map { question.edns([(8, $0)]) }) {
            #expect(reply.code == "FORMERR" && reply.answer == [])
        }
    }

    @Test("an answer that does not depend on the client says so: its scope is 0")
    func clientSubnetScope() throws {
        let policy = """
            pools: { near: 192.0.2.1/32, far: [192.0.2.2/32, "2001:db8::2/128"] }
            names:
              zones: [zone]
              client-subnet: use
              policies:
                - { name: all, exact: all.example.com, pool: far }
                - { name: sticky, exact: sticky.example.com, pool: far, select: client }
                - { name: near, suffix: [near.example.com, wild.example.com], clients: 198.51.100.0/24, pool: near }
                - { name: secret, exact: secret.example.com, clients: 198.51.100.0/24, outcome: refuse }
                - { name: six, suffix: near.example.com, types: AAAA, pool: far }
                - { name: default, outcome: pass }

            """
        let server = try InProcessServer(policy)
        // The answer, and whether it depends on the client.
        let expected: [(name: String, type: String, outcome: String, depends: Bool)] = [
            ("all", "A", "2", false), ("sticky", "A", "2", true), ("near", "A", "1", true),
            ("x.near", "AAAA", "NODATA", false),
            ("secret", "A", "REFUSED", true), ("any.wild", "A", "1", true), ("any.wild", "TXT", "TXT", true),
            // Zone data, delegations and negative answers.
            ("ns1", "A", "53", false), ("mail", "MX", "NODATA", false), ("there.wild", "A", "98", false),
            ("x.sub", "A", "NODATA", false), ("x.near", "MX", "NODATA", false), ("nobody", "A", "NXDOMAIN", false),
            ("x.ns1", "A", "NXDOMAIN", false), ("nowhere", "A", "NXDOMAIN", false), ("into", "A", "NODATA", false),
        ]
        let replies = try server.ask(
            expected.map { Request("\($0.name).example.com", $0.type).edns([(8, "00011800c63364")]) })
        for (reply, expected) in zip(replies, expected) {
            let scope = expected.depends ? "18" : "00"
            #expect(reply.edns!.options.map(\.data) == ["000118\(scope)c63364"], "\(expected)")
            #expect(reply.outcome == expected.outcome || expected.type == "TXT", "\(expected): \(reply.text)")
        }
    }

    @Test("a client's network is of no account unless it is asked for")
    func clientSubnetIgnored() throws {
        let reply = try server.ask(Request("www.example.com").edns([(8, "00011800c63364")]))
        #expect(reply.head == "NOERROR qr aa rd" && reply.edns!.options == [])
    }
}
