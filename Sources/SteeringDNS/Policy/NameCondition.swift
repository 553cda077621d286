import AddressPools

/// A condition that a name policy can have. All conditions of a policy must hold for a query that it decides.
///
/// This file has everything that follows from the meaning of the conditions. A new one is a case here, a property of
/// ``AddressPolicy`` and a key in `NamePolicyDecoder`; the compiler then lists what else it needs.
enum NameCondition: CaseIterable {
    // In the order in which explanations look for the one that does not hold.

    /// The site of the server.
    case site
    /// Exact names and suffixes.
    case names
    /// A list that contains the name, or an attribute of the name.
    case list
    /// The types of addresses.
    case types
    /// The client's address.
    case clients

    /// Whether a policy has this condition.
    func restricts(_ policy: AddressPolicy) -> Bool {
        switch self {
        case .site: policy.site != nil
        case .names: !policy.names.isEmpty || !policy.suffixes.isEmpty
        case .list: policy.list != nil || policy.attribute != nil
        case .types: policy.families.count < IPFamily.allCases.count
        case .clients: policy.clients != nil
        }
    }

    /// Returns whether this condition of a policy holds wherever that of another policy does.
    func covers(_ one: AddressPolicy, _ other: AddressPolicy) -> Bool {
        guard restricts(one) else { return true }
        guard restricts(other) else { return false }
        switch self {
        case .site: return one.site == other.site
        case .names:
            return other.suffixes.allSatisfy { suffix in one.suffixes.contains { suffix.isAtOrBelow($0) } }
                && other.names.allSatisfy(one.matches)
        case .list:
            return (one.list == nil || one.list == other.list)
                && (one.attribute == nil || one.attribute == other.attribute)
        case .types: return one.families.isSuperset(of: other.families)
        case .clients: return other.clients!.prefixes.allSatisfy(one.clients!.contains)
        }
    }

    /// Returns whether this condition of a policy and that of another policy may hold for the same query.
    func overlaps(_ one: AddressPolicy, _ other: AddressPolicy) -> Bool {
        guard restricts(one), restricts(other) else { return true }
        switch self {
        case .site: return one.site == other.site
        case .names:
            return one.names.contains(where: other.matches) || other.names.contains(where: one.matches)
                || one.suffixes.contains { suffix in
                    other.suffixes.contains { suffix.isAtOrBelow($0) || $0.isAtOrBelow(suffix) }
                }
        case .list:
            // Different lists may have names in common. In a list, a name normally has one value for each attribute
            // key.
            guard let attribute = one.attribute, let otherAttribute = other.attribute, one.list == other.list else {
                return true
            }
            return attribute == otherAttribute || key(of: attribute) != key(of: otherAttribute)
        case .types: return !one.families.isDisjoint(with: other.families)
        case .clients: return one.clients!.overlaps(other.clients!)
        }
    }

    /// Returns the reason why a policy does not match, if this condition does not hold.
    func mismatch(_ policy: AddressPolicy) -> String {
        switch self {
        case .site: return "it is for the site \(policy.site ?? "")"
        case .names: return "it is for other names"
        case .list:
            let list = policy.list.map { "the list \($0)" } ?? "any list"
            return "the name is not in \(list)" + (policy.attribute.map { " with \($0)" } ?? "")
        case .types: return "it is for other types"
        case .clients: return "it is for other clients"
        }
    }

    /// Whether this condition can hold for one client and not for another. A zone file answers all clients alike.
    var dependsOnClient: Bool {
        switch self {
        case .site, .names, .list, .types: false
        case .clients: true
        }
    }

    private func key(of attribute: String) -> Substring { attribute.prefix { $0 != "=" } }
}

// MARK: - Conditions together

extension AddressPolicy {
    /// Returns whether it applies at the site of a server, nil if that has none.
    func isInForce(at site: String?) -> Bool { self.site == nil || self.site == site }

    /// Whether it matches every query of every client at its site.
    var isUnconditional: Bool { !NameCondition.allCases.contains { $0 != .site && $0.restricts(self) } }

    /// Whether its answers depend on the client.
    var dependsOnClient: Bool {
        if case .pool(_, .client, _) = outcome { return true }
        return NameCondition.allCases.contains { $0.dependsOnClient && $0.restricts(self) }
    }

    /// Returns whether it matches every query that another policy matches.
    func covers(_ other: AddressPolicy) -> Bool { NameCondition.allCases.allSatisfy { $0.covers(self, other) } }

    /// Returns whether a query may match both policies.
    func overlaps(_ other: AddressPolicy) -> Bool { NameCondition.allCases.allSatisfy { $0.overlaps(self, other) } }

    /// Returns whether it matches queries for a name, as far as the name itself goes.
    fileprivate func matches(_ name: DNSName) -> Bool {
        names.contains(name) || suffixes.contains { name.isAtOrBelow($0) }
    }
}

// MARK: - Matching

/// The properties of a query that decide which policy matches, besides its name.
struct AddressQuestion {
    let nameClass: NameClass
    var families: FamilySet = [.ipv4, .ipv6]
    /// Nil to match policies for any client: whether a name exists must not depend on the client.
    var client: IPAddress?
    /// The number of labels of the name.
    let depth: Int
    /// The number of labels of the closest encloser: the longest existing name that is the name or an ancestor of it.
    let encloserDepth: Int
    /// The number of labels of the zone's origin.
    let zoneDepth: Int

    /// The same name, for both families and any client.
    var forAnyClient: AddressQuestion {
        AddressQuestion(nameClass: nameClass, depth: depth, encloserDepth: encloserDepth, zoneDepth: zoneDepth)
    }
}

extension AddressPolicies {
    /// A policy in compiled form.
    ///
    /// The query path reads it for each query that may match, so it has neither references nor a list of conditions.
    struct Rule: Sendable {
        /// The families that it decides: not those whose addresses are all drained.
        let families: FamilySet
        /// The families that it is for. Names exist for these even while their addresses are drained.
        let named: FamilySet
        let outcome: Outcome
        /// The number of addresses in an answer.
        let answers: Int
        /// Indices into `classSets` and `clientSets`; nil for no restriction.
        let classes: Int?
        /// For lists of suffixes, the classes that an ancestor of the name may have instead.
        let classesAbove: Int?
        let clients: Int?

        /// Whether it is for names in lists. Those exist, so it applies below other existing names, too.
        var isForListedNames: Bool { classes != nil }
        /// Whether it matches the queries of one client if it matches those of another.
        var isForAllClients: Bool { clients == nil }
    }

    /// Returns whether a policy matches a query that its names match.
    @inline(__always)
    func matches(_ rule: Int, _ name: borrowing NameKeys, _ question: AddressQuestion) -> Bool {
        holds(.types, rule, name, question) && holds(.list, rule, name, question)
            && holds(.clients, rule, name, question)
    }

    /// Returns whether a condition holds for a query. With a constant as the condition, only its case remains.
    @inline(__always)
    private func holds(
        _ condition: NameCondition, _ rule: Int, _ name: borrowing NameKeys, _ question: AddressQuestion
    ) -> Bool {
        switch condition {
        // Not decided here: policies of other sites are not in the index, in which queries find those for their name.
        case .site, .names: return true
        case .types:
            let families = question.client == nil ? rules[rule].named : rules[rule].families
            return !families.isDisjoint(with: question.families)
        case .list:
            guard let classes = rules[rule].classes else { return true }
            if classSets[classes].contains(question.nameClass) { return true }
            guard let classes = rules[rule].classesAbove else { return false }
            return isBelow(classes, name, question)
        case .clients:
            guard let client = question.client, let clients = rules[rule].clients else { return true }
            return clientSets[clients].contains(client)
        }
    }

    /// Whether an ancestor of a name is of certain classes. As with `suffix`, none above an existing name counts.
    @inline(never)
    private func isBelow(_ classes: Int, _ name: borrowing NameKeys, _ question: AddressQuestion) -> Bool {
        var depth = question.depth - 1
        while depth >= question.encloserDepth {
            if classSets[classes].contains(names.nameClass(of: name[depth])) { return true }
            depth -= 1
        }
        return false
    }

    /// Whether a policy is for a query's family, and passed over because all such addresses are drained.
    func isDrained(_ rule: Int, _ question: AddressQuestion) -> Bool {
        !rules[rule].named.subtracting(rules[rule].families).isDisjoint(with: question.families)
    }

    /// Returns the first condition of a policy that does not hold for a query; nil if all do.
    func mismatch(_ rule: Int, _ name: DNSName, _ question: AddressQuestion) -> NameCondition? {
        var keys = NameKeys()
        keys.read(name.wire.span, at: 0)
        for condition in NameCondition.allCases {
            let holds =
                switch condition {
                case .site: policies[rule].isInForce(at: site)
                case .names: !condition.restricts(policies[rule]) || policies[rule].matches(name)
                default: holds(condition, rule, keys, question)
                }
            if !holds { return condition }
        }
        return nil
    }
}

extension AddressOutcome {
    /// Whether the names that a policy answers for exist.
    var makesNamesExist: Bool {
        switch self {
        case .pool, .refuse: true
        case .pass, .nxdomain: false
        }
    }
}
