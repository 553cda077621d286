import ArgumentParser
import CommandSupport
import Documents
import Draining
import Glibc
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
        let watch = try options.watch()
        let steering = try target.open(for: .reading)
        let interruption = BlockedSignals()
        while true {
            let pool = try policyFiles { () throws(DocumentError) in
                try DrainablePool(options.name, policy: options.policy)
            }
            let report = try count(pool, watch, steering, interruption)
            print(target.json ? JSON.text(report) : report.text)
            try Terminal.finish()
            if !wait || report.mayUnbind || interruption.hasCome { return }
        }
    }

    private func count(
        _ pool: DrainablePool, _ watch: ServerWatch, _ steering: SocketSteering, _ interruption: BlockedSignals
    ) throws(SteeringError) -> PoolReport {
        let drained = try policyFiles { () throws(DocumentError) in try pool.status(watch) }
        let arrivals = try Arrivals(at: drained.map(\.prefix), steering, target)
        let end = ContinuousClock.now + .seconds(options.duration)
        while !drained.isEmpty, .now < end, !interruption.hasCome {
            usleep(50_000)
            _ = try arrivals.packets()  // Also follows policy changes.
        }
        let status = try policyFiles { () throws(DocumentError) in try pool.status(watch) }
        return PoolReport(
            pool, status, arrivals.parts, try arrivals.packets(), over: options.duration, options.threshold,
            try target.place())
    }
}

/// The output of `steer pool status`.
struct PoolReport: Encodable {
    struct Part: Encodable {
        let prefix: String
        let packets: UInt64
        let rate: Double
    }
    struct Drained: Encodable {
        let prefix, drained: String
        let expires: String?
        let expired: Bool
        let mayUnbind: Bool
        let parts: [Part]
    }
    let pool: String
    let answers: String
    let ttl: UInt32
    let drained: [Drained]
    /// Whether all drained prefixes may be unbound.
    let mayUnbind: Bool
    private let advice: String?

    private enum CodingKeys: CodingKey {
        case pool, answers, ttl, drained, mayUnbind
    }

    init(
        _ pool: DrainablePool, _ status: [DrainStatus], _ parts: [IPPrefix], _ packets: [UInt64],
        over seconds: Double, _ threshold: UInt64, _ place: RemedyPlace
    ) {
        let now = Double(DrainedFile.now)
        let counted = zip(parts, packets)
        self.pool = pool.name
        answers = pool.answers.description
        ttl = pool.ttl
        drained = status.map { status in
            let own = counted.filter { status.prefix.contains($0.0) }
            let expired = status.hasExpired(at: now - 1)
            return Drained(
                prefix: status.prefix.description, drained: DrainedFile.text(of: status.drained),
                expires: status.expiry.map(DrainedFile.text), expired: expired,
                mayUnbind: expired && own.allSatisfy { $0.1 <= threshold },
                parts: own.map {
                    Part(
                        prefix: $0.0.description, packets: $0.1, rate: (Double($0.1) / seconds * 10).rounded() / 10)
                })
        }
        mayUnbind = drained.allSatisfy(\.mayUnbind)
        let quiet = PrefixPool(zip(status, drained).filter { $1.mayUnbind }.map { $0.0.prefix })
        let words = { (pool: PrefixPool) in pool.prefixes.map(\.description) }
        if quiet.isEmpty {
            advice = nil
        } else if pool.prefixesFile != nil, !pool.answers.isEmpty {
            advice = place.command(
                ["pool", "move", pool.name, "--from"] + words(quiet) + ["--to"] + words(pool.answers)
                    + ["--policy", pool.policy])
        } else {
            advice =
                "take \(words(quiet).joined(separator: " ")) out of the pool in \(pool.policy), then: \(place.command(["apply", pool.policy]))"
        }
    }

    var text: String {
        if drained.isEmpty { return "the pool \(pool) has no drained prefixes; it is answered from \(answers)" }
        var table = Table("PREFIX", "LAST ANSWER EXPIRES", "PACKETS", "RATE/S")
        for prefix in drained {
            let expiry = prefix.expires.map { prefix.expired ? "expired" : $0 } ?? "still answered"
            for part in prefix.parts { table.add(part.prefix, expiry, "\(part.packets)", "\(part.rate)") }
        }
        let lines = drained.map { prefix in
            prefix.mayUnbind
                ? "\(prefix.prefix) may be unbound: the last answer with it has expired, and it is quiet"
                : "\(prefix.prefix) must stay bound: "
                    + (prefix.expired ? "connections still come" : "answers with it may still be cached")
        }
        return ([table.text()] + lines + (advice.map { ["    \($0)"] } ?? [])).joined(separator: "\n")
    }
}
