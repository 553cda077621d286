import AddressPools
import ArgumentParser
import CommandSupport
import Documents
import Draining
import Foundation
import SteeringDNS

/// `steer-dns drain PREFIX`.
struct Drain: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Stop answering from prefixes of a pool, and report when the last answer expires.",
        discussion: """
            Adds the prefixes to the pool's drained-from file, which servers watch. The prefixes stay steered, so \
            clients keep working until their answers expire. With --wait, the command ends when the last answer has \
            expired. Some clients keep answers longer: `steer pool status` counts the connections that still arrive, \
            and reports when the prefix can be unbound.

              pools:
                web: { prefixes: 192.0.2.0/24, drained-from: drained.txt }

              steer-dns drain 192.0.2.128/25 --policy policy.yaml --wait
              steer-dns drain 192.0.2.7/32 --policy policy.yaml --server 127.0.0.1:9153
              steer-dns undrain 192.0.2.128/25 --policy policy.yaml
            """)

    @Argument(help: "The prefixes.")
    var prefixes: [String]

    @OptionGroup var options: DrainOptions

    @Option(
        help: ArgumentHelp(
            "The address of a server's --metrics, which reports when it loaded the change; may be repeated.",
            valueName: "address:port"))
    var server: [String] = []

    @Option(help: ArgumentHelp("Without --server: how long servers take to notice the change.", valueName: "seconds"))
    var reload = 5

    @Flag(help: "Wait until the last answer has expired.")
    var wait = false

    func run() throws {
        let watch = ServerWatch(servers: try server.map(Serve.socketAddress), reload: reload)
        let (pool, prefixes) = try options.pool(prefixes)
        try pool.drain(prefixes)
        var report = DrainReport(pool, try pool.status(watch), prefixes)
        guard wait else { return print(options.json ? JSON.text(report) : report.text) }
        let bar = ProgressBar()
        while !report.hasExpired {
            let left = report.secondsLeft
            bar.show(
                left.map { "the last answer expires in \($0) s" } ?? "waiting for the servers to notice",
                Int(pool.ttl) - min(left ?? Int(pool.ttl), Int(pool.ttl)), of: max(1, Int(pool.ttl)), unit: "s",
                scale: 1)
            usleep(200_000)
            report = DrainReport(pool, try pool.status(watch), prefixes)
        }
        bar.clear()
        print(options.json ? JSON.text(report) : report.text)
    }
}

/// `steer-dns undrain PREFIX`.
struct Undrain: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Answer from drained prefixes of a pool again.")

    @Argument(help: "The prefixes.")
    var prefixes: [String]

    @OptionGroup var options: DrainOptions

    func run() throws {
        let (pool, prefixes) = try options.pool(prefixes)
        try pool.undrain(prefixes)
        let report = DrainReport(pool, [], prefixes)
        print(options.json ? JSON.text(report) : "the pool \(pool.name) is answered from \(prefixes) again")
    }
}

/// The options that select a pool.
struct DrainOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The policy file, YAML or JSON.", valueName: "file"),
        completion: .file(extensions: ["yaml", "yml", "json"]))
    var policy: String

    @Option(help: ArgumentHelp("The pool, if several have the prefix.", valueName: "name"))
    var pool: String?

    @Flag(help: "Print JSON.")
    var json = false

    func pool(_ texts: [String]) throws -> (DrainablePool, PrefixPool) {
        let prefixes = try parsed { try texts.map { try IPPrefix($0) } }
        guard let first = prefixes.first else { throw ValidationError("name a prefix") }
        let found = try pool.map { name throws(DocumentError) in try DrainablePool(name, policy: policy) }
        return (try found ?? DrainablePool(with: first, policy: policy), PrefixPool(prefixes))
    }
}

/// The output of `steer-dns drain`.
private struct DrainReport: Encodable {
    struct Part: Encodable {
        let prefix: String
        let drained: String
        /// Omitted while a server still answers with the prefix.
        let expires: String?
        let expired: Bool
    }
    let pool: String
    let ttl: UInt32
    let drained: [Part]
    /// Not encoded; covers only the prefixes of this command.
    let hasExpired: Bool
    let secondsLeft: Int?

    private enum CodingKeys: CodingKey {
        case pool, ttl, drained
    }

    init(_ pool: DrainablePool, _ parts: [DrainStatus], _ prefixes: PrefixPool) {
        let now = Date.now.timeIntervalSince1970
        let own = parts.filter { PrefixPool([$0.prefix]).overlaps(prefixes) }
        self.pool = pool.name
        ttl = pool.ttl
        drained = own.map {
            Part(
                prefix: $0.prefix.description, drained: DrainedFile.text(of: $0.drained),
                expires: $0.expiry.map(DrainedFile.text), expired: $0.hasExpired(at: now))
        }
        hasExpired = own.allSatisfy { $0.hasExpired(at: now) }
        let expiries = own.compactMap(\.expiry)
        secondsLeft = expiries.count < own.count ? nil : expiries.max().map { max(0, Int(Double($0) - now)) }
    }

    var text: String {
        var lines = drained.map { part in
            let state = part.expires.map {
                part.expired ? "the last answer expired \($0)" : "the last answer expires \($0)"
            }
            return "\(part.prefix) drained \(part.drained); \(state ?? "a server still answers with it")"
        }
        lines.append(
            hasExpired
                ? "steer pool status \(pool) counts the connections that still arrive, and reports when to unbind"
                : "keep it bound: --wait waits for the last answer to expire, then see steer pool status \(pool)")
        return lines.joined(separator: "\n")
    }
}
