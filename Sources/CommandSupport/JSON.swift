// Foundation would be linked into steerd-run, which needs nothing else of it.
import FoundationEssentials

/// JSON output: one line, with sorted keys.
package enum JSON {
    /// Encodes a value.
    package static func text(_ value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Encoding fails only for NaN and infinity, which no report contains.
        return String(decoding: try! encoder.encode(value), as: UTF8.self)
    }
}
