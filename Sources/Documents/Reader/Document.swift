/// Why a document cannot be read: one sentence that begins with its place, `FILE:LINE:COLUMN`, where it has one.
package struct DocumentError: Error, Sendable, CustomStringConvertible {
    package let message: String

    package init(_ message: String) { self.message = message }

    package var description: String { message }
}

/// Text that people write for these programs, YAML or JSON, read into nodes that know their places.
package enum Document {
    /// The largest document that is read, in bytes.
    package static let maximumSize = 64 << 20

    /// How a document is written.
    package enum Format { case yaml, json }

    /// The format that the name of a file tells.
    package static func format(of path: String) -> Format { path.hasSuffix(".json") ? .json : .yaml }

    /// Reads a document from bytes.
    ///
    /// - Parameter empty: What to write instead of nothing at all.
    package static func root(
        of bytes: [UInt8], _ format: Format, in source: Source, empty: String
    ) throws(DocumentError) -> Node {
        let text = try source.text(of: bytes)
        return switch format {
        case .yaml: try YAMLReader.node(of: bytes, text, in: source, empty: empty)
        case .json: try JSONReader.node(of: bytes, in: source)
        }
    }
}
