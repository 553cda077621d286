import AddressPools
import ArgumentParser
import CommandSupport
import Documents
import PoolMoves

/// `steer-dns drain PREFIX`.
struct Drain: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Stop answering from prefixes of a pool, and report when the last answer expires.",
        discussion: """
            Adds the prefixes to the pool's drained-from file, which servers watch. The prefixes stay steered, so \
            clients keep working until their answers expire. With --wait, the command ends when the last answer has \
            expired. Some clients keep answers longer: `steer pool status` counts the connections that still arrive, \
            and reports when the prefix can be unbound.

            Exit codes: 0 done; 1 it failed, and nothing was changed; 2 the prefixes are drained, but it is not known \
            when the last answer expires, or could not be printed; 64 usage error.

              pools:
                web: { prefixes: 192.0.2.0/24, drained-from: drained.txt }

              steer-dns drain 192.0.2.128/25 --policy policy.yaml --wait
              steer-dns drain 192.0.2.7/32 --policy policy.yaml --server 127.0.0.1:9153
              steer-dns undrain 192.0.2.128/25 --policy policy.yaml
            """)

    @Argument(help: "The prefixes.")
    var prefixes: [String]

    @OptionGroup var options: DrainOptions

    @OptionGroup var servers: ServerOptions

    @Flag(help: "Wait until the last answer has expired.")
    var wait = false

    func run() throws {
        let watch = try servers.watch(), clock = SystemClock()
        let (pool, prefixes) = try options.pool(prefixes)
        // Before the change, so that an error means that nothing was changed.
        try watch.check(pool: pool.name)
        try pool.drain(prefixes, clock)
        try options.told("\(prefixes) is drained, but") {
            let report =
                wait
                ? try awaitExpiry(pool, prefixes, watch, clock)
                : DrainReport(pool, try pool.status(of: prefixes, watch), at: clock.now)
            return options.json ? JSON.text(report) : text(report)
        }
    }

    private func awaitExpiry(
        _ pool: DrainablePool, _ prefixes: PrefixPool, _ watch: ServerWatch, _ clock: SystemClock
    ) throws(DocumentError) -> DrainReport {
        let bar = ProgressBar(), ttl = Int(pool.ttl)
        defer { bar.clear() }
        return try pool.awaitExpiry(of: prefixes, watch, clock) { report in
            let left = report.secondsLeft
            bar.show(
                left.map { "the last answer expires in \($0) s" } ?? "waiting for the servers to notice",
                ttl - min(left ?? ttl, ttl), of: max(1, ttl), unit: "s", scale: 1)
        }
    }

    private func text(_ report: DrainReport) -> String {
        var lines = report.drained.map { part in
            let state = part.expires.map {
                part.expired ? "the last answer expired \($0)" : "the last answer expires \($0)"
            }
            return "\(part.prefix) drained \(part.drained); \(state ?? "a server still answers with it")"
        }
        lines.append(
            report.hasExpired
                ? "steer pool status \(report.pool) counts the connections that still arrive, and reports when to unbind"
                : "keep it bound: --wait waits for the last answer to expire, then see steer pool status \(report.pool)"
        )
        return lines.joined(separator: "\n")
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
        try options.told("\(prefixes) is answered again, but") {
            let report = DrainReport(pool, [], at: SystemClock().now)
            return options.json ? JSON.text(report) : "the pool \(pool.name) is answered from \(prefixes) again"
        }
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

    /// Prints a report about a change that was made; if that fails, says so after `done`, with the exit code 2.
    func told(_ done: String, _ report: () throws -> String) throws {
        do {
            print(try report())
            try StandardOutput.flush()
        } catch {
            let problem = (error as? StandardOutput.Failure)?.message ?? "\(error)"
            SteerDNS.printError("\(done) \(problem)")
            throw ExitCode(2)
        }
    }

    func pool(_ texts: [String]) throws -> (DrainablePool, PrefixPool) {
        let prefixes = try parsed { try texts.map { try IPPrefix($0) } }
        guard let first = prefixes.first else { throw ValidationError("name a prefix") }
        let found = try pool.map { name throws(DocumentError) in try DrainablePool(name, policy: policy) }
        return (try found ?? DrainablePool(with: first, policy: policy), PrefixPool(prefixes))
    }
}
