import Foundation
import KernelTestSupport

/// What client.py is asked to do.
struct Request: Encodable {
    var `do` = "ask"
    var name: String?
    var type: String?
    var `class`: String?
    /// The flags of the header as they are in the message; RD unless said.
    var flags: Int?
    var opcode: Int?
    var id: Int?
    var edns: EDNS?
    /// All of the message, in hexadecimal digits, instead.
    var raw: String?
    /// The address that it is sent from.
    var from: String?
    /// For silence: a name that is answered.
    var probe: String?
    var pieces: [String]?
    var answers: Int?
    var waits: Bool?
    /// For what goes on: a file that ends it.
    var until: String?

    init(_ name: String, _ type: String = "A") {
        self.name = name
        self.type = type
    }

    init(raw: String) { self.raw = raw }

    /// With other values.
    func with(_ change: (inout Request) -> Void) -> Request {
        var request = self
        change(&request)
        return request
    }

    func edns(payload: Int = 1_232, version: Int = 0, flags: Int = 0, _ options: [(code: Int, data: String)] = [])
        -> Request
    {
        with {
            $0.edns = EDNS(
                payload: payload, version: version, flags: flags,
                options: options.map { .init(code: $0.code, data: $0.data) })
        }
    }

    struct EDNS: Codable, Equatable {
        var payload = 1_232
        var version = 0
        var flags = 0
        var options: [Option] = []
    }

    struct Option: Codable, Equatable {
        let code: Int
        let data: String

        init(code: Int, data: String) { (self.code, self.data) = (code, data) }

        init(from decoder: any Decoder) throws {
            var container = try decoder.unkeyedContainer()
            (code, data) = (try container.decode(Int.self), try container.decode(String.self))
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.unkeyedContainer()
            try container.encode(code)
            try container.encode(data)
        }
    }
}

/// What an answer says.
struct Reply: Decodable, Equatable {
    let id: Bool
    /// "qr aa rd".
    let flags: String
    let z: Bool
    let opcode: Int
    let code: String
    let questions: Int
    /// Whether the question is the one that was asked, byte for byte.
    let echo: Bool
    let answer, authority, additional: [String]
    let edns: Request.EDNS?
    let size: Int
    /// The query's, where several were asked in one stream.
    let number: Int?

    /// All but the size: "NOERROR qr aa rd", then the records.
    var text: String {
        ([head] + answer + authority.map { "+ \($0)" } + additional.map { "++ \($0)" }).joined(separator: "\n")
    }
    var head: String { "\(code) \(flags)" }
    var isCut: Bool { flags.contains("tc") }
    /// The addresses in the answer.
    var addresses: [String] {
        answer.filter { $0.contains(" A ") || $0.contains(" AAAA ") }.map { String($0.split(separator: " ").last!) }
    }
}

/// The answers to a query by UDP and by TCP.
struct Replies: Decodable {
    let udp, tcp: Reply

    private enum Keys: String, CodingKey { case tcp }

    init(from decoder: any Decoder) throws {
        udp = try Reply(from: decoder)
        tcp = try decoder.container(keyedBy: Keys.self).decode(Reply.self, forKey: .tcp)
    }
}

struct Silence: Decodable {
    let answers: Int
    let closed: Bool
}

extension DNSBed {
    /// Asks by UDP and by TCP: the answer, which is the same by both unless it is cut, with sound headers.
    func ask(_ requests: [Request], file: StaticString = #fileID, line: UInt = #line) throws -> [Reply] {
        try zip(requests, askBoth(requests)).map { request, both in
            let reply = both.udp
            try verify(
                reply.isCut || reply == both.tcp, "\(request): by UDP \(reply)\nby TCP \(both.tcp)", file: file,
                line: line)
            for reply in [both.udp, both.tcp] {
                try verify(
                    reply.id && reply.echo && !reply.z && reply.flags.hasPrefix("qr")
                        && !["ra", "ad", "cd"].contains { reply.flags.contains($0) },
                    "\(request): \(reply)", file: file, line: line)
                try verify(
                    (reply.edns == nil) == (request.edns == nil) || request.raw != nil, "EDNS only if asked: \(reply)")
            }
            try verify(!both.tcp.isCut && reply.size <= 1_232, "\(request): \(both)", file: file, line: line)
            return reply
        }
    }

    func ask(_ request: Request, file: StaticString = #fileID, line: UInt = #line) throws -> Reply {
        try ask([request], file: file, line: line)[0]
    }

    func askBoth(_ requests: [Request]) throws -> [Replies] { try client(requests) }

    func silence(_ requests: [Request]) throws -> [Silence] {
        try client(requests.map { $0.with { ($0.do, $0.probe) = ("silence", "www.example.com") } })
    }

    /// Hexadecimal digits of queries.
    func bytes(_ requests: [Request]) throws -> [String] { try client(requests.map { $0.with { $0.do = "bytes" } }) }

    func client<Answer: Decodable>(_ requests: [Request]) throws -> [Answer] {
        do { return try Self.client(requests, address: address, port: port, folder: folder) } catch {
            throw Unmet(description: "\(error)\nsteer-dns said: \((try? server.error) ?? "nothing")")
        }
    }

    /// Runs client.py.
    static func client<Answer: Decodable>(
        _ requests: [Request], address: String, port: Int, folder: String
    ) throws -> [Answer] {
        let path = "\(folder)/requests-\(UInt64.random(in: 0...UInt64.max))"
        try JSONEncoder().encode(requests).write(to: URL(fileURLWithPath: path))
        let output = try shell(
            "timeout $((5 * PATIENCE)) /usr/bin/python3 \(file("client.py")) \(address) \(port) \(path)")
        return try output.split(separator: "\n").map { line in
            do { return try JSONDecoder().decode(Answer.self, from: Data(line.utf8)) } catch {
                throw Unmet(description: "client.py: \(line): \(error)")
            }
        }
    }
}
