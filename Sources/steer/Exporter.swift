import CommandSupport
import Steering

/// Exports the metrics of a steering to Prometheus.
struct Exporter {
    private let steering: SocketSteering
    private let steerd: SteeringClient?
    /// The counter of packets per binding, if any.
    let counter: BindingCounter?

    init(_ steering: SocketSteering, _ counter: BindingCounter? = nil, steerd: SteeringClient? = nil) {
        self.steering = steering
        self.counter = counter
        self.steerd = steerd
    }

    func text() throws(SteeringError) -> String {
        let status = try steering.status()
        let destinations = status.metrics.destinations.sorted { $0.key < $1.key }
        let sockets = Dictionary(grouping: status.labels.flatMap(\.sockets), by: \.destination)

        var metrics = PrometheusText()
        func add(_ metric: SteeringMetrics.Name, _ value: (Destination, DestinationMetrics) -> UInt64) {
            let samples = destinations.map { ($0.key.metricLabels, value($0.key, $0.value)) }
            metrics.add(metric.rawValue, metric.help, samples: samples)
        }
        func add(_ metric: SteeringMetrics.Name, _ value: UInt64) {
            metrics.add(metric.rawValue, metric.help, value: value)
        }
        add(.lookups) { $1.lookups }
        add(.misses) { $1.misses }
        add(.incompatible) { $1.incompatible }
        add(.sockets) { destination, _ in UInt64(sockets[destination]?.count ?? 0) }
        add(.refused, status.metrics.refused)
        add(.passed, status.metrics.passed)
        add(.bindings, UInt64(status.bindings))
        add(.policyChanges, status.changes)
        if let counter {
            metrics.add(
                "steering_binding_packets_total", "Packets that the binding decides about, since this process counts.",
                by: "binding", try counter.counts().map { ($0.binding, $0.packets) })
        }
        if let steerd {
            let (own, answers) = steerd.metricsIfItAnswers()
            metrics.add("steerd_up", "Whether steerd answers.", value: answers ? 1 : 0)
            metrics.append(own)
        }
        return metrics.text
    }
}
