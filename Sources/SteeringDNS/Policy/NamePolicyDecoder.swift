import AddressPools
import Documents

/// The contents of a policy document, with positions for errors. Cross-references are not checked yet.
struct NamePolicyDraft {
    var source: Source
    var directory: String
    var pools: NamedPools
    var zones: [ZoneEntry] = []
    var lists: [ListEntry] = []
    var listNames: Set<String> = []
    var policies: [DraftedPolicy] = []
    /// The paths of the files of clients.
    var clientFiles: [String] = []
    var usesClientSubnet = false

    struct ZoneEntry {
        let path: String
        let origin: DNSName?
        let position: Position
    }

    struct ListEntry {
        let name: String
        let path: String
        /// Whether its names match together with all names below.
        let isOfSuffixes: Bool
        let position: Position
    }
}

/// A policy, with the positions of its parts.
struct DraftedPolicy {
    let policy: AddressPolicy
    let source: Source
    let position: Position
    /// The positions of the names and the suffixes, by index.
    let exact: [Position], suffixes: [Position]
    let keys: Mapping

    var place: Place { source.place(position) }

    /// The place of a key's value; that of the policy if it does not have the key.
    func place(of key: String) -> Place { source.place(keys[key]?.position ?? position) }

    /// All names, exact and suffixes, with their places.
    var names: [(name: DNSName, isSuffix: Bool, place: Place)] {
        zip(policy.names, exact).map { ($0, false, source.place($1)) }
            + zip(policy.suffixes, suffixes).map { ($0, true, source.place($1)) }
    }
}

/// Decodes the nodes of a document into a draft.
struct NamePolicyDecoder {
    let source: Source
    let directory: String
    /// The files of clients that were read, by path.
    var clientFiles: [String: PrefixPool] = [:]

    init(source: Source, directory: String) {
        self.source = source
        self.directory = directory
    }

    mutating func draft(of root: Node) throws(DocumentError) -> NamePolicyDraft {
        let file = try Mapping(root, "a policy", keys: Document.keys, in: source)
        let names = try Mapping(
            try file.required("names", "write names: with zones and policies"), "names",
            keys: ["zones", "lists", "client-subnet", "policies"], in: source)
        var draft = NamePolicyDraft(
            source: source, directory: directory,
            pools: try NamedPools(of: file["pools"], in: source, directory: directory))
        let zones = try names.required("zones", "name the zone files, which have SOA and NS")
        for node in try source.elements(of: zones, "zones", "name a zone file") {
            draft.zones.append(try zone(node))
        }
        if let node = names["lists"] {
            for entry in try Mapping(node, "lists", keys: nil, in: source).entries {
                draft.listNames.insert(entry.key)
                draft.lists.append(try list(entry.key, entry.value, entry.position))
            }
        }
        if let node = names["client-subnet"] {
            draft.usesClientSubnet = try source.word(node, of: "client-subnet", among: ["use", "ignore"]) == "use"
        }
        let policies = try names.required("policies", "write a list of policies, the last of which matches everything")
        for node in try source.elements(
            of: policies, "policies", "write a policy such as - { name: default, pool: web }")
        {
            draft.policies.append(try policy(node, draft))
        }
        draft.clientFiles = clientFiles.keys.sorted()
        return draft
    }

    private func resolved(_ path: String) -> String {
        path == "-" ? path : InputFile.path(path, in: directory)
    }

    private func zone(_ node: Node) throws(DocumentError) -> NamePolicyDraft.ZoneEntry {
        let hint = "write the path of a zone file, or { origin: example.com, file: PATH }"
        guard case .mapping = node.content else {
            let path = try source.text(node, of: "a zone", hint)
            return .init(path: resolved(path), origin: nil, position: node.position)
        }
        let fields = try Mapping(node, "a zone", keys: ["origin", "file"], in: source)
        let path = try source.text(try fields.required("file", hint), of: "file", hint)
        return .init(
            path: resolved(path),
            origin: try fields["origin"].map { node throws(DocumentError) in try name(node, "origin") },
            position: node.position)
    }

    private func list(
        _ name: String, _ node: Node, _ position: Position
    ) throws(DocumentError) -> NamePolicyDraft.ListEntry {
        let hint = "write the path of a file with one name per line, or { file: PATH, match: suffix }"
        guard case .mapping = node.content else {
            let path = try source.text(node, of: "a list", hint)
            return .init(name: name, path: resolved(path), isOfSuffixes: false, position: position)
        }
        let fields = try Mapping(node, "a list", keys: ["file", "match"], in: source)
        let path = try source.text(try fields.required("file", hint), of: "file", hint)
        let match = try fields["match"].map { node throws(DocumentError) in
            try source.word(node, of: "match", among: ["exact", "suffix"])
        }
        return .init(name: name, path: resolved(path), isOfSuffixes: match == "suffix", position: position)
    }

    private static let keys = [
        "name", "exact", "suffix", "list", "attribute", "types", "clients", "clients-from", "site", "pool", "outcome",
        "select", "ttl", "answers", "exclusive",
    ]

    private mutating func policy(_ node: Node, _ draft: NamePolicyDraft) throws(DocumentError) -> DraftedPolicy {
        let fields = try Mapping(node, "a policy", keys: Self.keys, in: source)
        var policy = AddressPolicy(name: try title(fields), outcome: try outcome(fields, draft))
        let exact = try names(fields["exact"], "exact"), suffixes = try names(fields["suffix"], "suffix")
        (policy.names, policy.suffixes) = (exact.map(\.name), suffixes.map(\.name))
        if let node = fields["list"] {
            let name = try source.text(node, of: "list", "write the name of a list")
            guard draft.listNames.contains(name) else {
                let remedy =
                    nearest(to: name, among: draft.lists.map(\.name)).map { "did you mean \($0)?" }
                    ?? "write it under lists first"
                throw source.error(at: node.position, "there is no list \(quoted(name)): \(remedy)")
            }
            policy.list = name
        }
        policy.attribute = try fields["attribute"].map { node throws(DocumentError) in
            try source.text(node, of: "attribute", "write key=value, as in the lists")
        }
        if let node = fields["types"] { policy.families = try families(node) }
        policy.clients = try clients(fields["clients"], from: fields["clients-from"])
        policy.site = try fields["site"].map { node throws(DocumentError) in
            try source.text(node, of: "site", "write the name of a site")
        }
        if let node = fields["answers"] { policy.answers = try answers(node, policy.outcome) }
        if let node = fields["exclusive"] {
            policy.isExclusive = try source.word(node, of: "exclusive", among: ["true", "false"]) == "true"
        }
        return DraftedPolicy(
            policy: policy, source: source, position: node.position, exact: exact.map(\.position),
            suffixes: suffixes.map(\.position), keys: fields)
    }

    private func title(_ fields: Mapping) throws(DocumentError) -> String {
        let node = try fields.required("name", "give it a name, which metrics and explanations use")
        let title = try source.text(node, of: "name", "write a word such as default")
        guard title.utf8.count <= 64, title.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != 0x22 && $0 != 0x5C })
        else {
            throw source.error(
                at: node.position,
                "\(quoted(title)) is not the name of a policy: use 1 to 64 visible ASCII characters without \" and \\"
            )
        }
        return title
    }

    private func outcome(_ fields: Mapping, _ draft: NamePolicyDraft) throws(DocumentError) -> AddressOutcome {
        switch (fields["pool"], fields["outcome"]) {
        case (let node?, nil):
            let pool = try draft.pools.pool(named: node, in: source)
            var selection = AddressSelection.random
            if let node = fields["select"] {
                let words = AddressSelection.allCases.map(\.description)
                selection = AddressSelection(rawValue: try source.word(node, of: "select", among: words))!
            }
            return .pool(
                pool.name, selection, ttl: try fields["ttl"].map { node throws(DocumentError) in try ttl(node) } ?? 60)
        case (nil, let node?):
            for key in ["select", "ttl"] {
                guard let stray = fields[key] else { continue }
                throw source.error(at: stray.position, "\(key) is for pools, and this policy has none: remove it")
            }
            switch try source.word(node, of: "outcome", among: ["pass", "refuse", "nxdomain"]) {
            case "pass": return .pass
            case "refuse": return .refuse
            default:
                if let types = fields["types"] {
                    throw source.error(
                        at: types.position, "a name that does not exist has no records of any type: remove types")
                }
                return .nxdomain
            }
        case (_?, let node?):
            throw source.error(at: node.position, "a policy has both a pool and an outcome: keep one of them")
        case (nil, nil):
            throw source.error(
                at: fields.position, "a policy has no pool: name one, or write outcome: pass, refuse or nxdomain")
        }
    }

    private func ttl(_ node: Node) throws(DocumentError) -> UInt32 {
        let text = try source.text(node, of: "ttl", "write seconds")
        guard let seconds = UInt32(text), String(seconds) == text, seconds <= 604_800 else {
            throw source.error(at: node.position, "\(quoted(text)) is not a TTL: write seconds, at most 604800, a week")
        }
        return seconds
    }

    private func answers(_ node: Node, _ outcome: AddressOutcome) throws(DocumentError) -> Int {
        let most = AddressPolicy.maximumAnswers
        guard case .pool = outcome else {
            throw source.error(at: node.position, "answers is for pools, and this policy has none: remove it")
        }
        let text = try source.text(node, of: "answers", "write a number from 1 to \(most)")
        guard let number = Int(text), String(number) == text, (1...most).contains(number) else {
            throw source.error(
                at: node.position, "\(quoted(text)) is not a number of addresses: write one from 1 to \(most)")
        }
        return number
    }
}

extension Source {
    /// Returns the text of a node that must be one of a few words.
    func word(_ node: Node, of subject: String, among words: [String]) throws(DocumentError) -> String {
        let remedy = "write \(words.dropLast().joined(separator: ", ")) or \(words.last!)"
        let text = try text(node, of: subject, remedy)
        guard words.contains(text) else {
            throw error(at: node.position, "\(quoted(text)) is not one of the values of \(subject): \(remedy)")
        }
        return text
    }
}
