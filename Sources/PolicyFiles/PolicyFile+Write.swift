public import Steering

extension PolicyFile {
    /// The formats that can hold any policy.
    public enum Output: String, Sendable, Hashable, CaseIterable {
        /// YAML.
        case yaml
        /// JSON.
        case json
    }

    /// Writes a policy: equal policies give equal text, and reading it gives an equal policy.
    ///
    /// Bindings that share outcome, protocols and ports become one entry with a list of prefixes, in natural order.
    public static func write(_ policy: Policy, as format: Output) -> String {
        let labels = policy.options.sorted { $0.key < $1.key }
        switch format {
        case .yaml: return yaml(labels, groups(of: policy))
        case .json: return json(labels, groups(of: policy))
        }
    }
}

/// The bindings that differ only in their prefix.
private struct Group {
    struct Key: Hashable {
        let outcome: Outcome
        let protocols: ProtocolMatch
        let ports: PortSet
    }

    let key: Key
    var prefixes: [IPPrefix]

    /// `("label", "web")` or `("outcome", "pass")`.
    var outcome: (key: String, value: String) {
        if case .label(let label) = key.outcome { ("label", label.name) } else { ("outcome", key.outcome.description) }
    }
}

/// The groups of a policy, in the order of their first bindings.
private func groups(of policy: Policy) -> [Group] {
    var groups: [Group] = []
    var places: [Group.Key: Int] = [:]
    for binding in policy.bindings {
        let key = Group.Key(outcome: binding.outcome, protocols: binding.protocols, ports: binding.ports)
        if let place = places[key] {
            groups[place].prefixes.append(binding.prefix)
        } else {
            places[key] = groups.count
            groups.append(Group(key: key, prefixes: [binding.prefix]))
        }
    }
    return groups
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
        if group.prefixes.count == 1 {
            text += "    prefixes: \(yamlText(group.prefixes[0].description))\n"
        } else {
            text += "    prefixes:\n"
            for prefix in group.prefixes { text += "      - \(yamlText(prefix.description))\n" }
        }
        text += "    ports: \(group.key.ports)\n"
    }
    return text
}

/// The text, in quotes where some reader of YAML takes it for something else than text. Ours does not.
private func yamlText(_ text: String) -> String {
    let words: Set<String> = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"]
    let isPrefix = text.utf8.contains(UInt8(ascii: "/"))
    let beginsWithLetter = text.unicodeScalars.first.map { ("A"..."z").contains($0) } ?? false
    let isPlain =
        isPrefix ? text.utf8.first != UInt8(ascii: ":") : beginsWithLetter && !words.contains(text.lowercased())
    return isPlain ? text : "\"\(text)\""
}

// MARK: - JSON

private func json(_ labels: [(key: Label, value: LabelOptions)], _ groups: [Group]) -> String {
    var text = "{\n"
    if !labels.isEmpty {
        let lines = labels.map { "    \"\($0.key)\": { \"without-socket\": \"\($0.value.withoutSocket)\" }" }
        text += "  \"labels\": {\n\(lines.joined(separator: ",\n"))\n  },\n"
    }
    let entries = groups.map { group in
        let prefixes = group.prefixes.map { "        \"\($0)\"" }.joined(separator: ",\n")
        return """
                {
                  "\(group.outcome.key)": "\(group.outcome.value)",
                  "protocols": "\(group.key.protocols)",
                  "prefixes": [
            \(prefixes)
                  ],
                  "ports": "\(group.key.ports)"
                }
            """
    }
    text += entries.isEmpty ? "  \"bindings\": []\n" : "  \"bindings\": [\n\(entries.joined(separator: ",\n"))\n  ]\n"
    return text + "}\n"
}
