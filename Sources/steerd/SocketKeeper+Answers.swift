import CommandSupport
import ServiceSupport
import Steering

/// The answers that clients get.
extension SocketKeeper {
    func lines(_ sockets: [Holding], _ label: Label) throws(SteeringError) -> [String] {
        let registered = try steering.sockets.list().filter { $0.destination.label == label }
        return sockets.map { $0.shown(among: registered).line }
    }

    /// Returns the sockets of a label that are registered but not held.
    func lent(to label: Label) throws(SteeringError) -> [String] {
        let held = Set(holdings[label].map(\.facts.cookie))
        var seen: Set<SocketCookie> = []
        return try steering.sockets.list().filter {
            $0.destination.label == label && !held.contains($0.cookie) && seen.insert($0.cookie).inserted
        }.map { HeldSocket($0.destination.transport, $0.boundAddress, $0.cookie, true, isLent: true).line }
    }

    func status(for peer: Peer) throws(SteeringError) -> [LabelHoldings] {
        let status = try steering.status()
        return status.labels.filter { authority.allows(peer, $0.label) }.map {
            LabelHoldings($0.label, sockets: holdings[$0.label].count, $0.metrics)
        }
    }

    /// Returns counters since the start, in the Prometheus text format; those of labels only for labels that the client
    /// may use.
    func metrics(for peer: Peer) throws(SteeringError) -> [String] {
        let labels = try steering.policy.labels.filter { authority.allows(peer, $0) }.sorted()
        var metrics = PrometheusText()
        metrics.add("steerd_requests_total", "Requests that were answered.", by: "verb", requests.sorted)
        metrics.add("steerd_refusals_total", "Requests that were refused.", by: "code", log.refusals.sorted)
        metrics.add(
            "steerd_held_sockets", "Sockets that are held.", by: "label", labels.map { ($0, holdings[$0].count) })
        let starts = onDemand?.starts.sorted.filter { labels.contains($0.key) } ?? []
        metrics.add("steerd_starts_total", "How often a service was started.", by: "label", starts)
        return metrics.text.split(separator: "\n").map(String.init)
    }
}
