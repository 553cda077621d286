import ArgumentParser
import CommandSupport
import Glibc
import Steering

struct Trace: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace",
        abstract: "Show packets as they arrive, and which binding decides about each.",
        discussion: """
            One line per packet: time, protocol, source and destination, the interface it arrived on, the binding \
            that decides and its outcome. Shown are packets for which the steering program runs and that a binding \
            matches: the first of each TCP connection, and every datagram; not those of established connections. \
            `explain` makes the kernel look up a packet, so that is shown, too.

            A second program observes for as long as this command runs, however it ends: without a trace there is no \
            cost. On a busy host show a sample with --sample. Needs CAP_BPF, and read access to what is pinned. A \
            summary is printed on standard error.

              steer trace
              steer trace --label web --sample 1000     # of a thousand packets to web one, at random
              steer trace --count 1 --json              # the next packet, for a machine
            """)

    @Option(help: ArgumentHelp("Only packets that this label receives.", valueName: "label"), completion: .label)
    var label: String?

    @Option(help: ArgumentHelp("Show one packet in n, chosen at random.", valueName: "n"))
    var sample: UInt32 = 1

    @Option(help: ArgumentHelp("End after n packets.", valueName: "n"))
    var count: Int?

    @OptionGroup var target: Target

    func validate() throws {
        if sample == 0 { throw misuse("--sample is 1 for every packet, or more") }
        if let count, count < 1 { throw misuse("--count is 1 or more") }
    }

    func run() throws {
        let steering = try target.open(for: .reading)
        let interruption = BlockedSignals()
        var trace = try steering.observe(
            in: try target.namespace(), label: try label.map(steer.label), oneIn: sample)
        var shown = 0
        let clock = WallClock()
        while shown < count ?? .max, !interruption.hasCome {
            guard let seen = try trace.next(within: .milliseconds(100)) else { continue }
            let line = TraceReport(seen, clock)
            print(target.json ? JSON.text(line) : line.text)
            try Terminal.finish()
            shown += 1
        }
        let (seen, lost) = try trace.counts()
        Journal.print(
            target.json
                ? JSON.text(TraceSummary(seen: seen, shown: shown, lost: lost))
                : "\(seen) seen, \(shown) shown, \(lost) lost", .info)
    }
}

/// One line of the output of `steer trace`.
struct TraceReport: Encodable {
    /// UTC, RFC 3339.
    let time: String
    let `protocol`, source, destination: String
    /// `nil` if the interface is unknown.
    let interface: String?
    /// Either `label` or `outcome`, as in bindings.
    let label, outcome: String?
    /// `nil` if the policy has changed since.
    let binding: BindingReport?
    /// The line of the text output.
    let text: String

    private enum CodingKeys: String, CodingKey {
        case time, `protocol`, source, destination, interface, label, outcome, binding
    }

    init(_ seen: TracedPacket, _ clock: WallClock) {
        let packet = seen.packet
        time = clock.text(seen.nanoseconds)
        `protocol` = packet.transport.description
        source = packet.source?.description ?? ""
        destination = packet.destination.description
        interface = packet.interface?.name
        if case .label(let name) = seen.outcome {
            (label, outcome) = (name.description, nil)
        } else {
            (label, outcome) = (nil, seen.outcome.description)
        }
        binding = seen.binding.map(BindingReport.init)
        text =
            "\(time)  \(`protocol`)  \(source) -> \(destination)  \(interface ?? "?")  "
            + (seen.binding?.description ?? "(a former policy) -> \(seen.outcome)")
    }
}

private struct TraceSummary: Encodable {
    let seen: UInt64
    let shown: Int
    let lost: UInt64
}

/// Converts CLOCK_MONOTONIC times to UTC.
struct WallClock {
    private let offset: Int64

    init() {
        func now(_ clock: clockid_t) -> Int64 {
            var now = timespec()
            clock_gettime(clock, &now)
            return Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec)
        }
        offset = now(CLOCK_REALTIME) - now(CLOCK_MONOTONIC)
    }

    /// Returns a time as RFC 3339 text, such as `2026-01-31T12:34:56.789012Z`.
    func text(_ monotonic: UInt64) -> String {
        let total = Int64(monotonic) + offset
        var seconds = time_t(total / 1_000_000_000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func padded(_ number: some BinaryInteger, _ width: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let date = "\(padded(parts.tm_year + 1900, 4))-\(padded(parts.tm_mon + 1, 2))-\(padded(parts.tm_mday, 2))"
        let time = "\(padded(parts.tm_hour, 2)):\(padded(parts.tm_min, 2)):\(padded(parts.tm_sec, 2))"
        return "\(date)T\(time).\(padded(total / 1000 % 1_000_000, 6))Z"
    }
}
