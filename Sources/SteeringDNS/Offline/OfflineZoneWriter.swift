import AddressPools

/// Writes the file of an ``OfflineZone``.
///
/// The records of each name come from the responder, so the file agrees with the server. This type only chooses the
/// names to query: those in lists and policies, their ancestors, and a probe below each name where a wildcard may end.
struct OfflineZoneWriter: ~Copyable {
    private let zone: OfflineZone
    private let originDepth: Int
    private let originKey: NameKey
    private let families: [IPFamily]
    private var answers: OfflineAnswers
    private var output: ZoneOutput
    private var keys = NameKeys()
    /// The names already written: by slot if they are in the table, otherwise in `seenBeside`.
    private var seen: [UInt64]
    private var seenBeside: Set<DNSName> = []
    private var summary = OfflineZone.Summary()
    /// The wildcards that policies answer for. They replace the zone's own.
    private var wildcards: Set<DNSName> = []
    private var blocked = 0, ownWildcard = 0

    init(_ zone: OfflineZone, _ output: consuming ZoneOutput) {
        self.zone = zone
        self.output = output
        answers = OfflineAnswers(zone.served, client: zone.client ?? IPAddress(ipv4: 0), seed: zone.seed)
        keys.read(zone.origin.wire.span, at: 0)
        originDepth = keys.depth
        originKey = keys.last
        let prefixes = zone.served.policies.pools.flatMap(\.addresses.prefixes)
        families = IPFamily.allCases.filter { family in prefixes.contains { $0.family == family } }
        seen = [UInt64](repeating: 0, count: zone.served.policies.names.capacity / 64 + 1)
    }

    mutating func write(_ progress: OfflineZone.Progress?) throws -> OfflineZone.Summary {
        let tops = zone.tops
        for name in tops where isWild(name) {
            if let wildcard = name.wildcard { wildcards.insert(wildcard) }
        }
        try writeRecords()
        for name in tops + zone.exactNames { try writeExplicit(name) }
        try writeLists(progress)
        makeNotes()
        for note in summary.notes { try writeComment(note) }
        try output.finish()
        summary.size = output.size
        return summary
    }

    // MARK: Names in policies

    /// Whether a name that is not explicit gets an address below this one.
    private mutating func isWild(_ name: DNSName) -> Bool {
        let wire = otherName(below: name.wire.span)
        for family in families {
            if case .address = answers.answer(wire.span, family) { return true }
        }
        return false
    }

    /// Writes an explicit name of a policy, its ancestors, and the wildcard below it.
    private mutating func writeExplicit(_ name: DNSName) throws {
        keys.read(name.wire.span, at: 0)
        guard mark(keys.last, name.wire.span) else { return }
        try writeName(name.wire.span, mustExist: name != zone.origin)
        try writeWildcard(below: name.wire.span)
        try writeAncestors(of: name.wire.span)
    }

    // MARK: Records of the zone

    private mutating func writeRecords() throws {
        try writeComment("\(zone.origin), addresses drawn with --seed \(zone.seed)")
        output.append("$ORIGIN \(zone.origin)")
        try output.endRecord()
        var left: Set<DNSName> = []
        for record in try zone.records() {
            if wildcards.contains(record.owner) {
                left.insert(record.owner)
                continue
            }
            output.append(ZoneFile.text(of: record))
            try output.endRecord()
            summary.records += 1
        }
        for name in left {
            summary.notes.append(
                "the zone's own \(name) is left out: a policy answers for those names, as on the server")
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
        guard facts.zone == zone.number, facts.cut == nil else { return }
        guard let slot = zone.served.policies.names.slot(of: keys.last) else {
            throw ListError(message: "the list has changed since it was read: write the zone again")
        }
        guard mark(slot) else { return }
        try writeName(name, mustExist: true)
        try writeAncestors(of: name)
    }

    /// Writes the ancestors of a name up to one that exists already. Policies answer for them, too, and a wildcard from
    /// further up does not apply below them.
    private mutating func writeAncestors(of name: Span<UInt8>) throws {
        keys.read(name, at: 0)
        guard let encloser = zone.served.zones.encloser(of: keys) else { return }
        let policies = zone.served.policies, names = policies.names
        var depth = keys.depth - 1
        while depth > zone.served.zones.facts[encloser].depth {
            let ancestor = name.extracting(keys.offset(ofDepth: depth)..<name.count)
            guard !policies.isListed(names.nameClass(of: keys[depth])) else { return }
            guard mark(keys[depth], ancestor) else { return }
            try writeName(ancestor, mustExist: false)
            try writeWildcard(below: ancestor)
            depth -= 1
        }
    }

    /// Marks a name as seen. Returns false if it was already.
    private mutating func mark(_ key: NameKey, _ name: Span<UInt8>) -> Bool {
        if let slot = zone.served.policies.names.slot(of: key) { return mark(slot) }
        var wire: [UInt8] = []
        for index in 0..<name.count { wire.append(name[index]) }
        return seenBeside.insert(DNSName(unchecked: wire)).inserted
    }

    /// Marks a slot of the table as seen. Returns false if it was already.
    private mutating func mark(_ slot: Int) -> Bool {
        let bit = UInt64(1) << UInt64(slot & 63)
        guard seen[slot >> 6] & bit == 0 else { return false }
        seen[slot >> 6] |= bit
        return true
    }

    // MARK: Names

    /// Writes the addresses of a name.
    ///
    /// - Parameter mustExist: Whether the name must exist in the file even without an address, so that no wildcard
    ///   applies to it or below it.
    private mutating func writeName(_ name: Span<UInt8>, mustExist: Bool) throws {
        var isWritten = false, isZones = false
        for family in families {
            switch answers.answer(name, family) {
            case .address(let address, let ttl, _):
                try write(address, ttl, of: isWritten ? nil : name, isWildcard: false)
                isWritten = true
            case .records: isZones = true
            case .nothing: break
            }
        }
        if isWritten {
            summary.names += 1
            return
        }
        keys.read(name, at: 0)
        guard mustExist, !wildcards.isEmpty, let node = zone.served.zones.encloser(of: keys),
            zone.served.zones.facts[node].depth < keys.depth
        else { return }
        if isZones {
            // The zone's own wildcard answers for it, unless it was replaced.
            guard wildcards.contains(where: { $0.parent == zone.served.zones.nodes[node].name }) else { return }
            ownWildcard += 1
        }
        write(name, isWildcard: false)
        output.append(" 60 TXT \"no address\"")
        try output.endRecord()
        blocked += 1
    }

    /// Writes the wildcard below a name, with the addresses of a name that is not explicit.
    private mutating func writeWildcard(below name: Span<UInt8>) throws {
        guard name.count + 2 <= DNSName.longestName else { return }
        let other = otherName(below: name)
        var isWritten = false
        for family in families {
            guard case .address(let address, let ttl, _) = answers.answer(other.span, family) else { continue }
            try write(address, ttl, of: isWritten ? nil : name, isWildcard: true)
            isWritten = true
        }
        if isWritten { summary.wildcards += 1 }
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

    // MARK: Lines

    private mutating func write(
        _ address: IPAddress, _ ttl: UInt32, of name: Span<UInt8>?, isWildcard: Bool
    ) throws {
        // A line without an owner repeats that of the line before.
        if let name { write(name, isWildcard: isWildcard) }
        output.append(UInt8(ascii: " "))
        output.append(ttl)
        if address.family == .ipv4 {
            output.append(" A ")
            for shift in [24, 16, 8, 0] as [UInt32] {
                output.append(UInt32(truncatingIfNeeded: address.bits) >> shift & 255)
                if shift > 0 { output.append(UInt8(ascii: ".")) }
            }
        } else {
            output.append(" AAAA \(address)")
        }
        try output.endRecord()
        summary.addresses += 1
    }

    /// Writes a name relative to the origin.
    private mutating func write(_ name: Span<UInt8>, isWildcard: Bool) {
        let end = name.count - zone.origin.wire.count
        if isWildcard { output.append(end == 0 ? "*" : "*.") }
        if end == 0 {
            if !isWildcard { output.append(UInt8(ascii: "@")) }
            return
        }
        var offset = 0
        while offset < end {
            if offset > 0 { output.append(UInt8(ascii: ".")) }
            let next = offset + 1 + Int(name[offset])
            for index in (offset + 1)..<next { output.appendEscaped(name[index]) }
            offset = next
        }
    }

    private mutating func makeNotes() {
        for policy in zone.policies where policy.outcome == .refuse {
            summary.notes.append("\(policy.name) refuses, which a zone file cannot: those names have no address")
        }
        if summary.wildcards > 0 {
            summary.notes.append(
                "all names that a wildcard answers for share its address; the server gives each query or name its own"
            )
        }
        if blocked > 0 {
            summary.notes.append(
                "\(blocked) names without an address have a TXT record, because a wildcard would give them one")
        }
        if ownWildcard > 0 {
            summary.notes.append(
                "\(ownWildcard) of those get the records of the zone's own wildcard from the server")
        }
    }
}
