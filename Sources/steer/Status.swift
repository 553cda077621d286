import ArgumentParser
import CommandSupport
import Glibc
import Steering

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show each label: bindings, sockets, counters.",
        discussion: """
            LOOKUPS counts packets whose binding leads to the label: the first of each connection, and every \
            datagram. MISSES counts those that found no socket, INCOMPATIBLE those whose socket no longer listens. \
            The rate is that of lookups.

            With --tables it shows the size of the compiled policy instead: bytes in use, bytes of kernel memory (two \
            halves, the policy in force and room for the next), distinct rows, port classes (none if rows are tries \
            over the port), trie nodes.

              steer status
              steer status --watch            # every two seconds, in place
              steer status --watch 10
              steer status --tables
            """)

    @Flag(help: "Repeat until interrupted, in place on a terminal.")
    var watch = false

    @Flag(help: "Show the size of the compiled tables instead.")
    var tables = false

    @Argument(help: "Seconds between two readings with --watch.")
    var seconds: Double = 2

    @OptionGroup var target: Target

    func validate() throws {
        if !(0.1...86_400).contains(seconds) { throw misuse("the interval is 0.1 to 86,400 seconds") }
    }

    func run() throws {
        let steering = try target.open(for: .reading)
        var screen = Screen(isUsed: watch && !target.json && Terminal.isInteractive)
        defer { screen.end() }
        if tables {
            repeat {
                let report = TablesReport(try steering.tables())
                try screen.show(target.json ? JSON.text(report) : report.text)
            } while watch && screen.wait(seconds)
            return
        }
        var former = try Reading(steering)
        var interval = min(seconds, 0.25)
        while screen.wait(interval) {
            let current = try Reading(steering)
            let report = StatusReport(current, since: former, try owners(current.status))
            try screen.show(target.json ? JSON.text(report) : report.text)
            guard watch else { return }
            former = current
            interval = seconds
        }
    }

    private func owners(_ status: SteeringStatus) throws -> [SocketCookie: [SocketOwner]] {
        (try? SocketSteering.owners(of: status.labels.flatMap(\.sockets), in: try target.namespace())) ?? [:]
    }
}

/// The status at one point in time.
struct Reading {
    let status: SteeringStatus
    let nanoseconds: UInt64

    init(_ steering: SocketSteering) throws(SteeringError) {
        status = try steering.status()
        let now = Self.now()
        nanoseconds = UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }

    private static func now() -> timespec {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return now
    }
}

/// The output of `steer status`.
struct StatusReport: Encodable {
    struct LabelReport: Encodable {
        let label: String
        let bindings: Int
        let withoutSocket: String
        let sockets: [SocketReport]
        let lookups, misses, incompatible: UInt64
        let rate: Double
    }
    let labels: [LabelReport]
    let bindings: Int
    let changes, refused, passed: UInt64

    init(_ reading: Reading, since former: Reading, _ owners: [SocketCookie: [SocketOwner]]) {
        let status = reading.status
        let seconds = Double(reading.nanoseconds - former.nanoseconds) / 1e9
        let before = Dictionary(uniqueKeysWithValues: former.status.labels.map { ($0.label, $0.metrics.lookups) })
        labels = status.labels.map { label in
            let lookups = label.metrics.lookups
            // Counters restart from zero when a label is removed and created again.
            let more = before[label.label].map { lookups >= $0 ? lookups - $0 : lookups } ?? 0
            return LabelReport(
                label: label.label.name, bindings: label.bindings,
                withoutSocket: label.options.withoutSocket.description,
                sockets: label.sockets.map { SocketReport($0, owners[$0.cookie] ?? []) }, lookups: lookups,
                misses: label.metrics.misses, incompatible: label.metrics.incompatible,
                rate: (Double(more) / seconds * 10).rounded() / 10)
        }
        bindings = status.bindings
        changes = status.changes
        (refused, passed) = (status.metrics.refused, status.metrics.passed)
    }

    var text: String {
        var table = Table("LABEL", "BINDINGS", "SOCKETS", "OWNER", "LOOKUPS", "MISSES", "INCOMPATIBLE", "RATE/S")
        for label in labels {
            let sockets = Set(label.sockets.map(\.cookie)).count
            let owners = label.sockets.flatMap(\.owners).map { "\($0.command) (pid \($0.pid))" }
            let distinct = owners.reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
            table.add(
                label.label, "\(label.bindings)", sockets > 0 ? "\(sockets)" : "none, \(label.withoutSocket)",
                distinct.isEmpty ? "-" : distinct[0] + (distinct.count > 1 ? " +\(distinct.count - 1)" : ""),
                "\(label.lookups)", "\(label.misses)", "\(label.incompatible)", "\(label.rate)")
        }
        return table.text()
            + "\n\(counted(bindings, "binding")); packets refused by a binding \(refused), passed \(passed); "
            + "policy changed \(counted(changes, "time"))"
    }
}

/// The output of `steer status --tables`.
struct TablesReport: Encodable {
    let bytes, memory, bindings, rows, portClasses, nodes: Int

    init(_ tables: TablesStatus) {
        (bytes, memory, bindings) = (tables.bytes, tables.memory, tables.bindings)
        (rows, portClasses, nodes) = (tables.rows, tables.portClasses, tables.nodes)
    }

    var text: String {
        var table = Table("BYTES", "MEMORY", "BINDINGS", "ROWS", "PORT CLASSES", "NODES")
        table.add([bytes, memory, bindings, rows, portClasses, nodes].map(String.init))
        return table.text()
    }
}
