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
                throw source.repeatedKey(twin.key, at: entries[index].position, first: twin.position)
            }
        } else {
            var seen: [String: Position] = [:]
            for entry in entries {
                let twin = seen.updateValue(entry.position, forKey: entry.key)
                if let twin { throw source.repeatedKey(entry.key, at: entry.position, first: twin) }
            }
        }
    }

    private func unknown(_ entry: Node.Entry, among known: [String]) -> DocumentError {
        let remedy =
            listCutAtComma(before: entry, known).map { "in braces a comma ends the value, so write \($0)" }
            ?? nearest(to: entry.key, among: known).map { "did you mean \($0)?" }
            ?? "its keys are \(known.joined(separator: ", "))"
        return source.error(at: entry.position, "\(quoted(entry.key)) is not a key of \(subject): \(remedy)")
    }

    /// Returns what `{ ports: 80,443 }` was meant to be, `ports: [80, 443]`: YAML reads `443` as a key without a value.
    private func listCutAtComma(before entry: Node.Entry, _ known: [String]) -> String? {
        func isRest(_ entry: Node.Entry) -> Bool {
            if case .text("") = entry.value.content { !known.contains(entry.key) } else { false }
        }
        guard isRest(entry), let place = entries.firstIndex(where: { $0.position == entry.position }), place > 0,
            case .text(let first) = entries[place - 1].value.content, !first.isEmpty
        else { return nil }
        let rest = entries[place...].prefix(while: isRest).map(\.key)
        return "\(entries[place - 1].key): [\(([first] + rest).joined(separator: ", "))]"
    }
}

extension Source {
    func repeatedKey(_ key: String, at position: Position, first: Position) -> DocumentError {
        let isNear = (first.file, first.line) == (position.file, position.line)
        let place = isNear ? "column \(first.column)" : self.place(first).seen(from: self.place(position))
        return error(
            at: position, "the key \(quoted(key)) is in the same mapping already, at \(place): keep one of them")
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
