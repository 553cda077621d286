import DNSTestSupport
import Testing

/// The header and the question (RFC 1035, 2181, 4343, 8906, 9619).
@Suite struct HeaderTests {
    @Test("an answer has the opcode and RD of its query, and no flag that is not its own")
    func flags() throws {
        let server = try InProcessServer()
        let question = Request("www.example.com")
        let replies = try server.ask([
            question, question.with { $0.flags = 0 },
            // TC, AA, RA, Z, AD and CD say nothing in a query.
            question.with { $0.flags = 0x0200 }, question.with { $0.flags = 0x0400 },
            question.with { $0.flags = 0x0080 }, question.with { $0.flags = 0x0040 },
            question.with { $0.flags = 0x0030 }, question.with { $0.flags = 0x07F0 },
        ])
        #expect(
            replies.map(\.flags) == ["qr aa rd", "qr aa", "qr aa", "qr aa", "qr aa", "qr aa", "qr aa", "qr aa rd"])
        #expect(replies.allSatisfy { $0.code == "NOERROR" && $0.opcode == 0 && $0.addresses == [Example.web] })
    }

    @Test("what is an answer itself, or too short for a header, is never answered")
    func silence() throws {
        let server = try InProcessServer()
        let question = Request("www.example.com")
        let answers = [0x8000, 0x8180, 0x8583, 0xFFFF, 0xA000].map { flags in question.with { $0.flags = flags }.message
        }
        for message in answers + [0, 1, 2, 3, 11].map({ Array(question.message.prefix($0)) }) {
            #expect(try server.answer(message, over: .udp) == nil && server.answer(message, over: .tcp) == nil)
        }
        #expect(server.counts.ignored == 20)
    }

    @Test("operations that are not queries are not implemented", arguments: [1, 2, 3, 4, 5, 6, 7, 15])
    func opcodes(opcode: Int) throws {
        let reply = try InProcessServer.plain().ask(Request("www.example.com", "SOA").with { $0.opcode = opcode })
        #expect(reply.head == "NOTIMP qr rd" && reply.opcode == opcode)
        #expect(reply.answer + reply.authority + reply.additional == [])
    }

    @Test("whatever is wrong with a query, its answer has EDNS if it has", arguments: [true, false])
    func errorsWithEDNS(isAsked: Bool) throws {
        let www = "03777777076578616d706c6503636f6d0000010001", record = "c00c00010001000000000004c0000201"
        let opt = isAsked ? "00" + opt() : "", count = isAsked ? 1 : 0
        // NOTIFY with the new SOA, UPDATE with a prerequisite and a change, two questions, none, an answer.
        let requests = [
            message([1, 1, 0, count], www + record + opt, flags: "2400"),
            message([1, 1, 1, count], www + record + record + opt, flags: "2800"),
            message([0, 0, 0, count], opt, flags: "1000"), message([2, 0, 0, count], www + www + opt),
            message([0, 0, 0, count], opt), message([1, 1, 0, count], www + record + opt),
        ]
        let replies = try InProcessServer.plain().ask(requests)
        #expect(replies.map(\.code) == ["NOTIMP", "NOTIMP", "NOTIMP", "FORMERR", "FORMERR", "FORMERR"])
        #expect(replies.allSatisfy { $0.edns == (isAsked ? .init() : nil) }, "\(replies.map(\.wire))")
    }

    @Test("a query has one question, and nothing but EDNS and the like behind it")
    func counts() throws {
        let www = "03777777076578616d706c6503636f6d0000010001"
        let record = "c00c00010001000000000004c0000201"
        let replies = try InProcessServer.plain().ask([
            message([0, 0, 0, 0], ""), message([2, 0, 0, 0], www + www), message([0, 0, 0, 1], "00" + opt()),
            message([1, 1, 0, 0], www + record), message([1, 0, 1, 0], www + record), message([65535, 0, 0, 0], www),
            message([1, 0, 0, 1], www), message([1, 0, 0, 0], www + "00"), message([1, 0, 0, 0], www + record),
        ])
        #expect(replies.map(\.code) == Array(repeating: "FORMERR", count: 9))
        // A record that nobody needs, of a class and type without a name.
        #expect(try InProcessServer.plain().ask(message([1, 0, 0, 1], www + record)).head == "NOERROR qr aa")
    }

    @Test("a query without a question is for a cookie")
    func cookieAlone() throws {
        let reply = try InProcessServer.plain().ask(message([0, 0, 0, 1], "00" + opt("000a00080123456789abcdef")))
        #expect(reply.head == "NOERROR qr" && reply.questions == 0)
        #expect(reply.edns?.options.first?.data.hasPrefix("0123456789abcdef") == true)
    }

    @Test(
        "a name that is no name is a mistake, however it is none",
        arguments: [
            "c00c00010001", "0377777740\(String(repeating: "61", count: 64))0000010001", "03777777800000010001",
            "03777777", "0377777700", "037777770000", "0377777700000100", "3f6161", "",
            String(repeating: "3f" + String(repeating: "61", count: 63), count: 4) + "0000010001",
            String(repeating: "0161", count: 127) + "016100" + "00010001", "03777777c00c00010001",
        ])
    func names(question: String) throws {
        let reply = try InProcessServer.plain().ask(message([1, 0, 0, 0], question))
        #expect(reply.head == "FORMERR qr" && reply.questions == 0)
    }

    @Test("the longest name there is can be asked for")
    func longest() throws {
        let label = String(repeating: "a", count: 63)
        let name = "\(label).\(label).\(label).\(String(repeating: "a", count: 49)).example.com"
        let labels = String(repeating: "a.", count: 121) + "example.com"
        let replies = try InProcessServer.plain().ask([Request(name), Request(labels)])
        #expect(replies.allSatisfy { $0.head == "NOERROR qr aa rd" && $0.addresses == [Example.web] })
    }

    @Test("letters may be large or small, and come back as they were asked (0x20)")
    func letters() throws {
        let replies = try InProcessServer.plain().ask([
            Request("wWw.eXAMPle.CoM"), Request("TXT.Example.com", "TXT"), Request("SECOND.EXAMPLE.COM"),
            Request("A.WILD.example.COM"), Request("HOST.Sub.EXAMPLE.com"), Request("X.NS1.example.com"),
        ])
        #expect(replies[0].text == "NOERROR qr aa rd\nwWw.eXAMPle.CoM. 60 IN A 203.0.113.7")
        #expect(replies[1].answer == ["TXT.Example.com. 3600 IN TXT \"said by the zone\""])
        #expect(replies[2].answer.contains("SECOND.EXAMPLE.COM. 3600 IN CNAME alias.EXAMPLE.COM."))
        #expect(replies[3].answer == ["A.WILD.example.COM. 600 IN A 192.0.2.99"])
        #expect(replies[4].authority.contains("Sub.EXAMPLE.com. 3600 IN NS ns.elsewhere.net."))
        #expect(replies[5].code == "NXDOMAIN" && replies[5].authority[0].hasPrefix("example.com. 300 IN SOA"))
    }
}
