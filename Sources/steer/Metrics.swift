import ArgumentParser
import CommandSupport
import Glibc
import Steering

struct Metrics: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics",
        abstract: "Print the counters in Prometheus' text format, or serve them.",
        discussion: """
            With --listen they are served over HTTP, at /metrics, until interrupted: read-only, with no privilege \
            beyond reading what is pinned (`load --readers GROUP`).

            Counters are per label. With --per-binding packets are counted for each binding, too, by a second program \
            that only observes and ends with this command: for some seconds, then a table is printed, the busiest \
            binding first; or, with --listen, for as long as it serves, 10,000 bindings at most. That needs CAP_BPF. \
            Bindings that a change leaves in force keep their counts.

              steer metrics
              steer metrics --listen 127.0.0.1:9110
              steer metrics --per-binding --for 10
              steer metrics --listen 127.0.0.1:9110 --steerd /run/steerd.sock
            """)

    @Option(help: ArgumentHelp("Serve the counters here.", valueName: "address:port"))
    var listen: String?

    @Flag(help: "Count packets for each binding.")
    var perBinding = false

    @Option(
        name: .customLong("for"),
        help: ArgumentHelp("How long to count with --per-binding; 5 by default.", valueName: "seconds"))
    var duration: Double?

    @Option(help: ArgumentHelp("Add the counters of the steerd that listens here.", valueName: "path"))
    var steerd: String?

    @OptionGroup var target: Target

    /// The maximum number of bindings to serve; more would be too many time series for a scraper.
    private static let scrapedBindings = 10_000

    func validate() throws {
        if duration != nil, !perBinding || listen != nil {
            throw misuse("--for goes with --per-binding, without --listen")
        }
        if steerd != nil, perBinding, listen == nil {
            throw misuse("--steerd goes without --per-binding, or with --listen")
        }
        if listen != nil, target.json {
            throw misuse("--json is for printing, and --listen serves Prometheus' text: leave one of them out")
        }
        if let duration, !(0.1...86_400).contains(duration) { throw misuse("--for is 0.1 to 86,400 seconds") }
    }

    func run() throws {
        let steering = try target.open(for: .reading)
        guard let listen else {
            if perBinding { return try count(steering) }
            if target.json { return print(JSON.text(try MetricsReport(steering, steerd: client))) }
            return print(try Exporter(steering, steerd: client).text(), terminator: "")
        }
        let address = try parsed { try SocketAddress(listen) }
        let counter =
            perBinding
            ? try steering.countBindings(in: try target.namespace(), atMost: Self.scrapedBindings) : nil
        try MetricsServer(Exporter(steering, counter, steerd: client)).serve(on: address)
    }

    /// A client of steerd with a short timeout, so that an unresponsive steerd does not delay a scrape.
    private var client: SteeringClient? { steerd.map { SteeringClient($0, patience: .seconds(1)) } }

    private func count(_ steering: SocketSteering) throws {
        let interruption = BlockedSignals()
        let counter = try steering.countBindings(in: try target.namespace())
        let start = ContinuousClock.now
        let end = start + .seconds(duration ?? 5)
        while .now < end, !interruption.hasCome {
            let left = min(end - .now, .milliseconds(100)) / .microseconds(1)
            usleep(UInt32(max(0, left)))
            try counter.refresh()
        }
        let report = BindingCounts(try counter.counts(), over: (ContinuousClock.now - start) / .seconds(1))
        print(target.json ? JSON.text(report) : report.text)
    }
}

/// The output of `steer metrics --per-binding`.
struct BindingCounts: Encodable {
    struct Count: Encodable {
        let binding: BindingReport
        let packets: UInt64
        let rate: Double
        let text: String

        private enum CodingKeys: CodingKey {
            case binding, packets, rate
        }
    }
    let bindings: [Count]
    let seconds: Double

    init(_ counts: [BindingCounter.Count], over seconds: Double) {
        // A stable sort: equal counts stay in the order of their bindings.
        let sorted = counts.enumerated().sorted {
            $0.element.packets == $1.element.packets
                ? $0.offset < $1.offset : $0.element.packets > $1.element.packets
        }
        bindings = sorted.map { _, count in
            Count(
                binding: BindingReport(count.binding), packets: count.packets,
                rate: (Double(count.packets) / seconds * 10).rounded() / 10, text: "\(count.binding)")
        }
        self.seconds = (seconds * 10).rounded() / 10
    }

    var text: String {
        var table = Table("PACKETS", "RATE/S", "BINDING")
        for count in bindings { table.add("\(count.packets)", "\(count.rate)", count.text) }
        return table.text()
    }
}

/// The output of `steer metrics --json`.
struct MetricsReport: Encodable {
    struct Counts: Encodable {
        let label, family, `protocol`: String
        let lookups, misses, incompatible: UInt64
        let sockets: Int
    }
    struct Steerd: Encodable {
        let answers: Bool
        /// Its samples: metric names with their labels, and values.
        let metrics: [String: Double]
    }
    let destinations: [Counts]
    let refused, passed, changes: UInt64
    let bindings: Int
    let steerd: Steerd?

    init(_ steering: SocketSteering, steerd: SteeringClient?) throws(SteeringError) {
        let status = try steering.status()
        let sockets = Dictionary(grouping: status.labels.flatMap(\.sockets), by: \.destination)
        destinations = status.metrics.destinations.sorted { $0.key < $1.key }.map { destination, counts in
            Counts(
                label: destination.label.name, family: destination.family.description,
                protocol: destination.transport.description, lookups: counts.lookups, misses: counts.misses,
                incompatible: counts.incompatible, sockets: sockets[destination]?.count ?? 0)
        }
        (refused, passed) = (status.metrics.refused, status.metrics.passed)
        (changes, bindings) = (status.changes, status.bindings)
        self.steerd = steerd.map { client in
            let (text, answers) = client.metricsIfItAnswers()
            let samples = text.split(separator: "\n").filter { !$0.hasPrefix("#") }.compactMap { line in
                line.lastIndex(of: " ").flatMap { space in
                    Double(line[space...].dropFirst()).map { (String(line[..<space]), $0) }
                }
            }
            return Steerd(answers: answers, metrics: Dictionary(samples) { _, last in last })
        }
    }
}

extension SteeringClient {
    /// Returns the counters of steerd, empty on any error, and whether it responds.
    func metricsIfItAnswers() -> (text: String, answers: Bool) {
        // steerd refuses users that may use no label, which shows that it is running.
        do throws(SteeringError) { return (try metrics(), true) } catch { return ("", error.code == .notAllowed) }
    }
}
