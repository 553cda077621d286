internal import AddressPools

/// A node of a YAML or JSON document: text, list or mapping, with its source position.
///
/// Numbers remain text, so that no port is parsed as octal, sexagesimal or floating-point.
package struct Node: Sendable {
    package let position: Position
    package let content: Content

    package enum Content: Sendable {
        case text(String)
        case list([Node])
        case mapping([Entry])
    }

    package struct Entry: Sendable {
        package let key: String
        package let position: Position
        package let value: Node
    }

    /// The maximum nesting depth of lists and mappings; a policy needs four levels.
    static let maximumDepth = 16
}

extension Node.Content {
    /// "text", "a list" or "a mapping".
    package var kind: String {
        switch self {
        case .text: "text"
        case .list: "a list"
        case .mapping: "a mapping"
        }
    }
}

/// A mapping without duplicate or unknown keys.
package struct Mapping {
    package let source: Source
    package let position: Position
    let subject: String
    package let entries: [Node.Entry]

    /// Checks that a node is a mapping with valid keys; any are valid if `known` is `nil`.
    ///
    /// Errors call it `subject`, such as "a binding".
    package init(_ node: Node, _ subject: String, keys known: [String]?, in source: Source) throws(DocumentError) {
        guard case .mapping(let entries) = node.content else {
            let keys = known.map { " with the keys \($0.joined(separator: ", "))" } ?? ""
            throw source.error(
                at: node.position, "\(subject) is \(node.content.kind) here: write a mapping\(keys)")
        }
        self.source = source
        self.position = node.position
        self.subject = subject
        self.entries = entries
        try refuseRepeats()
        guard let known else { return }
        for entry in entries where !known.contains(entry.key) { throw unknown(entry, among: known) }
    }

    package subscript(key: String) -> Node? { entries.first { $0.key == key }?.value }

    /// Returns the value of a key that must be present.
    package func required(_ key: String, _ remedy: String) throws(DocumentError) -> Node {
        guard let node = self[key] else {
            throw source.error(at: position, "\(subject) has no \(key): \(remedy)")
        }
        return node
    }

    private func refuseRepeats() throws(DocumentError) {
        if entries.count <= 8 {
            // With few keys, comparing all pairs is faster than a hash table, and most mappings are small.
            for index in entries.indices.dropFirst() {
                guard let twin = entries[..<index].first(where: { $0.key == entries[index].key }) else { continue }
                throw source.repeatedKey(twin.key, at: twin.position)
            }
        } else {
            var seen: [String: Position] = [:]
            for entry in entries {
                let twin = seen.updateValue(entry.position, forKey: entry.key)
                if let twin { throw source.repeatedKey(entry.key, at: twin) }
            }
        }
    }

    private func unknown(_ entry: Node.Entry, among known: [String]) -> DocumentError {
        let remedy =
            nearest(to: entry.key, among: known).map { "did you mean \($0)?" }
            ?? "its keys are \(known.joined(separator: ", "))"
        return source.error(at: entry.position, "\(quoted(entry.key)) is not a key of \(subject): \(remedy)")
    }
}

extension Source {
    package func repeatedKey(_ key: String, at position: Position) -> DocumentError {
        error(at: position, "the key \(quoted(key)) is written again in the same mapping: keep one of them")
    }

    /// Returns the text of a node, which must be a non-empty text.
    package func text(_ node: Node, of subject: String, _ remedy: String) throws(DocumentError) -> String {
        guard case .text(let text) = node.content else {
            throw error(at: node.position, "\(subject) is \(node.content.kind) here: \(remedy)")
        }
        if text.isEmpty { throw error(at: node.position, "\(subject) is empty: \(remedy)") }
        return text
    }

    /// Returns the elements of a list, which must not be empty; a node that is not a list counts as a list of one.
    package func elements(of node: Node, _ subject: String, _ remedy: String) throws(DocumentError) -> [Node] {
        guard case .list(let nodes) = node.content else { return [node] }
        if nodes.isEmpty { throw error(at: node.position, "\(subject) is an empty list: \(remedy)") }
        return nodes
    }
}

/// Returns the known word with the smallest edit distance to `word`, among those where it is at most half their length.
func nearest(to word: String, among known: [String]) -> String? {
    guard word.utf8.count <= 32 else { return nil }
    let ranked = known.map { (word: $0, distance: distance(Array(word.utf8), Array($0.utf8))) }
    return ranked.filter { $0.distance <= $0.word.utf8.count / 2 }.min { $0.distance < $1.distance }?.word
}

/// Returns the Levenshtein distance.
private func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
    var row = Array(0...right.count)
    for (i, letter) in left.enumerated() {
        var diagonal = i
        row[0] = i + 1
        for j in right.indices {
            let replaced = diagonal + (letter == right[j] ? 0 : 1)
            diagonal = row[j + 1]
            row[j + 1] = min(replaced, row[j] + 1, diagonal + 1)
        }
    }
    return row[right.count]
}
