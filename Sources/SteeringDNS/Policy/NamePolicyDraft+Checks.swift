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
            policies: policies.map(\.policy), pools: pools.pools.map { ($0.name, $0.handedOut) }, names: table,
            classes: classes, listNames: lists.map(\.name), site: site)
        let served = ServedData(
            zones: Zones(zones), policies: policies, usesClientSubnet: usesClientSubnet, files: files,
            warnings: warnings(of: files.summaries))
        problems = problemsOfNames(served)
        if !problems.isEmpty { throw NamePolicyError(problems) }
        return served
    }

    private func readZones(
        _ files: inout ServedData.Files, _ problems: inout [String]
    ) -> [(origin: DNSName, records: [ResourceRecord])] {
        var zones: [(origin: DNSName, records: [ResourceRecord])] = []
        for entry in self.zones {
            let place = source.place(entry.position)
            do {
                let file = try ZoneFile(
                    try InputFile.contents(of: entry.path), named: entry.path, origin: entry.origin)
                guard let origin = entry.origin ?? file.records.first(where: { $0.type == .SOA })?.owner else {
                    problems.append("\(place): \(entry.path) has no SOA: add one, or name the origin here")
                    continue
                }
                guard !zones.contains(where: { $0.origin == origin }) else {
                    problems.append("\(place): the zone \(origin) is there already: keep one of its files")
                    continue
                }
                // Which names policies answer for depends on the zones, except for exact names, which are known
                // already.
                let exact = Set(policies.flatMap(\.policy.names))
                let zone = try CheckedZone(file, origin: origin) { exact.contains($0) }
                zones.append((origin, zone.records))
                files.zones.append((origin, entry.path))
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
        if let (last, place) = policies.last, !last.isUnconditional || last.site != nil {
            problems.append(
                "\(place): the last policy, \(last.name), does not match every query: add one without conditions, such as "
                    + "{ name: default, outcome: pass }")
        }
        for (number, (policy, place)) in policies.enumerated() {
            if let twin = policies[..<number].first(where: { $0.policy.name == policy.name }) {
                problems.append(
                    "\(place): the policy on line \(twin.place.position.line) is also named \(policy.name): rename one"
                )
            }
            if let problem = unsatisfiable(policy) {
                problems.append("\(place): the policy \(policy.name) can answer nothing, since \(problem)")
            }
            if let shadow = policies[..<number].first(where: { $0.policy.covers(policy) }) {
                problems.append(
                    "\(place): the policy \(policy.name) never decides, since \(shadow.policy.name) on line "
                        + "\(shadow.place.position.line) matches all that it matches: put it before that, or remove it")
            }
            for (other, otherPlace) in policies[..<number] where other.isExclusive || policy.isExclusive {
                let isDefault = number == policies.count - 1 && policy.isUnconditional
                guard !isDefault, policy.overlaps(other) else { continue }
                problems.append(
                    "\(place): the policy \(policy.name) overlaps with \(other.name) on line "
                        + "\(otherPlace.position.line), and \(policy.isExclusive ? policy.name : other.name) is exclusive: "
                        + "narrow one of them")
            }
        }
        return problems
    }

    private func unsatisfiable(_ policy: AddressPolicy) -> String? {
        guard case .pool(let name, _, _) = policy.outcome, let pool = pools[name] else { return nil }
        guard pool.handedOut.isEmpty || policy.families.isDisjoint(with: pool.handedOut.prefixes.map(\.family)) else {
            return nil
        }
        if pool.handedOut.isEmpty {
            return "all of the pool \(name) is drained or left out: give it an address, or use another pool"
        }
        let families = policy.families.map(\.description).sorted().joined(separator: " or ")
        return "the pool \(name) has no address of \(families): add a prefix, or other types"
    }
}

// MARK: - Checks against zones and names

extension NamePolicyDraft {
    /// Returns the problems that only show once the zones and names are known.
    private func problemsOfNames(_ served: ServedData) -> [String] {
        var problems: [String] = []
        let origins = served.zones.zones.map(\.origin)
        for (number, (policy, place)) in policies.enumerated() {
            if let classes = served.policies.rules[number].classes, served.policies.classSets[classes].isEmpty {
                let what = policy.attribute.map { "no listed name has \(quoted($0))" } ?? "the list has no names"
                problems.append(
                    "\(place): the policy \(policy.name) can match nothing, since \(what): fix the list, or remove the policy"
                )
            }
            for name in policy.names where !origins.contains(where: { name.isAtOrBelow($0) }) {
                problems.append(
                    "\(place): the policy \(policy.name) matches \(name), which lies in no zone: add its zone, or remove it"
                )
            }
            for name in policy.suffixes where !origins.contains(where: { name.isAtOrBelow($0) || $0.isBelow(name) }) {
                problems.append(
                    "\(place): the policy \(policy.name) matches below \(name), where there is no zone: add one, or remove it"
                )
            }
            for name in policy.names + policy.suffixes where served.zones.isDelegated(name) {
                problems.append(
                    "\(place): the policy \(policy.name) matches \(name), which a zone delegates to other servers: "
                        + "remove one of them")
            }
            for name in policy.names {
                guard let node = served.zones.node(of: name).map({ served.zones.nodes[$0] }), node.cut == nil else {
                    continue
                }
                if node[.CNAME] != nil || node[.A] != nil || node[.AAAA] != nil {
                    problems.append(
                        "\(place): the policy \(policy.name) matches \(name), for which a zone has an address or CNAME: "
                            + "remove one of them")
                }
            }
        }
        return problems
    }
}
