import AddressPools
import Foundation
import SteeringDNS

/// Zones and policies given as text, and a responder that answers queries from them: what `steer-dns serve` answers,
/// without a process or a socket. Each server has clients of its own.
package final class InProcessServer {
    package let served: ServedData
    private var responder: Responder
    package private(set) var counts: AnswerCounts

    /// Makes a server.
    ///
    /// - Parameters:
    ///   - policy: what the policy file says.
    ///   - files: what the files that it refers to say, by name.
    ///   - site: the site to answer for.
    ///   - options: the responder's, without limits on answers if not given.
    package init(
        _ policy: String = Example.policy, _ files: [String: String] = ["zone": Example.zone], site: String? = nil,
        options: ResponderOptions = InProcessServer.unlimited()
    ) throws {
        served = try NamePolicyFile.parse(policy, files, site: site)
        responder = Responder(options)
        counts = served.counts(byAddress: options.countsAddresses)
    }

    /// Makes a server of zones and policies that were read, without limits on answers.
    package init(_ served: ServedData) {
        self.served = served
        responder = Responder(InProcessServer.unlimited())
        counts = served.counts()
    }

    package static func unlimited(_ change: (inout ResponderOptions) -> Void = { _ in }) -> ResponderOptions {
        var options = ResponderOptions()
        options.limitsResponses = false
        change(&options)
        return options
    }

    /// A server that says who it is.
    package static func plain() throws -> InProcessServer {
        try InProcessServer(
            options: unlimited { ($0.identifier, $0.version) = (Array("here".utf8), Array("a test".utf8)) })
    }

    /// Answers a message; nil if it is not answered.
    package func answer(
        _ message: [UInt8], from client: String? = nil, over transport: Responder.Transport
    ) throws -> [UInt8]? {
        var buffer = [UInt8](
            repeating: 0, count: transport == .udp ? Responder.maximumDatagram : Responder.maximumMessage)
        var span = buffer.mutableSpan
        let size = responder.respond(
            to: message.span, from: try IPAddress(client ?? "127.0.0.1"), over: transport,
            at: .init(seconds: 0, milliseconds: 0), with: served, counting: &counts, into: &span)
        return size == 0 ? nil : Array(buffer[..<size])
    }

    /// Queries over UDP and over TCP.
    package func askBoth(_ requests: [Request]) throws -> [Responses] {
        try requests.map { request in
            let message = request.message
            func reply(_ transport: Responder.Transport) throws -> Response {
                guard let answer = try answer(message, from: request.from, over: transport) else {
                    throw UnexpectedResponse(description: "no answer to \(request)")
                }
                return try Response(answer, to: message)
            }
            return Responses(udp: try reply(.udp), tcp: try reply(.tcp))
        }
    }

    /// Queries over UDP and over TCP: the answer, which is the same by both unless it is truncated.
    package func ask(_ requests: [Request]) throws -> [Response] {
        try zip(requests, askBoth(requests)).map { request, both in try both.checked(request) }
    }

    package func ask(_ request: Request) throws -> Response { try ask([request])[0] }
}

extension NamePolicyFile {
    /// Reads a policy from text, which is called policy.yaml, and the files that it refers to from text by name.
    package static func parse(_ policy: String, _ files: [String: String], site: String? = nil) throws -> ServedData {
        try inFolder(with: files) { folder in
            try parse(Array(policy.utf8), name: "policy.yaml", directory: folder, site: site)
        }
    }

    /// The errors of a policy, one in a line, with the files' names alone; empty if there is none.
    package static func errors(of policy: String, _ files: [String: String]) throws -> String {
        try inFolder(with: files) { folder in
            do {
                _ = try parse(Array(policy.utf8), name: "policy.yaml", directory: folder)
                return ""
            } catch let error as NamePolicyError { return error.description.replacing("\(folder)/", with: "") }
        }
    }

    private static func inFolder<Result>(
        with files: [String: String], _ body: (String) throws -> Result
    ) throws -> Result {
        let folder = FileManager.default.temporaryDirectory.appending(path: "steer-dns-test-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for (name, text) in files {
            try text.write(toFile: "\(folder)/\(name)", atomically: false, encoding: .utf8)
        }
        return try body(folder)
    }
}
