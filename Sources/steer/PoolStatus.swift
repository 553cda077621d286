import ArgumentParser
import CommandSupport
import Documents
import PoolMoves
import Steering

struct PoolStatus: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show the drained prefixes of a pool: when the last answers expire, and how many packets still come.",
        discussion: """
            Each drained prefix is shown in 16 parts, small ones by address. PACKETS counts the first packets of \
            connections, and datagrams, in the seconds of --for, and needs CAP_BPF. A prefix may be unbound when the \
            last answer has expired and no part of it gets more packets than --threshold; then the command prints \
            how to unbind it.

              steer pool status web --policy policy.yaml
              steer pool status web --policy policy.yaml --wait      # until then
            """)

    @OptionGroup var options: PoolOptions

    @Flag(help: "Repeat until all drained prefixes may be unbound.")
    var wait = false

    @OptionGroup var target: Target

    func run() throws {
        let watch = try options.servers.watch(), steering = try options.steering(target, for: .reading)
        let interruption = BlockedSignals()
        while true {
            let pool = try policyFiles { () throws(DocumentError) in
                try DrainablePool(options.name, policy: options.policy)
            }
            let report = try pool.report(
                counting: options.duration, options.threshold, watch, steering, SystemClock(),
                unless: { interruption.hasCome })
            print(target.json ? JSON.text(report) : text(report, pool, try target.place()))
            try Terminal.finish()
            if !wait || report.mayUnbind == true || interruption.hasCome { return }
        }
    }

    private func text(_ report: DrainReport, _ pool: DrainablePool, _ place: RemedyPlace) -> String {
        if report.drained.isEmpty {
            return "the pool \(pool.name) has no drained prefixes; it is answered from \(pool.answers)"
        }
        var table = Table("PREFIX", "LAST ANSWER EXPIRES", "PACKETS", "RATE/S")
        for prefix in report.drained {
            let expiry = prefix.expires.map { prefix.expired ? "expired" : $0 } ?? "still answered"
            for part in prefix.parts ?? [] { table.add(part.prefix, expiry, "\(part.packets)", "\(part.rate)") }
        }
        let lines = report.drained.map { prefix in
            prefix.mayUnbind == true
                ? "\(prefix.prefix) may be unbound: the last answer with it has expired, and it is quiet"
                : "\(prefix.prefix) must stay bound: "
                    + (prefix.expired ? "connections still come" : "answers with it may still be cached")
        }
        let advice = report.quiet.isEmpty ? [] : ["    \(advice(report.quiet, pool, place))"]
        return ([table.text()] + lines + advice).joined(separator: "\n")
    }

    /// Returns how to unbind prefixes.
    private func advice(_ quiet: PrefixPool, _ pool: DrainablePool, _ place: RemedyPlace) -> String {
        let words = { (pool: PrefixPool) in pool.prefixes.map(\.description) }
        if pool.prefixesFile != nil, !pool.answers.isEmpty {
            return place.command(
                ["pool", "move", pool.name, "--from"] + words(quiet) + ["--to"] + words(pool.answers)
                    + ["--policy", pool.policy])
        }
        let prefixes = words(quiet).joined(separator: " "), apply = place.command(["apply", pool.policy])
        return "take \(prefixes) out of the pool in \(pool.policy), then: \(apply)"
    }
}
