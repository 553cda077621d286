import ArgumentParser
import Steering

struct Metrics: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics",
        abstract: "Print the counters as Prometheus reads them, or serve them.",
        discussion: """
            With --listen over HTTP, at /metrics, until interrupted: read-only, with no privilege beyond reading \
            what is pinned (`load --readers GROUP`).

              steer metrics
              steer metrics --listen 127.0.0.1:9110
            """)

    @Option(help: ArgumentHelp("Serve them here.", valueName: "address:port"))
    var listen: String?

    @OptionGroup var target: Target

    func run() throws {
        let steering = try target.open(for: .reading)
        guard let listen else { return print(try MetricsText.text(of: steering), terminator: "") }
        try MetricsServer(steering).serve(on: try parsed { () throws(AddressError) in try SocketAddress(listen) })
    }
}

/// Prometheus' text exposition format, version 0.0.4.
enum MetricsText {
    static func text(of steering: SocketSteering) throws(SteeringError) -> String {
        let status = try steering.status()
        let destinations = status.metrics.destinations.sorted { $0.key < $1.key }
        let sockets = Dictionary(grouping: status.labels.flatMap(\.sockets), by: \.destination)

        var text = ""
        func family(_ name: String, _ kind: String, _ help: String, _ samples: [(Destination, UInt64)]) {
            text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n"
            for (destination, value) in samples {
                // A label's characters need no escaping.
                text += "\(name){label=\"\(destination.label)\",family=\"\(destination.family)\","
                text += "protocol=\"\(destination.transport)\"} \(value)\n"
            }
        }
        func single(_ name: String, _ kind: String, _ help: String, _ value: UInt64) {
            text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n\(name) \(value)\n"
        }
        family(
            "steering_lookups_total", "counter", "Packets whose binding leads to the destination.",
            destinations.map { ($0.key, $0.value.lookups) })
        family(
            "steering_misses_total", "counter", "Lookups that found no socket.",
            destinations.map { ($0.key, $0.value.misses) })
        family(
            "steering_incompatible_total", "counter", "Lookups whose socket the kernel did not take.",
            destinations.map { ($0.key, $0.value.incompatible) })
        family(
            "steering_sockets", "gauge", "Registered sockets.",
            destinations.map { ($0.key, UInt64(sockets[$0.key]?.count ?? 0)) })
        single("steering_refused_total", "counter", "Packets that a binding refused.", status.metrics.refused)
        single("steering_passed_total", "counter", "Packets that a binding let pass.", status.metrics.passed)
        single("steering_bindings", "gauge", "Bindings in force.", UInt64(status.bindings))
        single("steering_policy_changes_total", "counter", "Changes of the policy.", status.changes)
        return text
    }
}
