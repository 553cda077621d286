import Documents
import Steering

/// Decodes a policy from nodes.
struct PolicyDecoder {
    private let source: Source
    private let directory: String?
    private var pools: NamedPools?
    private var bindings = PlacedBindings()
    /// The last port set parsed, with its text: large files repeat a few port sets.
    private var lastPorts = (text: "all", set: PortSet.all)

    static func policy(
        of root: Node, _ source: Source, _ directory: String?, findsAccounts: Bool
    ) throws(DocumentError) -> ServicePolicy {
        var decoder = PolicyDecoder(source: source, directory: directory)
        let file = try Mapping(root, "a policy", keys: Document.keys, in: source)
        let serviceDecoder = ServiceDecoder(source: source, findsAccounts: findsAccounts)
        let (options, services) =
            try file["labels"].map { node throws(DocumentError) in
                try decoder.labels(node, serviceDecoder)
            } ?? ([:], [:])
        decoder.pools = try NamedPools(of: file["pools"], in: source, directory: directory)
        let bindings = try file.required("bindings", "write bindings, or unload if nothing is to be steered any more")
        for node in try source.bindings(bindings) { try decoder.readBindings(of: node) }
        return ServicePolicy(
            policy: try decoder.bindings.policy(options: options), services: services, included: source.included)
    }

    private init(source: Source, directory: String?) {
        self.source = source
        self.directory = directory
    }

    private func labels(
        _ node: Node, _ decoder: ServiceDecoder
    ) throws(DocumentError) -> (options: [Label: LabelOptions], services: [Label: ServiceOptions]) {
        var options: [Label: LabelOptions] = [:]
        var services: [Label: ServiceOptions] = [:]
        for entry in try Mapping(node, "labels", keys: nil, in: source).entries {
            let label = try source.label(entry.key, at: entry.position)
            let fields = try Mapping(
                entry.value, "a label's options", keys: ["without-socket"] + ServiceDecoder.keys, in: source)
            services[label] = try decoder.options(fields)
            if services[label] != nil, fields["without-socket"] == nil { continue }
            let choice = try source.choice(
                try fields.required("without-socket", "write refuse or pass"), of: "without-socket",
                among: WithoutSocket.allCases)
            options[label] = LabelOptions(withoutSocket: choice)
        }
        return (options, services)
    }

    private static let keys = [
        "label", "outcome", "protocols", "prefixes", "prefixes-from", "pool", "ports", "from", "on",
    ]

    private mutating func readBindings(of node: Node) throws(DocumentError) {
        let entry = try Mapping(node, "a binding", keys: Self.keys, in: source)
        let outcome = try outcome(of: entry)
        let protocols = try protocols(
            try entry.required("protocols", "write tcp, udp or tcp+udp"))
        let ports = try ports(
            try entry.required("ports", "write ports such as 80,443,8000-8999, or all for every port"))
        let prefixes = try prefixes(of: entry)
        let sources = try sources(of: entry, prefixes.map(\.0)), interfaces = try interfaces(of: entry)
        for (prefix, place) in prefixes {
            for source in sources[prefix.family] ?? [nil] {
                for interface in interfaces {
                    try bindings.append(at: place) { () throws(SteeringError) in
                        try Binding(protocols, to: prefix, ports: ports, from: source, on: interface, outcome)
                    }
                }
            }
        }
    }

    /// Returns the sources by family; empty if there is no `from`.
    ///
    /// Each prefix must have a source of its family, and each source a prefix.
    private func sources(
        of entry: Mapping, _ prefixes: [IPPrefix]
    ) throws(DocumentError) -> [IPFamily: [IPPrefix?]] {
        guard let node = entry["from"] else { return [:] }
        let hint = "write a source prefix such as 198.51.100.0/24, or a list of them"
        var sources: [IPFamily: [IPPrefix?]] = [:]
        for element in try source.elements(of: node, "from", hint) {
            let text = try source.text(element, of: "from", hint)
            let prefix = try source.prefix(text, at: element.position)
            guard prefixes.contains(where: { $0.family == prefix.family }) else {
                throw source.error(
                    at: element.position,
                    "no prefix of this binding has the family of the source \(prefix): leave it out, or add one")
            }
            sources[prefix.family, default: []].append(prefix)
        }
        if let prefix = prefixes.first(where: { sources[$0.family] == nil }) {
            throw source.error(
                at: node.position,
                "no source here has the family of \(prefix): add one, or write a separate binding")
        }
        return sources
    }

    private func interfaces(of entry: Mapping) throws(DocumentError) -> [InterfaceName?] {
        guard let node = entry["on"] else { return [nil] }
        let hint = "write the name of an interface such as eth0, or a list of them"
        var interfaces: [InterfaceName?] = []
        for element in try source.elements(of: node, "on", hint) {
            let text = try source.text(element, of: "on", hint)
            do { interfaces.append(try InterfaceName(text)) } catch {
                throw source.error(at: element.position, error.message)
            }
        }
        return interfaces
    }

    private func outcome(of entry: Mapping) throws(DocumentError) -> Outcome {
        switch (entry["label"], entry["outcome"]) {
        case (let node?, nil): return .label(try source.label(node))
        case (nil, let node?): return try source.choice(node, of: "outcome", among: [.refuse, .pass])
        case (_?, let node?):
            throw source.error(at: node.position, "a binding has both a label and an outcome: keep one of them")
        case (nil, nil):
            throw source.error(at: entry.position, "a binding has no label: name one, or write outcome: refuse or pass")
        }
    }

    private func protocols(_ node: Node) throws(DocumentError) -> ProtocolMatch {
        guard case .list = node.content else {
            return try source.choice(node, of: "protocols", among: ProtocolMatch.allCases)
        }
        var seen: Set<ProtocolMatch> = []
        for element in try source.elements(of: node, "protocols", "write tcp, udp or both") {
            seen.insert(try source.choice(element, of: "a list of protocols", among: [.tcp, .udp]))
        }
        return seen.count == 1 ? seen.first! : .both
    }

    private mutating func ports(_ node: Node) throws(DocumentError) -> PortSet {
        let hint = "write ports such as 80,443,8000-8999, or all for every port"
        var ranges: [PortRange] = []
        let elements = try source.elements(of: node, "ports", hint)
        for element in elements {
            let text = try source.text(element, of: "ports", hint)
            if text != lastPorts.text {
                do { lastPorts = (text, try PortSet(text)) } catch {
                    throw source.error(at: element.position, error.message)
                }
            }
            let ports = lastPorts.set
            if elements.count == 1 { return ports }
            if ports == .all {
                throw source.error(
                    at: element.position, "all is every port already: write it alone, or leave it out of the list")
            }
            ranges += ports.ranges
        }
        return PortSet(ranges)
    }

    private func prefixes(of entry: Mapping) throws(DocumentError) -> [(IPPrefix, Place)] {
        let hint = "write a prefix such as 192.0.2.0/24, or a list of them"
        var prefixes: [(IPPrefix, Place)] = []
        if let node = entry["prefixes"] {
            for element in try source.elements(of: node, "prefixes", hint) {
                let text = try source.text(element, of: "prefixes", hint)
                prefixes.append((try source.prefix(text, at: element.position), source.place(element.position)))
            }
        }
        if let node = entry["prefixes-from"] { prefixes += try PrefixList.prefixes(named: node, source, directory) }
        if let node = entry["pool"], let pool = try pools?.pool(named: node, in: source) {
            prefixes += pool.addresses.prefixes.map { ($0, source.place(node.position)) }
        }
        if prefixes.isEmpty { throw source.error(at: entry.position, "a binding has no prefixes: \(hint)") }
        return prefixes
    }
}

extension Source {
    /// Returns the nodes of the `bindings` list.
    ///
    /// Unlike other lists, it may be empty.
    func bindings(_ node: Node) throws(DocumentError) -> [Node] {
        guard case .list(let nodes) = node.content else {
            throw error(
                at: node.position,
                "bindings is \(node.content.kind) here: write a list of bindings")
        }
        return nodes
    }

    func label(_ node: Node) throws(DocumentError) -> Label {
        try label(try text(node, of: "label", "write a name such as web"), at: node.position)
    }

    func label(_ text: String, at position: Position) throws(DocumentError) -> Label {
        do { return try Label(text) } catch { throw self.error(at: position, error.message) }
    }

    /// Returns the value whose description is the node's text.
    func choice<Value: CustomStringConvertible>(
        _ node: Node, of subject: String, among values: [Value]
    ) throws(DocumentError) -> Value {
        let words = values.map(\.description)
        let remedy = "write \(words.dropLast().joined(separator: ", ")) or \(words.last!)"
        let text = try text(node, of: subject, remedy)
        guard let index = words.firstIndex(of: text) else {
            throw error(at: node.position, "\(quoted(text)) is not one of the values of \(subject): \(remedy)")
        }
        return values[index]
    }
}
