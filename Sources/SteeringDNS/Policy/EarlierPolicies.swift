import AddressPools

/// The policies before another one, found by what they must share with it: to compare each pair would take minutes for
/// ten thousand policies.
struct EarlierPolicies {
    private var policies: [AddressPolicy] = []
    /// The indices of policies by what a policy that they cover must have, too.
    private var byAnchor: [Anchor: [Int]] = [:]
    /// The indices of policies by each of their names and suffixes, and by the ancestors of these.
    private var byName: [DNSName: [Int]] = [:]
    private var byAncestor: [DNSName: [Int]] = [:]
    private var withoutNames: [Int] = []
    /// The lengths of the prefixes in anchors.
    private var lengths: Set<Int> = []

    /// One name, one prefix, and the words of a policy; nil where it has no such condition.
    private struct Anchor: Hashable {
        var name: DNSName?
        var isSuffix = false
        var client: IPPrefix?
        var list: String?
        var attribute: String?
        var site: String?
    }

    /// The most anchors by prefix that a policy is given. One with more prefixes is compared with all of its names.
    private static let prefixLimit = 64

    /// Adds a policy.
    ///
    /// - Parameter mayBePassedOver: Whether later policies may decide all the same.
    mutating func add(_ policy: AddressPolicy, mayBePassedOver: Bool) {
        let index = policies.count
        policies.append(policy)
        let names = policy.names + policy.suffixes
        if names.isEmpty { withoutNames.append(index) }
        for name in names {
            byName[name, default: []].append(index)
            for ancestor in name.ancestors + [.root] { byAncestor[ancestor, default: []].append(index) }
        }
        if !mayBePassedOver { addAnchors(of: policy, index) }
    }

    private mutating func addAnchors(of policy: AddressPolicy, _ index: Int) {
        var anchor = Anchor(list: policy.list, attribute: policy.attribute, site: policy.site)
        var clients: [IPPrefix?] = [nil]
        let names = policy.names.map { ($0, false) } + policy.suffixes.map { ($0, true) }
        if let prefixes = policy.clients?.prefixes, prefixes.count * max(1, names.count) <= Self.prefixLimit {
            clients = prefixes
            lengths.formUnion(prefixes.map { Self.key($0) })
        }
        for client in clients {
            anchor.client = client
            guard !names.isEmpty else {
                byAnchor[anchor, default: []].append(index)
                continue
            }
            for (name, isSuffix) in names {
                (anchor.name, anchor.isSuffix) = (name, isSuffix)
                byAnchor[anchor, default: []].append(index)
            }
        }
    }

    /// Returns the index of the first that decides every query that a policy matches.
    func first(covering policy: AddressPolicy) -> Int? {
        var first: Int?
        for anchor in anchors(above: policy) {
            guard let indices = byAnchor[anchor] else { continue }
            let found = indices.first { $0 < first ?? .max && policies[$0].covers(policy) }
            first = found ?? first
        }
        return first
    }

    /// Returns the indices of those that may match a query that a policy matches, in order.
    func all(overlapping policy: AddressPolicy) -> [Int] {
        let names = policy.names + policy.suffixes
        guard !names.isEmpty else { return policies.indices.filter { policies[$0].overlaps(policy) } }
        var candidates = Set(withoutNames)
        for name in names {
            for above in [name] + name.ancestors + [.root] { candidates.formUnion(byName[above] ?? []) }
        }
        for name in policy.suffixes { candidates.formUnion(byAncestor[name] ?? []) }
        return candidates.sorted().filter { policies[$0].overlaps(policy) }
    }

    /// The anchors that a policy has if it covers another one.
    private func anchors(above policy: AddressPolicy) -> [Anchor] {
        var names: [(DNSName?, Bool)] = [(nil, false)]
        if let name = policy.names.first ?? policy.suffixes.first {
            if !policy.names.isEmpty { names.append((name, false)) }
            names += ([name] + name.ancestors + [.root]).map { ($0, true) }
        }
        var clients: [IPPrefix?] = [nil]
        if let prefix = policy.clients?.prefixes.first {
            for length in 0...prefix.length where lengths.contains(Self.key(prefix.family, length)) {
                clients.append(IPPrefix(masking: prefix.address, length: length))
            }
        }
        var anchors = names.flatMap { name, isSuffix in
            clients.map { Anchor(name: name, isSuffix: isSuffix, client: $0) }
        }
        func alsoWith(_ word: String?, _ part: WritableKeyPath<Anchor, String?>) {
            guard let word else { return }
            for index in anchors.indices {
                anchors.append(anchors[index])
                anchors[anchors.count - 1][keyPath: part] = word
            }
        }
        alsoWith(policy.list, \.list)
        alsoWith(policy.attribute, \.attribute)
        alsoWith(policy.site, \.site)
        return anchors
    }

    private static func key(_ prefix: IPPrefix) -> Int { key(prefix.family, prefix.length) }

    private static func key(_ family: IPFamily, _ length: Int) -> Int { family == .ipv4 ? length : 256 + length }
}

extension DNSName {
    /// The names above this one, the nearest first, without the root.
    var ancestors: [DNSName] {
        var ancestors: [DNSName] = []
        var next = parent
        while let name = next, name != .root {
            ancestors.append(name)
            next = name.parent
        }
        return ancestors
    }
}
