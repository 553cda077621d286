/// Counts events by kind.
struct Counts<Kind: Hashable & Comparable & Sendable>: Sendable {
    private var numbers: [Kind: UInt64] = [:]

    mutating func add(_ kind: Kind) { numbers[kind, default: 0] += 1 }

    var sorted: [(key: Kind, value: UInt64)] { numbers.sorted { $0.key < $1.key } }
}

/// Metrics in the Prometheus text exposition format, version 0.0.4.
struct MetricsText {
    private(set) var lines: [String] = []

    enum Kind: String {
        case counter, gauge
    }

    /// Adds a metric. The label values are not escaped: none that steerd uses needs it.
    mutating func add(
        _ name: String, _ kind: Kind, _ help: String, _ values: [(key: String, value: UInt64)], as label: String
    ) {
        lines.append("# HELP steerd_\(name) \(help)")
        lines.append("# TYPE steerd_\(name) \(kind.rawValue)")
        for (key, value) in values { lines.append("steerd_\(name){\(label)=\"\(key)\"} \(value)") }
    }
}
