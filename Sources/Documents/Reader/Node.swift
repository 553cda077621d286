internal import AddressPools

/// What YAML and JSON have in common: texts, lists and mappings, each with its place. Numbers are texts as they are
/// written, so that nothing is read as octal, sexagesimal or a float on its way to a port.
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

    /// How deep lists and mappings may lie in each other; a policy needs four.
    static let maximumDepth = 16
}

extension Node.Content {
    /// "a text", "a list" or "a mapping".
    package var kind: String {
        switch self {
        case .text: "a text"
        case .list: "a list"
        case .mapping: "a mapping"
        }
    }
}

/// A mapping whose keys are known and written once.
package struct Mapping {
    package let source: Source
    package let position: Position
    let subject: String
    package let entries: [Node.Entry]

    /// - Parameters:
    ///   - subject: what errors call the mapping, such as "a binding".
    ///   - known: its keys; nil when any are.
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

    package func required(_ key: String, _ remedy: String) throws(DocumentError) -> Node {
        guard let node = self[key] else {
            throw source.error(at: position, "\(subject) has no \(key): \(remedy)")
        }
        return node
    }

    private func refuseRepeats() throws(DocumentError) {
        if entries.count <= 8 {
            // Looking at each pair of a few keys is faster than a table, and most mappings are many and small.
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

    /// The text of a node that must be one.
    package func text(_ node: Node, of subject: String, _ remedy: String) throws(DocumentError) -> String {
        guard case .text(let text) = node.content else {
            throw error(at: node.position, "\(subject) is \(node.content.kind) here: \(remedy)")
        }
        if text.isEmpty { throw error(at: node.position, "\(subject) is empty: \(remedy)") }
        return text
    }

    /// The elements of a list, or the one node that stands for a list of one.
    package func elements(of node: Node, _ subject: String, _ remedy: String) throws(DocumentError) -> [Node] {
        guard case .list(let nodes) = node.content else { return [node] }
        if nodes.isEmpty { throw error(at: node.position, "\(subject) is an empty list: \(remedy)") }
        return nodes
    }
}

/// The word that most likely was meant: the one that takes the fewest edits, if these are at most half its letters.
func nearest(to word: String, among known: [String]) -> String? {
    guard word.utf8.count <= 32 else { return nil }
    let ranked = known.map { (word: $0, distance: distance(Array(word.utf8), Array($0.utf8))) }
    return ranked.filter { $0.distance <= $0.word.utf8.count / 2 }.min { $0.distance < $1.distance }?.word
}

/// The number of letters to insert, remove or replace (Levenshtein).
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
