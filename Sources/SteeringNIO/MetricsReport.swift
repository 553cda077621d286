#if Metrics
import Metrics
import Steering

/// Converts the kernel's counters to the increments that metrics backends expect.
struct MetricsReport {
    /// The metrics of one destination.
    private struct Reported {
        let lookups, misses, incompatible: Counter
        let sockets: Gauge

        init(_ destination: Destination, to factory: any MetricsFactory) {
            let labels = destination.metricLabels.map { ($0.name, $0.value) }
            lookups = Counter(.lookups, labels, factory)
            misses = Counter(.misses, labels, factory)
            incompatible = Counter(.incompatible, labels, factory)
            sockets = Gauge(.sockets, labels, factory)
        }
    }

    private let factory: any MetricsFactory
    private let refused, passed, changes: Counter
    private let bindings: Gauge
    private var destinations: [Destination: Reported] = [:]
    /// The previous status; `nil` before the first, which is the baseline.
    private var last: SteeringStatus?

    init(to factory: any MetricsFactory) {
        self.factory = factory
        refused = Counter(.refused, [], factory)
        passed = Counter(.passed, [], factory)
        changes = Counter(.policyChanges, [], factory)
        bindings = Gauge(.bindings, [], factory)
    }

    mutating func add(_ status: SteeringStatus) {
        let former = last ?? status
        refused.increment(by: increase(from: former.metrics.refused, to: status.metrics.refused))
        passed.increment(by: increase(from: former.metrics.passed, to: status.metrics.passed))
        changes.increment(by: increase(from: former.changes, to: status.changes))
        bindings.record(status.bindings)

        let sockets = Dictionary(grouping: status.labels.flatMap(\.sockets), by: \.destination)
        for (destination, now) in status.metrics.destinations {
            let before = former.metrics.destinations[destination]
            report(destination, since: before, now, sockets: sockets[destination]?.count ?? 0)
        }
        // A label without bindings and sockets is removed, and another one can reuse its number and counters.
        for (destination, reported) in destinations where status.metrics.destinations[destination] == nil {
            reported.sockets.record(0)
        }
        last = status
    }

    private mutating func report(
        _ destination: Destination, since before: DestinationMetrics?, _ now: DestinationMetrics, sockets: Int
    ) {
        if destinations[destination] == nil {
            guard sockets > 0 || now.lookups > 0 else { return }
            destinations[destination] = Reported(destination, to: factory)
        }
        let reported = destinations[destination]!
        reported.lookups.increment(by: increase(from: before?.lookups ?? 0, to: now.lookups))
        reported.misses.increment(by: increase(from: before?.misses ?? 0, to: now.misses))
        reported.incompatible.increment(by: increase(from: before?.incompatible ?? 0, to: now.incompatible))
        reported.sockets.record(sockets)
    }

    /// Returns the increase of a counter.
    ///
    /// A decrease means that it restarted from zero because the steering was reloaded.
    private func increase(from before: UInt64, to now: UInt64) -> UInt64 { now >= before ? now - before : now }
}

extension Counter {
    fileprivate convenience init(
        _ name: SteeringMetrics.Name, _ labels: [(String, String)], _ factory: any MetricsFactory
    ) {
        self.init(label: name.rawValue, dimensions: labels, factory: factory)
    }
}

extension Gauge {
    fileprivate convenience init(
        _ name: SteeringMetrics.Name, _ labels: [(String, String)], _ factory: any MetricsFactory
    ) {
        self.init(label: name.rawValue, dimensions: labels, factory: factory)
    }
}
#endif
