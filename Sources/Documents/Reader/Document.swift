/// An error in a document: one sentence that begins with its place, `FILE:LINE:COLUMN`, if it has one.
package struct DocumentError: Error, Sendable, CustomStringConvertible {
    package let message: String

    package init(_ message: String) { self.message = message }

    package var description: String { message }
}

/// Reads YAML and JSON input into nodes with source positions.
package enum Document {
    /// The maximum size of a document, in bytes.
    package static let maximumSize = 64 << 20

    /// The syntax of a document.
    package enum Format { case yaml, json }

    /// Returns the format according to a file's name: JSON for `.json`, otherwise YAML.
    package static func format(of path: String) -> Format { path.hasSuffix(".json") ? .json : .yaml }

    /// The keys of a policy document. Labels and bindings are for sockets, names for DNS.
    package static let keys = ["labels", "pools", "bindings", "names", "include"]

    /// Parses a document, and puts the files that it includes into it.
    ///
    /// - Returns: The document, and its source, which knows the files.
    package static func whole(
        of bytes: [UInt8], _ format: Format, named name: String, directory: String?, empty: String
    ) throws(DocumentError) -> (root: Node, source: Source) {
        let source = Source(name: name)
        let root = try root(of: bytes, format, in: source, empty: empty)
        var includes = Includes(in: source, size: bytes.count, directory: directory)
        let whole = try includes.resolve(root)
        return (whole, includes.source)
    }

    /// Returns the files that a document includes; nil if it cannot be read.
    package static func included(by path: String) -> [String]? {
        guard let bytes = try? InputFile.contents(of: path),
            let (_, source) = try? whole(
                of: bytes, format(of: path), named: path, directory: InputFile.directory(of: path), empty: "")
        else { return nil }
        return source.included
    }

    /// Returns the bytes without a byte order mark, which some editors put before UTF-8.
    static func withoutMark(_ bytes: [UInt8]) -> [UInt8] {
        bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes[3...]) : bytes
    }

    /// Parses a document.
    ///
    /// `empty` is the remedy in the error about an empty YAML document.
    package static func root(
        of bytes: [UInt8], _ format: Format, in source: Source, empty: String
    ) throws(DocumentError) -> Node {
        let bytes = withoutMark(bytes)
        let text = try source.text(of: bytes)
        return switch format {
        case .yaml: try YAMLReader.node(of: bytes, text, in: source, empty: empty)
        case .json: try JSONReader.node(of: bytes, in: source)
        }
    }
}
