internal import AddressPools

/// Puts the contents of the files that a document includes into it.
///
/// ```yaml
/// include: [pools.yaml, customers/names.yaml]
/// ```
///
/// What is a list gets the elements of the included files, in their order, before its own; what is a mapping gets their
/// entries. Paths, of included files and in them, begin at the directory of the first file.
struct Includes {
    /// The maximum number of files that a document may include; together they may be as large as one document.
    static let maximumFiles = 256

    private(set) var source: Source
    private let directory: String?
    private var size: Int
    /// The files that were read, with the places that included them.
    private var files: [(identity: FileIdentity, place: Place?)] = []

    /// - Parameters:
    ///   - size: The size of the document in bytes.
    ///   - directory: The base of relative paths; if `nil`, the document must not include files.
    init(in source: Source, size: Int, directory: String?) {
        self.source = source
        self.size = size
        self.directory = directory
        if let identity = FileIdentity(source.name) { files = [(identity, nil)] }
    }

    /// Returns a document with the contents of the files that it includes.
    mutating func resolve(_ root: Node) throws(DocumentError) -> Node {
        guard case .mapping(let own) = root.content, own.contains(where: { $0.key == "include" }) else { return root }
        let hint = "write the path of a file, or a list of them"
        let include = try Mapping(root, "a policy", keys: nil, in: source)["include"]!
        var entries: [Node.Entry] = []
        for element in try source.elements(of: include, "include", hint) {
            let path = try source.text(element, of: "include", hint)
            guard case .mapping(let others) = try document(path, element.position).content else { continue }
            for entry in others { Self.add(entry, to: &entries) }
        }
        for entry in own where entry.key != "include" { Self.add(entry, to: &entries) }
        return Node(position: root.position, content: .mapping(entries))
    }

    private mutating func document(_ name: String, _ position: Position) throws(DocumentError) -> Node {
        guard let directory else {
            throw source.error(
                at: position, "only a policy that is read from a file can include others: write its contents here")
        }
        let path = InputFile.path(name, in: directory)
        let bytes = try contents(of: path, position)
        source.included.append(path)
        let number = source.included.count
        let root = try Document.root(
            of: bytes, Document.format(of: path), in: Source(name: path),
            empty: "write pools, names or bindings, or do not include it"
        ).inFile(number)
        guard case .mapping = root.content else {
            throw source.error(
                at: root.position, "an included file is \(root.content.kind) here: write a mapping, as in a policy")
        }
        return try resolve(root)
    }

    private mutating func contents(of path: String, _ position: Position) throws(DocumentError) -> [UInt8] {
        if let identity = FileIdentity(path) {
            if let (_, place) = files.first(where: { $0.identity == identity }) {
                let first = place.map { "is included already, at \($0)" } ?? "includes itself"
                throw source.error(at: position, "\(path) \(first): leave this out")
            }
            files.append((identity, source.place(position)))
        }
        guard source.included.count < Self.maximumFiles else {
            throw source.error(
                at: position, "more than \(Self.maximumFiles) files are included: put some of them together")
        }
        let bytes: [UInt8]
        do { bytes = try InputFile.contents(of: path) } catch { throw source.error(at: position, error.message) }
        size += bytes.count
        guard size <= Document.maximumSize else {
            throw source.error(
                at: position,
                "with \(path) the policy is larger than \(Document.maximumSize >> 20) MiB: make it smaller")
        }
        return bytes
    }
}

// MARK: - Joining

extension Includes {
    private static let lists: Set = ["bindings", "zones", "policies"]
    private static let mappings: Set = ["labels", "pools", "lists"]

    /// Adds an entry to a mapping. What cannot be joined is there twice, which the mapping's reader refuses.
    private static func add(_ entry: Node.Entry, to entries: inout [Node.Entry]) {
        guard let place = entries.firstIndex(where: { $0.key == entry.key }),
            let content = joined(entries[place].value, entry)
        else {
            entries.append(entry)
            return
        }
        let value = Node(position: entry.value.position, content: content)
        entries[place] = Node.Entry(key: entry.key, position: entry.position, value: value)
    }

    private static func joined(_ first: Node, _ entry: Node.Entry) -> Node.Content? {
        if lists.contains(entry.key) { return .list(elements(of: first) + elements(of: entry.value)) }
        guard case (.mapping(var entries), .mapping(let others)) = (first.content, entry.value.content) else {
            return nil
        }
        if mappings.contains(entry.key) { return .mapping(entries + others) }
        guard entry.key == "names" else { return nil }
        for other in others { add(other, to: &entries) }
        return .mapping(entries)
    }

    private static func elements(of node: Node) -> [Node] {
        if case .list(let nodes) = node.content { nodes } else { [node] }
    }
}

extension Node {
    /// The same node, of an included file.
    fileprivate func inFile(_ number: Int) -> Node {
        let moved: Content =
            switch content {
            case .text: content
            case .list(let nodes): .list(nodes.map { $0.inFile(number) })
            case .mapping(let entries):
                .mapping(
                    entries.map {
                        Entry(key: $0.key, position: $0.position.inFile(number), value: $0.value.inFile(number))
                    })
            }
        return Node(position: position.inFile(number), content: moved)
    }
}

extension Position {
    fileprivate func inFile(_ number: Int) -> Position {
        var position = self
        position.file = number
        return position
    }
}
