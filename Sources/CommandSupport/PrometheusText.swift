/// Metrics in the Prometheus text exposition format, version 0.0.4.
///
/// The type of a metric follows from its name, as OpenMetrics requires: the name of a counter ends in `_total`; all
/// others are gauges.
package struct PrometheusText {
    /// The metrics, each with its help, its type and its samples.
    package private(set) var text = ""

    package init() {}

    /// Adds a metric without labels.
    package mutating func add(_ name: String, _ help: String, value: some CustomStringConvertible) {
        describe(name, help)
        text += "\(name) \(value)\n"
    }

    /// Adds a metric with one label, and a sample for each of its values.
    package mutating func add<Key: CustomStringConvertible, Value: CustomStringConvertible>(
        _ name: String, _ help: String, by label: String, _ samples: [(key: Key, value: Value)]
    ) {
        add(name, help, samples: samples.map { ([(label, $0.key.description)], $0.value) })
    }

    /// Adds a metric with several labels.
    package mutating func add<Value: CustomStringConvertible>(
        _ name: String, _ help: String, samples: [(labels: [(name: String, value: String)], value: Value)]
    ) {
        describe(name, help)
        for (labels, value) in samples {
            let pairs = labels.map { "\($0)=\"\(Self.escaped($1))\"" }.joined(separator: ",")
            text += "\(name){\(pairs)} \(value)\n"
        }
    }

    /// Appends the metrics of another program.
    package mutating func append(_ other: String) { text += other }

    private mutating func describe(_ name: String, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(name.hasSuffix("_total") ? "counter" : "gauge")\n"
    }

    /// Escapes the value of a label. Interface names, for one, may contain quotes and backslashes.
    private static func escaped(_ value: String) -> String {
        value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}
