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
        _ policy: String = DNSBed.policy, _ files: [String: String] = ["zone": DNSBed.zone], options: String = "",
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

    /// What the rows of the behaviour table are about.
    static let zone = """
        $ORIGIN example.com.
        $TTL 3600
        @ 7200 SOA ns1 host 1 2h 1h 2w 300
        @ NS ns1
        @ NS ns2
        @ MX 10 mail
        @ TXT "top"
        ns1 A 192.0.2.53
        ns1 AAAA 2001:db8::53
        ns2 A 192.0.2.54
        mail A 192.0.2.25
        txt TXT "said by the zone"
        below.ent TXT "deep"
        alias CNAME www
        Second CNAME alias
        away CNAME www.example.org.
        nowhere CNAME x.ns1
        circle CNAME round
        round CNAME circle
        into CNAME host.sub
        *.wild 600 A 192.0.2.99
        *.wild 600 TXT "wild"
        there.wild A 192.0.2.98
        *.aliases CNAME www
        sub NS ns.sub
        sub NS ns.elsewhere.net.
        ns.sub A 198.51.100.53
        ns.sub AAAA 2001:db8:99::53
        big TXT "\(String(repeating: "b", count: 200))" "\(String(repeating: "i", count: 200))" "\(String(repeating: "g", count: 200))"
        huge TXT "\(String(repeating: "h", count: 250))" "\(String(repeating: "u", count: 250))" "\(String(repeating: "g", count: 250))" "\(String(repeating: "e", count: 250))" "\(String(repeating: "!", count: 250))"

        """

    /// One address for each family: every answer is known.
    static let policy = """
        pools:
          web: [203.0.113.7/32, "2001:db8:1::7/128"]
          four: 203.0.113.4/32
        names:
          zones: [zone]
          policies:
            - { name: four, exact: four.example.com, pool: four, ttl: 30 }
            - { name: wild, suffix: [wild.example.com, aliases.example.com], outcome: pass }
            - { name: said, exact: txt.example.com, pool: web, ttl: 10 }
            - { name: default, pool: web, ttl: 60 }

        """
    static let soa = "example.com. 300 IN SOA ns1.example.com. host.example.com. 1 7200 3600 1209600 300"
    static let web = "203.0.113.7", web6 = "2001:db8:1::7"
}
