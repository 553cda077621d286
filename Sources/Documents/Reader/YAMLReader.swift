#if YAML
internal import AddressPools
private import Yams

/// Parses YAML into nodes with Yams: one document without anchors, aliases or tags.
struct YAMLReader {
    private let source: Source

    static func node(
        of bytes: [UInt8], _ text: String, in source: Source, empty: String
    ) throws(DocumentError) -> Node {
        let reader = YAMLReader(source: source)
        try reader.refuseAliasBomb(in: bytes, text)
        let parser: Parser
        let root: Yams.Node?
        do {
            // The basic resolver does not infer types, which would take most of the time and is not needed.
            parser = try Parser(yaml: text, resolver: .basic, encoding: .utf8)
            root = try parser.singleRoot()
        } catch {
            throw reader.syntaxError(error, in: text)
        }
        guard let root else {
            throw source.error(at: Position(), "the file is empty: \(empty)")
        }
        // The parser owns the anchors, which nodes reference weakly.
        defer { withExtendedLifetime(parser) {} }
        return try reader.node(of: root, depth: 1)
    }

    /// Rejects text with more than four apparent aliases before Yams expands them.
    ///
    /// Fewer cannot expand to much and are rejected after parsing, where they can be distinguished from comments that
    /// look like an alias.
    private func refuseAliasBomb(in bytes: [UInt8], _ text: String) throws(DocumentError) {
        var seen = 0
        for star in bytes.indices.dropLast() where bytes[star] == UInt8(ascii: "*") && isNameByte(bytes[star + 1]) {
            if star > 0, isNameByte(bytes[star - 1]) { continue }
            seen += 1
            if seen > 4 { throw alias(at: Position(of: star, in: text)) }
        }
    }

    private func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    private func alias(at position: Position) -> DocumentError {
        source.error(at: position, "anchors and aliases are not allowed in a policy: write the value where it is used")
    }

    /// Converts a node.
    ///
    /// Checks it before its children: the target of an alias has an anchor, so no node is visited twice.
    private func node(of node: Yams.Node, depth: Int) throws(DocumentError) -> Node {
        let position = Position(node.mark)
        if node.anchor != nil { throw alias(at: position) }
        switch node {
        case .scalar(let scalar):
            try refuseTag(scalar.tag, .str, at: position)
            return Node(position: position, content: .text(scalar.string))
        case .sequence(let sequence):
            guard depth <= Node.maximumDepth else { throw source.tooDeep(at: position) }
            try refuseTag(sequence.tag, .seq, at: position)
            var elements: [Node] = []
            elements.reserveCapacity(sequence.count)
            for element in sequence { elements.append(try self.node(of: element, depth: depth + 1)) }
            return Node(position: position, content: .list(elements))
        case .mapping(let mapping):
            guard depth <= Node.maximumDepth else { throw source.tooDeep(at: position) }
            try refuseTag(mapping.tag, .map, at: position)
            var entries: [Node.Entry] = []
            entries.reserveCapacity(mapping.count)
            for (key, value) in mapping {
                let value = try self.node(of: value, depth: depth + 1)
                entries.append(try entry(key, value, depth: depth))
            }
            return Node(position: position, content: .mapping(entries))
        case .alias: throw alias(at: position)
        }
    }

    private func entry(_ key: Yams.Node, _ value: Node, depth: Int) throws(DocumentError) -> Node.Entry {
        let key = try node(of: key, depth: depth + 1)
        guard case .text(let text) = key.content else {
            throw source.error(at: key.position, "a key is \(key.content.kind) here: write a word")
        }
        return Node.Entry(key: text, position: key.position, value: value)
    }

    private func refuseTag(_ tag: Tag, _ plain: Tag.Name, at position: Position) throws(DocumentError) {
        if tag.rawValue.isEmpty || tag.rawValue == plain.rawValue { return }
        throw source.error(at: position, "the tag \(quoted(tag.rawValue)) is not allowed in a policy: remove it")
    }
}

// MARK: - Yams errors

extension YAMLReader {
    private func syntaxError(_ error: any Error, in text: String) -> DocumentError {
        switch error as? YamlError {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            if problem.hasPrefix("Maximum nesting level") { return source.tooDeep(at: Position(mark)) }
            let context = context.map { " \($0.text) on line \($0.mark.line)" } ?? ""
            let remedy = colon(at: mark, in: text)?.remedy ?? "fix the syntax"
            return source.error(
                at: Position(mark), "this is not a valid YAML document, \(problem)\(context): \(remedy)")
        case .duplicatedKeysInMapping(let keys, let context):
            let (key, first) = (keys.first ?? "", Position(context.mark))
            let second = RepeatedKey(key, at: first).second(in: text) ?? first
            return source.repeatedKey(key, at: second, first: first)
        case .reader(let problem, let offset, _, _):
            let before = text.prefix(offset ?? 0)
            return source.error(
                at: Position(of: before.utf8.count, in: text), "this is not YAML, \(problem): remove the character")
        default:
            return source.error(at: Position(), "this is not YAML: fix the syntax")
        }
    }
}

extension YAMLReader {
    /// A colon that YAML did not expect.
    private enum Colon {
        /// The first character of a text: within brackets, YAML parses the colon of `[::/0]` as the end of a key.
        case beginsText
        /// The end of a key, where no key can be, as the second colon of `a: b: c`.
        case endsKey

        var remedy: String {
            switch self {
            case .beginsText: "put text that begins with a colon in quotes"
            case .endsKey: "put text with \": \" in quotes, or begin a new line with the key"
            }
        }
    }

    private func colon(at mark: Mark, in text: String) -> Colon? {
        let lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
        guard mark.line <= lines.count, case let line = Array(lines[mark.line - 1]), mark.column <= line.count,
            line[mark.column - 1] == ":"
        else { return nil }
        let before = mark.column > 1 ? line[mark.column - 2] : " "
        let after = mark.column < line.count ? line[mark.column] : " "
        if " \t[{,".unicodeScalars.contains(before) {
            return " \t\r".unicodeScalars.contains(after) ? nil : .beginsText
        }
        return .endsKey
    }
}

/// A key that is twice in a mapping. Yams tells the place of the first one only.
private struct RepeatedKey {
    /// The keys that are known to be repeated, by their places.
    private var known: [Position: String]
    private let key: String
    private let first: Position

    init(_ key: String, at first: Position) {
        self.key = key
        self.first = first
        known = [first: key]
    }

    /// Returns the place of the second one; nil if it is not found.
    ///
    /// Parses the text again, with another letter in the first one, until no key is repeated.
    consuming func second(in text: String) -> Position? {
        for _ in 0..<8 {
            guard let changed = replacingKnown(in: text) else { return nil }
            do {
                let parser = try Parser(yaml: changed, resolver: .basic, encoding: .utf8)
                let root = try parser.singleRoot()
                return withExtendedLifetime(parser) { root.flatMap(second(below:)) }
            } catch YamlError.duplicatedKeysInMapping(let keys, let context) {
                known[Position(context.mark)] = keys.first
            } catch { return nil }
        }
        return nil
    }

    private func second(below node: Yams.Node) -> Position? {
        switch node {
        case .sequence(let nodes): return nodes.lazy.compactMap { second(below: $0) }.first
        case .mapping(let pairs):
            let keys = pairs.map(\.key)
            guard keys.contains(where: { Position($0.mark) == first }) else {
                return pairs.lazy.compactMap { second(below: $0.key) ?? second(below: $0.value) }.first
            }
            return keys.first { node in
                let position = Position(node.mark)
                return position != first && (known[position] ?? node.string) == key
            }.map { Position($0.mark) }
        default: return nil
        }
    }

    /// Returns the text with a letter of each known key replaced, by a different private one for each.
    private func replacingKnown(in text: String) -> String? {
        var changed = String.UnicodeScalarView()
        var position = Position(), left = known.count
        var isQuoted = false
        var replacement = UInt32(0xE000)
        for scalar in text.unicodeScalars {
            if isQuoted || known[position] != nil {
                isQuoted = !isQuoted && (scalar == "\"" || scalar == "'")
                changed.append(isQuoted ? scalar : Unicode.Scalar(replacement)!)
                if !isQuoted { (left, replacement) = (left - 1, replacement + 1) }
            } else {
                changed.append(scalar)
            }
            position.pass(scalar)
        }
        return left == 0 ? String(changed) : nil
    }
}

extension Position {
    fileprivate init(_ mark: Mark?) {
        self.init(line: mark?.line ?? 1, column: mark?.column ?? 1)
    }

    fileprivate init(of offset: Int, in text: String) {
        self.init()
        for scalar in text.unicodeScalars[..<text.utf8.index(text.startIndex, offsetBy: offset)] { pass(scalar) }
    }
}
#else
/// Replaces the reader in builds without Yams.
enum YAMLReader {
    static func node(
        of bytes: [UInt8], _ text: String, in source: Source, empty: String
    ) throws(DocumentError) -> Node {
        throw source.error(
            at: Position(), "this build cannot read YAML: write JSON, or build with the package trait YAML")
    }
}
#endif
