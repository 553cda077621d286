package import AddressPools

/// The named pools of a document.
///
/// Bindings use them as destination prefixes, name policies as addresses to answer with.
///
/// ```yaml
/// pools:
///   web: [192.0.2.0/24, 2001:db8::/44]
///   sale: { prefixes: 198.51.100.0/24, prefixes-from: more.txt, without-ends: true, drained-from: drained.txt }
/// ```
package struct NamedPools: Sendable {
    package struct Pool: Sendable {
        package let name: String
        package let position: Position
        /// All addresses; bindings cover these. Empty only if `prefixes-from` names a file without prefixes.
        package let addresses: PrefixPool
        /// The addresses that DNS may answer with: all but drained ones and, with `without-ends: true`, the first and
        /// last of each IPv4 prefix.
        package let handedOut: PrefixPool
        /// The paths of `prefixes-from` and `drained-from`, which commands write; `nil` if the document has none.
        package let prefixesFile, drainedFile: String?
    }

    package let pools: [Pool]
    /// The indices in `pools` by name.
    private let numbers: [String: Int]

    /// Decodes the `pools` of a document.
    ///
    /// `directory` is the base of relative paths; if `nil`, the document must not refer to files.
    package init(of node: Node?, in source: Source, directory: String?) throws(DocumentError) {
        var pools: [Pool] = []
        if let node {
            for entry in try Mapping(node, "pools", keys: nil, in: source).entries {
                pools.append(try Self.pool(entry, source, directory))
            }
        }
        self.pools = pools
        numbers = Dictionary(uniqueKeysWithValues: zip(pools.map(\.name), pools.indices))
    }

    package subscript(name: String) -> Pool? { numbers[name].map { pools[$0] } }

    /// Returns the pool with the name that a node contains.
    package func pool(named node: Node, in source: Source) throws(DocumentError) -> Pool {
        let name = try source.text(node, of: "pool", "write the name of a pool")
        if let pool = self[name] { return pool }
        let remedy =
            nearest(to: name, among: pools.map(\.name)).map { "did you mean \($0)?" } ?? "write it under pools first"
        throw source.error(at: node.position, "there is no pool \(quoted(name)): \(remedy)")
    }

    private static let hint = "write a prefix such as 192.0.2.0/24, or a list of them"

    private static func pool(
        _ entry: Node.Entry, _ source: Source, _ directory: String?
    ) throws(DocumentError) -> Pool {
        let name = entry.key
        guard name.utf8.count <= 64, name.utf8.allSatisfy({ isNameByte($0) }), !name.isEmpty else {
            throw source.error(
                at: entry.position, "\(quoted(name)) is not the name of a pool: use 1 to 64 of A-Z a-z 0-9 . _ -")
        }
        guard case .mapping = entry.value.content else {
            let addresses = PrefixPool(try prefixes(entry.value, source))
            return Pool(
                name: name, position: entry.position, addresses: addresses, handedOut: addresses, prefixesFile: nil,
                drainedFile: nil)
        }
        let keys = ["prefixes", "prefixes-from", "without-ends", "drained-from"]
        let fields = try Mapping(entry.value, "a pool", keys: keys, in: source)
        var all: [IPPrefix] = []
        if let node = fields["prefixes"] { all += try prefixes(node, source) }
        if let node = fields["prefixes-from"] {
            all += try PrefixList.prefixes(named: node, source, directory, mayBeEmpty: true).map(\.0)
        } else if all.isEmpty {
            throw source.error(at: entry.position, "the pool \(name) has no prefixes: \(hint)")
        }
        let addresses = PrefixPool(all)
        var handedOut = addresses
        if let node = fields["without-ends"], try isTrue(node, source) {
            handedOut = handedOut.subtracting(PrefixPool(all.flatMap(ends)))
        }
        if let node = fields["drained-from"] {
            handedOut = handedOut.subtracting(PrefixPool(try PrefixList.drained(named: node, source, directory)))
        }
        return Pool(
            name: name, position: entry.position, addresses: addresses, handedOut: handedOut,
            prefixesFile: try path(fields["prefixes-from"], source, directory),
            drainedFile: try path(fields["drained-from"], source, directory))
    }

    private static func path(_ node: Node?, _ source: Source, _ directory: String?) throws(DocumentError) -> String? {
        try node.map { node throws(DocumentError) in try PrefixList.path(named: node, source, directory) }
    }

    private static func prefixes(_ node: Node, _ source: Source) throws(DocumentError) -> [IPPrefix] {
        var prefixes: [IPPrefix] = []
        for element in try source.elements(of: node, "prefixes", hint) {
            let text = try source.text(element, of: "prefixes", hint)
            prefixes.append(try source.prefix(text, at: element.position))
        }
        return prefixes
    }

    /// Returns the network and broadcast addresses of an IPv4 prefix.
    ///
    /// A /31 and a /32 have none (RFC 3021).
    private static func ends(of prefix: IPPrefix) -> [IPPrefix] {
        guard prefix.family == .ipv4, prefix.length < 31 else { return [] }
        return [prefix.first, prefix.last].map { IPPrefix(masking: $0, length: 32) }
    }

    private static func isTrue(_ node: Node, _ source: Source) throws(DocumentError) -> Bool {
        switch try source.text(node, of: "without-ends", "write true or false") {
        case "true": return true
        case "false": return false
        default: throw source.error(at: node.position, "without-ends is true or false: write one of them")
        }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."):
            true
        default: false
        }
    }
}
