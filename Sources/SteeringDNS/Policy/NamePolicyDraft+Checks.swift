import AddressPools
import Documents

extension NamePolicyDraft {
    /// Reads the zones and lists, checks everything together, and returns the result.
    func served(
        site: String?, reusing previous: ServedData?, progress: NamePolicyFile.Progress?
    ) throws(NamePolicyError) -> ServedData {
        var problems = problemsOfPolicies()
        var files = ServedData.Files(lists: lists.map { ($0.name, $0.path) }, readLists: identitiesOfLists())
        let zones = readZones(&files, &problems)
        if !problems.isEmpty { throw NamePolicyError(problems) }
        let (table, classes) = try readLists(of: &files, reusing: previous, progress: progress)
        let policies = AddressPolicies(
            policies: policies.map(\.policy), pools: pools.pools.map { ($0.name, $0.handedOut) },
            drained: pools.pools.map(\.drainedFamilies), names: table, classes: classes, listNames: lists.map(\.name),
            suffixLists: Set(lists.indices.filter { lists[$0].isOfSuffixes }), site: site)
        let served = ServedData(
            zones: Zones(zones.map { ($0.origin, $0.records) }), policies: policies,
            usesClientSubnet: usesClientSubnet, files: files)
        problems = problemsOfNames(served)
        if !problems.isEmpty { throw NamePolicyError(problems) }
        return served.with(warnings: served.warnings(of: zones) + warnings(of: files.summaries))
    }

    private func readZones(_ files: inout ServedData.Files, _ problems: inout [String]) -> [CheckedZone] {
        var zones: [CheckedZone] = []
        for entry in self.zones {
            let place = source.place(entry.position)
            do {
                let file = try ZoneFile(contentsOf: entry.path, origin: entry.origin)
                guard let origin = entry.origin ?? file.records.first(where: { $0.type == .SOA })?.owner else {
                    problems.append("\(place): \(entry.path) has no SOA: add one, or name the origin here")
                    continue
                }
                guard !zones.contains(where: { $0.origin == origin }) else {
                    problems.append("\(place): the zone \(origin) is there already: keep one of its files")
                    continue
                }
                zones.append(try CheckedZone(file, origin: origin))
                files.zones.append((origin, entry.path))
                files.includedZones += file.includedFiles
            } catch let error as ZoneProblems {
                problems += error.problems.map(\.description)
            } catch let error as DocumentError {
                problems.append("\(place): \(error.message)")
            } catch { problems.append("\(error)") }
        }
        return zones
    }
}

// MARK: - Checks of the policies alone

extension NamePolicyDraft {
    /// Returns the problems that do not depend on zones and names.
    private func problemsOfPolicies() -> [String] {
        var problems: [String] = []
        if let last = policies.last, !last.policy.isUnconditional || last.policy.site != nil {
            problems.append(
                "\(last.place): the last policy, \(last.policy.name), does not match every query: add one without conditions, "
                    + "such as { name: default, outcome: pass }")
        }
        var earlier = EarlierPolicies()
        var numbers: [String: Int] = [:]
        let hasExclusive = policies.contains(where: \.policy.isExclusive)
        for (number, drafted) in policies.enumerated() {
            let policy = drafted.policy
            if let twin = numbers[policy.name] {
                problems.append(
                    "\(drafted.place(of: "name")): the policy \(place(of: twin, from: drafted.place)) is also named "
                        + "\(policy.name): rename one")
            } else {
                numbers[policy.name] = number
            }
            if let problem = unsatisfiable(policy) {
                problems.append(
                    "\(drafted.place(of: "pool")): the policy \(policy.name) can answer nothing, since \(problem)")
            }
            if policy.outcome == .nxdomain, policy.clients != nil, usesClientSubnet {
                problems.append(
                    "\(drafted.place(of: "outcome")): resolvers that send a client subnet keep NXDOMAIN for all clients: use "
                        + "outcome: refuse for \(policy.name), or client-subnet: ignore")
            }
            if let shadow = earlier.first(covering: policy) {
                problems.append(
                    "\(drafted.place): the policy \(policy.name) never decides, since \(policies[shadow].policy.name) "
                        + "\(place(of: shadow, from: drafted.place)) matches all that it matches: put it before that, or "
                        + "remove it")
            }
            if hasExclusive { problems += overlaps(of: number, earlier) }
            earlier.add(policy, mayBePassedOver: mayBePassedOver(policy))
        }
        return problems
    }

    /// Returns the problems of a policy that overlaps with an earlier one, where one of them is exclusive.
    private func overlaps(of number: Int, _ earlier: EarlierPolicies) -> [String] {
        let (policy, place) = (policies[number].policy, policies[number].place)
        if number == policies.count - 1, policy.isUnconditional { return [] }
        return earlier.all(overlapping: policy).compactMap { index in
            let other = policies[index].policy
            guard other.isExclusive || policy.isExclusive else { return nil }
            return "\(place): the policy \(policy.name) overlaps with \(other.name) "
                + "\(self.place(of: index, from: place)), and \(policy.isExclusive ? policy.name : other.name) is "
                + "exclusive: narrow one of them"
        }
    }

    /// Whether the pool of a policy may have no address at times.
    private func mayBePassedOver(_ policy: AddressPolicy) -> Bool {
        guard case .pool(let name, _, _) = policy.outcome, let pool = pools[name] else { return false }
        return pool.drainedFile != nil || pool.prefixesFile != nil
    }

    /// Returns where a policy stands, in a sentence about another one: a line, or a place in another file.
    private func place(of number: Int, from other: Place) -> String {
        let place = policies[number].place
        return (place.file == other.file ? "on " : "at ") + place.seen(from: other)
    }

    /// Returns why a policy could not answer even if nothing in its pool was drained.
    private func unsatisfiable(_ policy: AddressPolicy) -> String? {
        guard case .pool(let name, _, _) = policy.outcome, let pool = pools[name], !pool.addresses.isEmpty else {
            return nil
        }
        if pool.handedOut.isEmpty, pool.drainedFile == nil {
            return "all of the pool \(name) is left out: give it an address, or use another pool"
        }
        guard policy.families.isDisjoint(with: pool.addresses.prefixes.map(\.family)) else { return nil }
        let families = policy.families.map(\.description).sorted().joined(separator: " or ")
        return "the pool \(name) has no address of \(families): add a prefix, or other types"
    }
}

extension NamedPools.Pool {
    /// The families for which a policy with this pool is passed over: all addresses are drained, or there are none at
    /// present. A pool that never had addresses of a family is another matter: such a name has none.
    var drainedFamilies: FamilySet {
        if handedOut.isEmpty { return [.ipv4, .ipv6] }
        guard drainedFile != nil else { return [] }
        let left = Set(handedOut.prefixes.map(\.family))
        return FamilySet(Set(addresses.prefixes.map(\.family)).subtracting(left))
    }
}

// MARK: - Checks against zones and names

extension NamePolicyDraft {
    /// Returns the problems that only show once the zones and names are known.
    private func problemsOfNames(_ served: ServedData) -> [String] {
        policies.indices.flatMap { number in
            let drafted = policies[number]
            var problems = drafted.names.compactMap { name, isSuffix, place in
                problem(of: name, isSuffix, served).map {
                    "\(place): the policy \(drafted.policy.name) matches \(isSuffix ? "below " : "")\(name), \($0)"
                }
            }
            if let classes = served.policies.rules[number].classes, served.policies.classSets[classes].isEmpty {
                let attribute = drafted.policy.attribute
                let what = attribute.map { "no listed name has \(quoted($0))" } ?? "the list has no names"
                let place = drafted.place(of: attribute == nil ? "list" : "attribute")
                problems.append(
                    "\(place): the policy \(drafted.policy.name) can match nothing, since \(what): fix the list, or "
                        + "remove the policy")
            }
            return problems
        }
    }

    /// Returns why a name in a policy can match nothing, as the end of a sentence.
    private func problem(of name: DNSName, _ isSuffix: Bool, _ served: ServedData) -> String? {
        let zones = served.zones
        guard let encloser = zones.encloser(of: name) else {
            if !isSuffix { return "which lies in no zone: add its zone, or remove it" }
            if zones.zones.contains(where: { $0.origin.isBelow(name) }) { return nil }
            return "where there is no zone: add one, or remove it"
        }
        let facts = zones.facts[encloser]
        if facts.cut != nil { return "which a zone delegates to other servers: remove one of them" }
        if facts.hides(name.labelCount) { return "which a DNAME record in a zone redirects: remove one of them" }
        let node = zones.nodes[encloser]
        guard !isSuffix, node.name == name, node[.CNAME] ?? node[.A] ?? node[.AAAA] != nil else { return nil }
        return "for which a zone has an address or CNAME: remove one of them"
    }
}
