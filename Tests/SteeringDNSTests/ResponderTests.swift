import AddressPools
import Glibc
import Testing

@testable import SteeringDNS

/// What a responder answers to messages, without sockets.
@Suite struct ResponderTests {
    @Test("a name may have as many labels as 255 bytes have room for", arguments: [1, 125, 127])
    func labels(count: Int) throws {
        let name = Array(repeating: [1, UInt8(ascii: "a")], count: count - 1).joined() + [1, UInt8(ascii: "b"), 0]
        let query = message(question: Array(name) + [0, 1, 0, 1])
        var server = try AskedResponder()
        let answer = server.ask(query)
        #expect(answer.count == query.count && answer[3] & 15 == ResponseCode.refused.rawValue)
    }

    @Test("with the server's name and a cookie an answer that the limit cuts is whole, and short", arguments: [1, 200])
    func limitedIdentifier(length: Int) throws {
        var options = ResponderOptions()
        options.identifier = Array(repeating: UInt8(ascii: "n"), count: length)
        var server = try AskedResponder(options)
        let question = www + [0, 1, 0, 1]
        let options8: [UInt8] = [0, 3, 0, 0, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]
        let query = message(question: question, additional: [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 16] + options8)
        // The question and EDNS; what an address takes; and the server's name, which only a whole answer has.
        let cut = 12 + question.count + 11 + 28, whole = cut + 16 + 4 + length
        var received = 0, sent = 0, cuts = 0
        for _ in 0..<200 {
            let answer = server.ask(query)
            received += query.count + 28
            sent += answer.count + 28
            #expect(2 * sent <= 3 * received + 2 * Int(ResponseLimiter.burst))
            let isTruncated = answer[2] & Header.truncated != 0
            #expect(answer.count == (isTruncated ? cut : whole))
            // One OPT record, the options of which end with the message, the cookie's last.
            let optionsSize = isTruncated ? 28 : 28 + 4 + length
            let record = Array(answer.suffix(11 + optionsSize))
            #expect(Array(answer[10..<12]) == [0, 1] && Array(record[..<3]) == [0, 0, 41])
            #expect(Array(record[9..<11]) == [0, UInt8(optionsSize)])
            #expect(Array(record.suffix(28).prefix(12)) == [0, 10, 0, 24, 1, 2, 3, 4, 5, 6, 7, 8])
            cuts += isTruncated ? 1 : 0
        }
        // What is sent of a short name is less than 1.5 times what comes.
        #expect(length == 1 ? cuts == 0 : cuts > 50 && server.counts.limited == UInt64(cuts))
    }

    @Test("a datagram that is longer than any query gets no answer, and is counted")
    func longDatagram() throws {
        let server = NameServer(try served(), ResponderOptions())
        let loopback = try SocketAddress("127.0.0.1:0")
        let socket = try ServerSocket.datagrams(on: loopback), client = try ServerSocket.datagrams(on: loopback)
        var place = sockaddr_in()
        place.sin_family = sa_family_t(AF_INET)
        place.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let local = socket.localAddress
        place.sin_port = try #require(local).port.bigEndian
        let query = message(question: www + [0, 1, 0, 1])
        for message in [query, query + [UInt8](repeating: 0, count: 1_300), query] {
            let sent = withUnsafePointer(to: &place) { place in
                place.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    sendto(client.descriptor, message, message.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            #expect(sent == message.count)
        }
        var worker = try DatagramServer(socket, of: server)
        // What has come in is still answered.
        server.stop()
        worker.run(server)
        let totals = server.counts().totals
        #expect(totals.datagrams == 3 && totals.ignored == 1)
        #expect(totals.byKind[AnswerCounts.Kind.address.rawValue] == 2)
        var buffer = [UInt8](repeating: 0, count: 2_000)
        let received = (0..<3).map { _ in recv(client.descriptor, &buffer, buffer.count, CInt(MSG_DONTWAIT)) }
        #expect(received == [query.count + 16, query.count + 16, -1])
    }

    @Test("a datagram is answered up to the size that EDNS announces", arguments: [1_216, 1_217, 1_231, 1_232])
    func longestDatagram(size: Int) throws {
        let server = NameServer(try served(), ResponderOptions())
        let socket = try ServerSocket.datagrams(on: try SocketAddress("127.0.0.1:0"))
        let client = try ServerSocket.datagrams(on: try SocketAddress("127.0.0.1:0"))
        var place = sockaddr_in()
        place.sin_family = sa_family_t(AF_INET)
        place.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let local = socket.localAddress
        place.sin_port = try #require(local).port.bigEndian
        // Padding (RFC 7830) fills it up.
        let question = www + [0, 1, 0, 1], padding = size - 12 - question.count - 15
        let option = [0, 12, UInt8(padding >> 8), UInt8(padding & 255)] + [UInt8](repeating: 0, count: padding)
        let length = [UInt8(option.count >> 8), UInt8(option.count & 255)]
        let query = message(question: question, additional: [0, 0, 41, 4, 208, 0, 0, 0, 0] + length + option)
        #expect(query.count == size)
        let sent = withUnsafePointer(to: &place) { place in
            place.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(client.descriptor, query, query.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        #expect(sent == size)
        var worker = try DatagramServer(socket, of: server)
        server.stop()
        worker.run(server)
        var buffer = [UInt8](repeating: 0, count: 2_000)
        let received = recv(client.descriptor, &buffer, buffer.count, CInt(MSG_DONTWAIT))
        #expect(received == 12 + question.count + 16 + 11 && buffer[3] & 15 == 0)
    }

    @Test("counts by address outlive reloads that add, enlarge and take away pools")
    func countsAcrossReloads() throws {
        var options = ResponderOptions()
        options.countsAddresses = true
        let server = NameServer(try served(pool: "203.0.113.0/31"), options)
        var worker = server.makeWorker()
        func ask() {
            let answer = worker.answer(
                message(question: www + [0, 1, 0, 1]), from: IPAddress(ipv4: 0xC000_0201),
                at: .init(seconds: 0, milliseconds: 0))
            #expect(answer.count > 12)
        }
        // The number of addresses of the pool "web" in force, and of its answers since it has that size.
        for (pools, size, answers) in [
            ([("web", "203.0.113.0/31")], 2, 1), ([("web", "203.0.113.0/29")], 8, 1),
            ([("new", "192.0.2.0/24"), ("web", "203.0.113.0/29")], 8, 2), ([("web", "203.0.113.0/30")], 4, 1),
        ] {
            server.replace(with: try served(pools: pools))
            ask()
            let counts = server.counts()
            let web = try #require(counts.byAddress["web"])
            #expect(web.count == size && web.reduce(0, +) == UInt64(answers))
            #expect(counts.totals.byAddress == nil)
        }
        #expect(server.counts().byPool == ["web": 4])
    }

    @Test("kinds of answers have the same names in metrics, whatever the code calls them")
    func kinds() {
        #expect(
            AnswerCounts.Kind.allCases.map(\.label) == [
                "address", "records", "noData", "noSuchName", "referral", "refused", "malformed", "notImplemented",
                "server",
            ])
    }

    @Test("a name that is refused is refused for every type, and the policy is told")
    func refusal() throws {
        let served = try SteeringDNSTests.served(.refuse)
        for type in [RecordType.A, .AAAA, .TXT, .MX, .ANY] {
            let explanation = served.explain(try DNSName("www.example.com"), type)
            #expect(explanation.policy == "default" && explanation.answer == "refused (REFUSED)")
        }
    }

    @Test("a policy whose pool lacks the family is told, and has not answered with an address")
    func missingFamily() throws {
        let explanation = try served().explain(try DNSName("www.example.com"), .AAAA)
        #expect(explanation.policy == "default" && explanation.answer == "no record of this type (NOERROR)")
        var server = try AskedResponder()
        _ = server.ask(message(question: www + [0, 28, 0, 1]))
        #expect(server.counts.byPolicy == [0])
        _ = server.ask(message(question: www + [0, 1, 0, 1]))
        #expect(server.counts.byPolicy == [1])
    }
}
