import AddressPools

/// Writes the file of an ``OfflineZone``.
///
/// The records of each name come from the responder, so the file agrees with the server. This type only chooses the
/// names: those that lists and policies name, and their ancestors. Names that nobody names are answered alike below the
/// same closest ancestor: one of them, a probe, tells what the wildcard there has to say. A name that is answered like a
/// probe beside it is left to the wildcard; any other must exist in the file, and then its ancestors do.
struct OfflineZoneWriter: ~Copyable {
    let zone: OfflineZone
    private let originDepth: Int
    private let originKey: NameKey
    private let families: [IPFamily]
    var answers: OfflineAnswers
    var output: ZoneOutput
    private var keys = NameKeys()
    /// The names that are in the file, and those that are left to a wildcard.
    private var written: NameMarks, left: NameMarks
    var summary = OfflineZone.Summary()
    /// The records of the zone's wildcards, and those wildcards that policies answer for: they are written anew.
    var ownWildcards: [DNSName: [ResourceRecord]] = [:]
    private var replaced: Set<DNSName> = []
    /// What a probe below the last parent is answered.
    private var lastProbe: (parent: NameKey, answers: NameAnswers)?
    var blocked = 0, besideAlias = 0

    init(_ zone: OfflineZone, _ output: consuming ZoneOutput) {
        self.zone = zone
        self.output = output
        answers = OfflineAnswers(zone.served, client: zone.client ?? IPAddress(ipv4: 0), seed: zone.seed)
        keys.read(zone.origin.wire.span, at: 0)
        originDepth = keys.depth
        originKey = keys.last
        let prefixes = zone.served.policies.pools.flatMap(\.addresses.prefixes)
        families = IPFamily.allCases.filter { family in prefixes.contains { $0.family == family } }
        written = NameMarks(zone.served.policies.names)
        left = written
    }

    mutating func write(_ progress: OfflineZone.Progress?) throws -> OfflineZone.Summary {
        let wild = zone.namesWithWildcards
        for name in wild where !isLeftToZone(below: name) { replaced.insert(name.wildcard!) }
        try writeRecords()
        for name in zone.namesOfPolicies + wild { try write(name.wire.span) }
        try writeLists(progress)
        makeNotes()
        for note in summary.notes { try writeComment(note) }
        try output.finish()
        summary.size = output.size
        return summary
    }

    // MARK: Records of the zone

    private mutating func writeRecords() throws {
        try writeComment("\(zone.origin), addresses drawn with --seed \(zone.seed)")
        output.append("$ORIGIN \(zone.origin)")
        try output.endRecord()
        for record in try zone.records() {
            if record.owner.isWildcard { ownWildcards[record.owner, default: []].append(record) }
            guard !replaced.contains(record.owner) else { continue }
            output.append(ZoneFile.text(of: record))
            try output.endRecord()
            summary.records += 1
        }
        for name in replaced.sorted(by: { $0.description < $1.description }) {
            let types = [RecordType.A, .AAAA, .CNAME].filter { type in
                ownWildcards[name]?.contains { $0.type == type } ?? false
            }
            if types.isEmpty { continue }
            summary.notes.append(
                "\(types.map(\.description).joined(separator: " and ")) of the zone's own \(name) give way where a policy "
                    + "answers for those names, as on the server")
        }
    }

    private mutating func writeComment(_ text: String) throws {
        output.append("; \(text)")
        try output.endRecord()
    }

    // MARK: Lists

    private mutating func writeLists(_ progress: OfflineZone.Progress?) throws {
        let lists = zone.served.files.lists
        let sizes = lists.map { NameListStream.size(of: $0.path) ?? 0 }
        let all = sizes.reduce(0, +)
        var before = 0
        for (list, size) in zip(lists, sizes) {
            let done = before
            let stream = NameListStream(list.path) { read, _ in progress?(done + read, all) }
            try stream.read { name, _, _ in try writeListed(name) }
            before += size
        }
    }

    private mutating func writeListed(_ name: Span<UInt8>) throws {
        keys.read(name, at: 0)
        guard keys.depth >= originDepth, keys[originDepth] == originKey,
            let encloser = zone.served.zones.encloser(of: keys)
        else { return }
        let facts = zone.served.zones.facts[encloser]
        guard facts.zone == zone.number, !facts.hides(keys.depth) else { return }
        guard zone.served.policies.names.slot(of: keys.last) != nil else {
            throw ListError(message: "the list has changed since it was read: write the zone again")
        }
        try write(name)
    }

    // MARK: Names

    /// Writes a name that a policy, a list or the zone names, if a wildcard does not say the same.
    private mutating func write(_ name: Span<UInt8>) throws {
        keys.read(name, at: 0)
        let key = keys.last, isOfZone = zone.served.zones.node(of: key) != nil
        guard !written.contains(key), !left.contains(key) else { return }
        let own = answers(for: name)
        guard isOfZone || own.hasAddresses || !isLeftToWildcard(name, own) else {
            left.insert(key)
            return try writeAncestors(of: name, mustExist: false)
        }
        try write(name, own, mustBeNamed: !isOfZone)
        try writeAncestors(of: name, mustExist: true)
    }

    /// Writes the ancestors of a name that the zone does not have.
    ///
    /// - Parameter mustExist: Whether the name is in the file: then its ancestors exist, and no wildcard from further up
    ///   applies to them or below them.
    private mutating func writeAncestors(of name: Span<UInt8>, mustExist: Bool) throws {
        var mustExist = mustExist
        var start = 0
        while true {
            start += 1 + Int(name[start])
            let ancestor = name.extracting(start..<name.count)
            keys.read(ancestor, at: 0)
            let key = keys.last
            if keys.depth <= originDepth || zone.served.zones.node(of: key) != nil || written.contains(key) { return }
            if !mustExist, left.contains(key) { return }
            let own = answers(for: ancestor)
            if !mustExist, isLeftToWildcard(ancestor, own) {
                left.insert(key)
                continue
            }
            try write(ancestor, own, mustBeNamed: !mustExist)
            mustExist = true
        }
    }

    /// Whether the server answers for a name, and below it, as for any other name beside it.
    private mutating func isLeftToWildcard(_ name: Span<UInt8>, _ own: NameAnswers) -> Bool {
        let beside = answersBelow(name.extracting((1 + Int(name[0]))..<name.count))
        return own == beside && probeBelow(name) == beside
    }

    /// Writes the records of a name, and the wildcard below it.
    ///
    /// - Parameter mustBeNamed: Whether only records of its own make it exist: it has none below it so far.
    private mutating func write(_ name: Span<UInt8>, _ own: NameAnswers, mustBeNamed: Bool) throws {
        keys.read(name, at: 0)
        written.insert(keys.last)
        let node = zone.served.zones.node(of: keys.last).map { zone.served.zones.nodes[$0] }
        var isThere = try write(own, of: name, drawnFor: name, isWildcard: false)
        if isThere, own.hasAddresses { summary.names += 1 }
        if !isThere, mustBeNamed {
            try writeBlock(name, isWildcard: false)
            isThere = true
        }
        guard name.count + 2 <= DNSName.longestName else { return }
        // The zone's own wildcard is in the file already.
        if let node, node.wildcard != nil, !replaced.contains(node.name.wildcard!) { return }
        let probe = otherName(below: name)
        let below = answers(for: probe.span)
        if try write(below, of: name, drawnFor: probe.span, isWildcard: true) {
            if below.hasAddresses { summary.wildcards += 1 }
        } else if below.exists {
            try writeBlock(name, isWildcard: true)
        } else if !isThere, let node, node.sets.isEmpty, node.wildcard != nil {
            // It existed because of the wildcard that is left out.
            try writeBlock(name, isWildcard: false)
        }
    }

    /// Makes a name exist without an address.
    private mutating func writeBlock(_ name: Span<UInt8>, isWildcard: Bool) throws {
        write(name, isWildcard: isWildcard)
        output.append(" 60 TXT \"no address\"")
        try output.endRecord()
        blocked += 1
    }

    // MARK: Answers

    /// Returns what the server answers for a name.
    private mutating func answers(for name: Span<UInt8>) -> NameAnswers {
        var result = NameAnswers()
        for family in families.isEmpty ? [.ipv4] : families {
            switch answers.answer(name, family == .ipv4 ? .A : .AAAA) {
            case .addresses(let policy):
                result.exists = true
                if family == .ipv4 { result.ipv4 = policy } else { result.ipv6 = policy }
            case .records, .noData: result.exists = true
            case .nothing: break
            }
        }
        keys.read(name, at: 0)
        guard let encloser = zone.served.zones.encloser(of: keys) else { return result }
        let facts = zone.served.zones.facts[encloser]
        guard facts.depth < keys.depth, let wildcard = facts.wildcard else { return result }
        for set in zone.served.zones.nodes[wildcard].sets where answers.answer(name, set.type) == .records {
            // Nothing can be beside a CNAME record.
            if set.type == .CNAME, result.hasAddresses { besideAlias += 1 } else { result.types.append(set.type) }
        }
        if !result.types.isEmpty { result.wildcard = wildcard }
        return result
    }

    /// Returns what the server answers for names below another that nothing names.
    private mutating func answersBelow(_ name: Span<UInt8>) -> NameAnswers {
        keys.read(name, at: 0)
        let parent = keys.last
        if let lastProbe, lastProbe.parent == parent { return lastProbe.answers }
        let answers = probeBelow(name)
        lastProbe = (parent, answers)
        return answers
    }

    private mutating func probeBelow(_ name: Span<UInt8>) -> NameAnswers {
        let probe = otherName(below: name)
        return answers(for: probe.span)
    }

    /// Whether the server answers for names below another that nothing names with all records of the zone's wildcard
    /// there, and with nothing else.
    private mutating func isLeftToZone(below name: DNSName) -> Bool {
        let below = answersBelow(name.wire.span)
        guard let node = zone.served.zones.node(of: name), let wildcard = zone.served.zones.nodes[node].wildcard else {
            return false
        }
        return !below.hasAddresses && below.wildcard == wildcard
            && below.types == zone.served.zones.nodes[wildcard].sets.map(\.type)
    }

    /// Returns a probe: a name directly below another that is in no zone, list or policy.
    private func otherName(below name: Span<UInt8>) -> [UInt8] {
        var keys = NameKeys()
        var label = Array("unsaid".utf8)
        while true {
            var wire = [UInt8(label.count)] + label
            for index in 0..<name.count { wire.append(name[index]) }
            // A name of this length does not fit: probe the wildcard itself.
            guard wire.count <= DNSName.longestName else {
                return [1, UInt8(ascii: "*")] + wire.dropFirst(label.count + 1)
            }
            keys.read(wire.span, at: 0)
            let (policies, zones) = (zone.served.policies, zone.served.zones)
            let isTaken = policies.names.slot(of: keys.last) != nil || policies.index[keys.last] != nil
            if !isTaken, let node = zones.encloser(of: keys), zones.facts[node].depth < keys.depth { return wire }
            label.append(UInt8(ascii: "-"))
        }
    }
}
