/// A line of the Prometheus text format: `name{label="value",...} value`, perhaps with a timestamp after it.
struct MetricSample {
    let name: String
    let labels: [String: String]
    let value: Double

    /// Parses a line; nil for comments, and for everything else that is not a sample.
    init?(_ line: Substring.UTF8View) {
        var rest = line
        guard let name = Self.word(&rest), let labels = Self.labels(&rest) else { return nil }
        let fields = rest.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: "\r") }
        guard rest.startIndex < (fields.first?.startIndex ?? rest.startIndex), fields.count <= 2,
            let value = Double(Substring(fields[0]))
        else { return nil }
        self.name = name
        self.labels = labels
        self.value = value
    }

    /// Removes a name from the beginning.
    private static func word(_ rest: inout Substring.UTF8View) -> String? {
        let word = rest.prefix { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: ":"):
                true
            default: false
            }
        }
        rest = rest[word.endIndex...]
        return word.isEmpty ? nil : String(Substring(word))
    }

    /// Removes labels in braces from the beginning; there need not be any.
    private static func labels(_ rest: inout Substring.UTF8View) -> [String: String]? {
        var labels: [String: String] = [:]
        guard remove("{", from: &rest) else { return labels }
        while !remove("}", from: &rest) {
            guard let name = word(&rest), remove("=", from: &rest), let value = quoted(&rest) else { return nil }
            labels[name] = value
            guard remove(",", from: &rest) || rest.first == UInt8(ascii: "}") else { return nil }
        }
        return labels
    }

    /// Removes a quoted text from the beginning, in which `\\`, `\"` and `\n` are escapes.
    private static func quoted(_ rest: inout Substring.UTF8View) -> String? {
        guard remove("\"", from: &rest) else { return nil }
        var bytes: [UInt8] = []
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: bytes, as: UTF8.self)
            case UInt8(ascii: "\\"):
                guard let escaped = rest.popFirst() else { return nil }
                bytes.append(escaped == UInt8(ascii: "n") ? UInt8(ascii: "\n") : escaped)
            default: bytes.append(byte)
            }
        }
        return nil
    }

    private static func remove(_ character: Unicode.Scalar, from rest: inout Substring.UTF8View) -> Bool {
        guard rest.first == UInt8(ascii: character) else { return false }
        rest.removeFirst()
        return true
    }
}
