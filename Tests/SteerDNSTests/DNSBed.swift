import DNSTestSupport
import Foundation
import KernelTestSupport

/// A running `steer-dns serve` with files of its own, and clients of it.
final class DNSBed: Sendable {
    let folder: String
    let server: Background
    let address: String
    let port: Int

    /// Starts a server on a free port, and waits until it serves.
    ///
    /// - Parameters:
    ///   - policy: what `policy.yaml` says.
    ///   - files: what other files say, by name.
    ///   - options: more options for the server.
    ///   - limits: whether answers are limited, as they are unless one says otherwise.
    ///   - wrapper: a command that starts the server.
    init(
        _ policy: String = Example.policy, _ files: [String: String] = ["zone": Example.zone], options: String = "",
        limits: Bool = false, listen: String = "127.0.0.1:0", under wrapper: String = ""
    ) throws {
        folder = try Self.folder(policy, files)
        let command = "\(wrapper) \(try Programs.path(of: "steer-dns")) serve --policy \(folder)/policy.yaml"
        let server = try Background(
            "\(command) --listen \(listen) --workers 1 \(limits ? "" : "--no-response-limit") \(options)",
            folder: folder)
        self.server = server
        var place: Substring = ""
        try eventually("steer-dns serves") {
            let output = try server.output
            if let error = try? server.error, error.hasPrefix("steer-dns: ") { throw Unmet(description: error) }
            place = output.split(separator: "\n").first { $0.hasPrefix("serving 1") || $0.hasPrefix("serving [") } ?? ""
            return output.contains("\n")
        }
        let colon = place.lastIndex(of: ":")!
        address = place[..<colon].dropFirst("serving ".count).trimmingCharacters(in: ["[", "]"])
        port = Int(place[place.index(after: colon)...])!
    }

    deinit {
        server.end()
        _ = try? shell("rm -r \(folder)")
    }

    /// A directory with a policy and other files.
    static func folder(_ policy: String, _ files: [String: String]) throws -> String {
        let folder = String(try shell("mktemp -d /tmp/steer-dns-test-XXXXXX").dropLast())
        try shell("chmod 0755 \(folder)")
        for (name, text) in files.merging(["policy.yaml": policy], uniquingKeysWith: { $1 }) {
            try text.write(toFile: "\(folder)/\(name)", atomically: false, encoding: .utf8)
        }
        return folder
    }

    /// Replaces a file in one step, as an editor does.
    func replace(_ name: String, with text: String) throws {
        try text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
    }

    /// What `steer-dns VERB ...` prints, and how it ends.
    static func run(_ arguments: String) throws -> String {
        try shell("\(try Programs.path(of: "steer-dns")) \(arguments) || true")
    }

    static func file(_ name: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(name).path
    }

    /// A server for tests that change nothing. Each has its own: one for all would outlive them.
    static func plain() throws -> DNSBed { try DNSBed(options: "--identifier here --version 'a test'") }
}
