public import Steering

extension PolicyFile {
    /// The formats that can represent every policy.
    public enum Output: String, Sendable, Hashable, CaseIterable {
        /// YAML.
        case yaml
        /// JSON.
        case json
    }

    /// Returns the text of a policy.
    ///
    /// Equal policies give equal text, and parsing the text gives an equal policy.
    ///
    /// Bindings that differ only in the prefix become one entry with a list of prefixes, in ascending order. Entries
    /// that differ only in the source become one with a list of sources.
    ///
    /// - Parameters:
    ///   - policy: The policy to write.
    ///   - format: The format of the text.
    /// - Returns: The text, ending with a newline.
    public static func write(_ policy: Policy, as format: Output) -> String {
        let labels = policy.options.sorted { $0.key < $1.key }
        switch format {
        case .yaml: return yaml(labels, groups(of: policy))
        case .json: return json(labels, groups(of: policy))
        }
    }
}

/// Bindings that differ only in prefix and source: one for each combination.
private struct Group {
    struct Key: Hashable {
        let outcome: Outcome
        let protocols: ProtocolMatch
        let ports: PortSet
        let interface: InterfaceName?
    }

    let key: Key
    var prefixes: [IPPrefix]
    /// Empty for any source.
    var sources: [IPPrefix]

    /// `("label", "web")` or `("outcome", "pass")`.
    var outcome: (key: String, value: String) {
        if case .label(let label) = key.outcome { ("label", label.name) } else { ("outcome", key.outcome.description) }
    }
}

/// Returns the groups of a policy, in the order of their first bindings.
private func groups(of policy: Policy) -> [Group] {
    struct SourceKey: Hashable {
        let key: Group.Key
        let source: IPPrefix?
    }
    var groups: [Group] = []
    var places: [SourceKey: Int] = [:]
    for binding in policy.bindings {
        let key = Group.Key(
            outcome: binding.outcome, protocols: binding.protocols, ports: binding.ports, interface: binding.interface)
        let sourceKey = SourceKey(key: key, source: binding.source)
        if let place = places[sourceKey] {
            groups[place].prefixes.append(binding.prefix)
        } else {
            places[sourceKey] = groups.count
            groups.append(Group(key: key, prefixes: [binding.prefix], sources: binding.source.map { [$0] } ?? []))
        }
    }
    return joiningSources(groups)
}

private func joiningSources(_ groups: [Group]) -> [Group] {
    struct PrefixesKey: Hashable {
        let key: Group.Key
        let prefixes: [IPPrefix]
    }
    var joined: [Group] = []
    var places: [PrefixesKey: Int] = [:]
    for group in groups {
        guard !group.sources.isEmpty else {
            joined.append(group)
            continue
        }
        let key = PrefixesKey(key: group.key, prefixes: group.prefixes)
        if let place = places[key] {
            joined[place].sources += group.sources
        } else {
            places[key] = joined.count
            joined.append(group)
        }
    }
    return joined
}

/// Returns the text in double quotes, with escapes that are the same in YAML and JSON.
private func inQuotes(_ text: String) -> String {
    let escaped = text.flatMap { $0 == "\"" || $0 == "\\" ? ["\\", $0] : [$0] }
    return "\"\(String(escaped))\""
}

// MARK: - YAML

private func yaml(_ labels: [(key: Label, value: LabelOptions)], _ groups: [Group]) -> String {
    var text = labels.isEmpty ? "" : "labels:\n"
    for (label, options) in labels {
        text += "  \(yamlText(label.name)): { without-socket: \(options.withoutSocket) }\n"
    }
    text += groups.isEmpty ? "bindings: []\n" : "bindings:\n"
    for group in groups {
        text += "  - \(group.outcome.key): \(yamlText(group.outcome.value))\n"
        text += "    protocols: \(group.key.protocols)\n"
        text += yamlList("prefixes", group.prefixes)
        text += "    ports: \(group.key.ports)\n"
        if !group.sources.isEmpty { text += yamlList("from", group.sources) }
        if let interface = group.key.interface { text += "    \(yamlText("on")): \(yamlText(interface.name))\n" }
    }
    return text
}

private func yamlList(_ key: String, _ prefixes: [IPPrefix]) -> String {
    if prefixes.count == 1 { return "    \(key): \(yamlText(prefixes[0].description))\n" }
    return prefixes.reduce(into: "    \(key):\n") { $0 += "      - \(yamlText($1.description))\n" }
}

/// Returns the text, quoted if a YAML parser other than ours could read it as anything but text.
private func yamlText(_ text: String) -> String {
    let words: Set<String> = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"]
    let isPrefix = text.utf8.contains(UInt8(ascii: "/"))
    func isPlainLater(_ scalar: Unicode.Scalar) -> Bool {
        isLetter(scalar) || "0123456789._-".unicodeScalars.contains(scalar)
    }
    func isLetter(_ scalar: Unicode.Scalar) -> Bool { ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) }
    let beginsWithLetter = text.unicodeScalars.first.map(isLetter) ?? false
    let isPlain =
        isPrefix
        ? text.utf8.first != UInt8(ascii: ":")
        : beginsWithLetter && text.unicodeScalars.allSatisfy(isPlainLater) && !words.contains(text.lowercased())
    return isPlain ? text : inQuotes(text)
}

// MARK: - JSON

private func json(_ labels: [(key: Label, value: LabelOptions)], _ groups: [Group]) -> String {
    var text = "{\n"
    if !labels.isEmpty {
        let lines = labels.map { "    \"\($0.key)\": { \"without-socket\": \"\($0.value.withoutSocket)\" }" }
        text += "  \"labels\": {\n\(lines.joined(separator: ",\n"))\n  },\n"
    }
    let entries = groups.map { group in
        var members = [
            "\"\(group.outcome.key)\": \"\(group.outcome.value)\"", "\"protocols\": \"\(group.key.protocols)\"",
            "\"prefixes\": \(jsonList(group.prefixes))", "\"ports\": \"\(group.key.ports)\"",
        ]
        if !group.sources.isEmpty { members.append("\"from\": \(jsonList(group.sources))") }
        if let interface = group.key.interface { members.append("\"on\": \(inQuotes(interface.name))") }
        return "    {\n\(members.map { "      \($0)" }.joined(separator: ",\n"))\n    }"
    }
    text += entries.isEmpty ? "  \"bindings\": []\n" : "  \"bindings\": [\n\(entries.joined(separator: ",\n"))\n  ]\n"
    return text + "}\n"
}

private func jsonList(_ prefixes: [IPPrefix]) -> String {
    "[\n\(prefixes.map { "        \"\($0)\"" }.joined(separator: ",\n"))\n      ]"
}
