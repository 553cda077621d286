import DNSTestSupport
import Foundation
import KernelTestSupport

struct Silence: Decodable {
    let answers: Int
    let closed: Bool
}

extension DNSBed {
    /// Asks by UDP and by TCP: the answer, which is the same by both unless it is truncated.
    func ask(_ requests: [Request]) throws -> [Response] {
        try zip(requests, askBoth(requests)).map { request, both in try both.checked(request) }
    }

    func ask(_ request: Request) throws -> Response { try ask([request])[0] }

    func askBoth(_ requests: [Request]) throws -> [Responses] { try client(requests) }

    func silence(_ requests: [Request]) throws -> [Silence] {
        try client(requests.map { $0.with { ($0.do, $0.probe) = ("silence", "www.example.com") } })
    }

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
