package import AddressPools
import Glibc

/// Reads files with one prefix per line; blank lines and comments, from `#` to the end of the line, are ignored.
package enum PrefixList {
    /// Returns the prefixes of the file that a node such as `prefixes-from` names.
    package static func prefixes(
        named node: Node, _ source: Source, _ directory: String?, mayBeEmpty: Bool = false
    ) throws(DocumentError) -> [(IPPrefix, Place)] {
        let path = try path(named: node, source, directory)
        let bytes: [UInt8]
        do { bytes = try InputFile.contents(of: path) } catch {
            throw source.error(at: node.position, error.message)
        }
        let prefixes = try prefixes(in: bytes, Source(name: path))
        if prefixes.isEmpty, !mayBeEmpty {
            throw source.error(at: node.position, "\(path) has no prefixes: add one")
        }
        return prefixes
    }

    /// Returns the prefixes of the file that a `drained-from` node names, which may be missing or empty.
    package static func drained(
        named node: Node, _ source: Source, _ directory: String?
    ) throws(DocumentError) -> [IPPrefix] {
        let path = try path(named: node, source, directory)
        guard access(path, F_OK) == 0 || errno != ENOENT else { return [] }
        do { return try prefixes(in: try InputFile.contents(of: path), Source(name: path)).map(\.0) } catch {
            throw source.error(at: node.position, error.message)
        }
    }

    /// Returns the path that a node contains, relative to `directory`; an error if that is `nil`.
    package static func path(named node: Node, _ source: Source, _ directory: String?) throws(DocumentError) -> String {
        let name = try source.text(node, of: "a file", "write the path of a file with one prefix per line")
        guard let directory else {
            throw source.error(
                at: node.position, "files need a policy that is read from a file: write the prefixes here")
        }
        return InputFile.path(name, in: directory)
    }

    package static func prefixes(in bytes: [UInt8], _ source: Source) throws(DocumentError) -> [(IPPrefix, Place)] {
        let bytes = Document.withoutMark(bytes)
        _ = try source.text(of: bytes)
        var prefixes: [(IPPrefix, Place)] = []
        var line = 0
        for bytes in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            line += 1
            let content = bytes.prefix { $0 != UInt8(ascii: "#") }
            guard let first = content.firstIndex(where: { !isSpace($0) }) else { continue }
            let last = content.lastIndex { !isSpace($0) }!
            let position = Position(line: line, column: first - bytes.startIndex + 1)
            let prefix = try source.prefix(String(decoding: content[first...last], as: UTF8.self), at: position)
            prefixes.append((prefix, source.place(position)))
        }
        return prefixes
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r")
    }
}

extension Source {
    /// Parses a prefix.
    ///
    /// IPv4-mapped ones are refused: neither packets nor clients have such addresses, so they would match nothing.
    package func prefix(_ text: String, at position: Position) throws(DocumentError) -> IPPrefix {
        let prefix: IPPrefix
        do { prefix = try IPPrefix(text) } catch { throw self.error(at: position, error.message) }
        guard !prefix.isIPv4Mapped else {
            throw error(
                at: position, "\(prefix) is an IPv4 prefix as dual-stack sockets write it: write \(prefix.unmapped)")
        }
        return prefix
    }
}
