import DNSTestSupport
import KernelTestSupport
import Testing

/// TCP (RFC 7766, 9210). That its answers are those of UDP, every test of answers shows.
@Suite struct StreamTests {
    private func framed(_ message: String) -> String { hexadecimal(message.count / 2) + message }

    private func queries(_ count: Int) -> String {
        let names = ["www", "x.ns1", "huge", "alias", "x.sub"]
        return (0..<count).map { number in
            framed(
                hexadecimal(
                    Request("\(names[number % names.count]).example.com", number % 5 == 2 ? "TXT" : "A").with {
                        $0.id = number
                    }.message))
        }.joined()
    }

    /// What is answered when a stream comes in pieces.
    private func ask(_ bed: DNSBed, _ pieces: [String], answers: Int) throws -> [Response] {
        var request = Request(raw: "")
        (request.do, request.pieces, request.answers) = ("pieces", pieces, answers)
        let replies: [[Response]] = try bed.client([request])
        return replies[0]
    }

    private func check(_ replies: [Response], _ count: Int) {
        let codes = ["NOERROR", "NXDOMAIN", "NOERROR", "NOERROR", "NOERROR"]
        #expect(replies.count == count)
        for reply in replies {
            #expect(reply.id && reply.echo && !reply.isTruncated && reply.code == codes[reply.number! % 5])
        }
        #expect(Set(replies.map(\.number)).count == count)
    }

    @Test("many queries may be sent at once on a connection, and each is answered")
    func pipelined() throws {
        let bed = try DNSBed.plain()
        check(try ask(bed, [queries(500)], answers: 500), 500)
    }

    @Test("a stream may be cut anywhere, in lengths and in messages", arguments: [1, 2, 3, 7, 29, 33, 200])
    func pieces(size: Int) throws {
        let bed = try DNSBed.plain()
        var rest = Substring(queries(20))
        var pieces: [String] = []
        while !rest.isEmpty {
            pieces.append(String(rest.prefix(2 * size)))
            rest = rest.dropFirst(2 * size)
        }
        check(try ask(bed, pieces, answers: 20), 20)
    }

    @Test("a query is answered that something which is no query follows, and then the connection ends")
    func followed() throws {
        let bed = try DNSBed.plain()
        let response = framed(hexadecimal(Request("www.example.com").with { $0.flags = 0x8180 }.message))
        for pieces in [[queries(3) + response], [queries(3), response], [queries(3) + "0002abcd" + queries(2)]] {
            var request = Request(raw: "")
            (request.do, request.pieces, request.answers, request.waits) = ("pieces", pieces, 3, true)
            let ends: [[Ended]] = try bed.client([request])
            #expect(ends[0].compactMap(\.number) == [0, 1, 2] && ends[0].last?.closed == true, "\(ends)")
        }
    }

    private struct Ended: Decodable {
        let number: Int?
        let closed: Bool?
    }

    @Test("a client that has sent all its queries and closes its side gets all answers", arguments: [1, 2_000])
    func halfClosed(count: Int) throws {
        let bed = try DNSBed.plain()
        // 2,000 answers are more than the buffers hold, and the client reads late.
        let huge = framed(hexadecimal(Request("huge.example.com", "TXT").message))
        var request = Request(raw: "")
        (request.do, request.pieces, request.answers) = ("halfClosed", [String(repeating: huge, count: count)], count)
        let halves: [Half] = try bed.client([request])
        #expect(halves[0].answers == count && halves[0].closed)
    }

    private struct Half: Decodable {
        let answers: Int
        let closed: Bool
    }

    private struct End: Decodable { let closed: Bool }

    @Test(
        "a connection that sends no whole message for a while is closed",
        arguments: ["", "00", "0020", "00201234", "0000", "000b1234000000010000000000"])
    func idle(start: String) throws {
        let bed = try DNSBed(options: "--tcp-idle 1")
        var request = Request(raw: "")
        (request.do, request.pieces, request.answers, request.waits) = ("pieces", [start], 0, true)
        let ends: [[End]] = try bed.client([request])
        #expect(ends[0].map(\.closed) == [true])
        #expect(try bed.ask(Request("www.example.com")).addresses == [Example.web])
    }

    private struct Held: Decodable { let closed, open: Int }

    @Test("with all places taken, the connection that has been still for longest makes room")
    func places() throws {
        let bed = try DNSBed(options: "--tcp-connections 10 --tcp-idle 100")
        let held: [Held] = try bed.client([
            Request("www.example.com").with { ($0.do, $0.answers) = ("hold", 25) }
        ])
        // The last were not the stillest.
        #expect(held[0].closed == 15 && held[0].open == 10)
    }

    @Test("with all places of a client taken, its own stillest connection makes room, and nobody else's")
    func placesOfAClient() throws {
        let bed = try DNSBed(options: "--tcp-per-client 10 --tcp-connections 30 --tcp-idle 100")
        let others: [Held] = try bed.client(
            (2...3).map { client in
                Request("www.example.com").with { ($0.do, $0.answers, $0.from) = ("hold", 25, "127.0.0.\(client)") }
            })
        #expect(others.map(\.closed) == [15, 15] && others.map(\.open) == [10, 10])
    }

    private struct Crowd: Decodable {
        let tcp: Int
        let page: Bool
    }

    @Test("connections to the counters that say nothing keep nobody from being answered, nor from the counters")
    func countersAreApart() throws {
        let bed = try DNSBed(options: "--metrics 127.0.0.1:0", under: "prlimit --nofile=256:256")
        var port = 0
        try eventually("the counters are served") {
            let line = try bed.server.output.split(separator: "\n").first { $0.contains("/metrics") } ?? ""
            port = Int(line.split(separator: ":").last?.prefix { $0 != "/" } ?? "") ?? 0
            return port > 0
        }
        let crowd: [Crowd] = try bed.client([
            Request("www.example.com").with { ($0.do, $0.answers, $0.id) = ("crowd", 400, port) }
        ])
        #expect(crowd[0].tcp == 20 && crowd[0].page, "\(crowd)")
        try bed.replace("policy.yaml", with: Example.policy.replacing("203.0.113.7", with: "203.0.113.8"))
        try eventually("the policy is read again") {
            try bed.askBoth([Request("www.example.com")])[0].udp.addresses == ["203.0.113.8"]
        }
    }

    private struct Hoard: Decodable { let held: Int }

    @Test("a client with all the connections that it can have takes up little memory")
    func hoard() throws {
        let bed = try DNSBed(options: "--tcp-idle 100")
        func resident() throws -> Int {
            Int(try shell("awk '/^VmRSS/ { print $2 }' /proc/\(bed.server.pid)/status").trimmingPrefix(" ").dropLast())!
        }
        _ = try bed.ask(Request("www.example.com"))
        let before = try resident()
        let hoard: [Hoard] = try bed.client([Request(raw: "").with { ($0.do, $0.answers) = ("hoard", 1_024) }])
        let after = try resident()
        #expect(hoard[0].held == 1_024 && after - before < 40_000, "\(before) KiB became \(after)")
    }

    @Test("who does not read his answers is not read from, and takes up little memory")
    func unread() throws {
        let bed = try DNSBed(options: "--tcp-idle 100")
        let asked = hexadecimal(Request("huge.example.com", "TXT").message)
        let flood: [Flood] = try bed.client([Request(raw: framed(asked)).with { $0.do = "flood" }])
        let resident = Int(
            try shell("awk '/^VmRSS/ { print $2 }' /proc/\(bed.server.pid)/status").trimmingPrefix(" ").dropLast())!
        // 16 connections, each with more than 10,000 answers of 1.3 kB asked for.
        #expect(flood[0].sent > 16 * 330_000 && resident < 200_000, "\(flood[0].sent) bytes taken, \(resident) KiB")
        #expect(try bed.ask(Request("www.example.com")).addresses == [Example.web])
    }

    private struct Flood: Decodable { let sent: Int }
}
