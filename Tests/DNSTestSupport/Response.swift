/// What an answer says: read from a message here, or by client.py.
package struct Response: Decodable, Equatable, Sendable {
    package var id = false
    /// "qr aa rd".
    package var flags = ""
    package var z = false
    package var opcode = 0
    package var code = ""
    package var questions = 0
    /// Whether the response repeats the question of the query byte for byte.
    package var echo = true
    package var answer: [String] = [], authority: [String] = [], additional: [String] = []
    package var edns: Request.EDNS?
    package var size = 0
    /// The whole message, in hexadecimal digits.
    package var wire = ""
    /// The query's identifier, for several queries in one stream.
    package var number: Int?

    init() {}

    /// All but the size: "NOERROR qr aa rd", then the records.
    package var text: String {
        ([head] + answer + authority.map { "+ \($0)" } + additional.map { "++ \($0)" }).joined(separator: "\n")
    }
    package var head: String { "\(code) \(flags)" }
    package var isTruncated: Bool { flags.contains("tc") }
    /// The addresses in the answer.
    package var addresses: [String] {
        answer.filter { $0.contains(" A ") || $0.contains(" AAAA ") }.map { String($0.split(separator: " ").last!) }
    }
    /// The last number of the address in the answer; "NODATA", "NXDOMAIN" or "REFUSED" if there is none.
    package var outcome: String {
        if let address = addresses.last { return String(address.split { ".:".contains($0) }.last!) }
        return code == "NOERROR" ? "NODATA" : code
    }
}

/// The answers to a query by UDP and by TCP.
package struct Responses: Decodable, Equatable, Sendable {
    package let udp, tcp: Response

    private enum Keys: String, CodingKey { case tcp }

    init(udp: Response, tcp: Response) { (self.udp, self.tcp) = (udp, tcp) }

    package init(from decoder: any Decoder) throws {
        udp = try Response(from: decoder)
        tcp = try decoder.container(keyedBy: Keys.self).decode(Response.self, forKey: .tcp)
    }

    /// The answer, which is the same by both unless it is truncated, with sound headers.
    package func checked(_ request: Request) throws -> Response {
        func check(_ isRight: Bool, _ what: String) throws {
            if !isRight { throw UnexpectedResponse(description: "\(what) \(request)\nby UDP \(udp)\nby TCP \(tcp)") }
        }
        try check(udp.isTruncated || udp == tcp, "UDP and TCP differ:")
        for reply in [udp, tcp] {
            try check(
                reply.id && reply.echo && !reply.z && reply.flags.hasPrefix("qr")
                    && !["ra", "ad", "cd"].contains { reply.flags.contains($0) }, "a wrong header:")
            try check((reply.edns == nil) == (request.edns == nil) || request.raw != nil, "EDNS only if asked:")
        }
        try check(!tcp.isTruncated && udp.size <= 1_232, "a wrong size:")
        return udp
    }
}

/// An answer that no server may give, or none where there must be one.
package struct UnexpectedResponse: Error, CustomStringConvertible {
    package let description: String
}
