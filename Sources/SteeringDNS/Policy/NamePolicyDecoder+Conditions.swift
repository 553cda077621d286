import AddressPools
import Documents

/// The values of a policy's conditions.
extension NamePolicyDecoder {
    func names(_ node: Node?, _ key: String) throws(DocumentError) -> [(name: DNSName, position: Position)] {
        guard let node else { return [] }
        var names: [(DNSName, Position)] = []
        for element in try source.elements(of: node, key, "write a name such as www.example.com") {
            let name = try name(element, key)
            try refuseAsterisk(name, key, element.position)
            names.append((name, element.position))
        }
        return names
    }

    /// In a name an asterisk is a letter like any other, and in a zone file for other servers it is a wildcard.
    private func refuseAsterisk(_ name: DNSName, _ key: String, _ position: Position) throws(DocumentError) {
        guard name.wire.contains(UInt8(ascii: "*")) else { return }
        let remedy: String
        if name.isWildcard, let parent = name.parent, !parent.wire.contains(UInt8(ascii: "*")) {
            let text = parent.description.dropLast()
            remedy = "write suffix: \(text), which matches \(text) and all names below it"
        } else {
            remedy = "write the names in a list, or a suffix that they have in common"
        }
        throw source.error(
            at: position,
            "\(quoted(String(name.description.dropLast()))) has an asterisk, which stands for nothing in \(key): \(remedy)"
        )
    }

    func name(_ node: Node, _ subject: String) throws(DocumentError) -> DNSName {
        let text = try source.text(node, of: subject, "write a name such as www.example.com")
        do { return try DNSName(text) } catch { throw source.error(at: node.position, error.message) }
    }

    func families(_ node: Node) throws(DocumentError) -> Set<IPFamily> {
        var families: Set<IPFamily> = []
        for element in try source.elements(of: node, "types", "write A, AAAA or both") {
            families.insert(try source.word(element, of: "types", among: ["A", "AAAA"]) == "A" ? .ipv4 : .ipv6)
        }
        return families
    }

    /// Returns the clients of a policy: the prefixes that it has itself, and those of a file.
    mutating func clients(_ node: Node?, from file: Node?) throws(DocumentError) -> PrefixPool? {
        let hint = "write a prefix such as 198.51.100.0/24, a list of them, or clients-from: FILE"
        var prefixes: [IPPrefix] = []
        for element in try node.map({ node throws(DocumentError) in try source.elements(of: node, "clients", hint) })
            ?? []
        {
            let text = try source.text(element, of: "clients", hint)
            prefixes.append(try source.prefix(text, at: element.position))
        }
        guard let file else { return node == nil ? nil : PrefixPool(prefixes) }
        let pool = try clients(from: file)
        return prefixes.isEmpty ? pool : pool.union(PrefixPool(prefixes))
    }

    /// Reads a file of clients, once for all policies that name it.
    private mutating func clients(from node: Node) throws(DocumentError) -> PrefixPool {
        let path = try PrefixList.path(named: node, source, directory)
        if let known = clientFiles[path] { return known }
        let prefixes = try PrefixList.prefixes(named: node, source, directory)
        let pool = PrefixPool(prefixes.map(\.0))
        clientFiles[path] = pool
        return pool
    }
}
