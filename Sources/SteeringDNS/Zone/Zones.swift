import AddressPools

/// All zones, as one tree of names that is stored in a hash table.
final class Zones: Sendable {
    let zones: [Zone]
    let nodes: [ZoneNode]
    /// The properties of each node that most answers need.
    let facts: [Facts]
    private let table: KeyTable<Int>

    struct Facts: Sendable {
        let depth: Int
        let zone: Int
        let zoneDepth: Int
        let hasRecords: Bool
        let cut: Int?
        let wildcard: Int?
    }

    struct Zone: Sendable {
        let origin: DNSName
        let depth: Int
        let authority: CompactRecord
        /// The negative caching TTL in seconds: the lower of the SOA's TTL and its minimum field (RFC 2308).
        let negativeTTL: UInt32
        let node: Int
    }

    struct ZoneNode: Sendable {
        let name: DNSName
        let zone: Int
        let depth: Int
        var sets: [RecordSet] = []
        /// The delegation at or above this name.
        var cut: Int?
        /// The wildcard directly below this name (RFC 4592).
        var wildcard: Int?

        subscript(type: RecordType) -> RecordSet? { sets.first { $0.type == type } }
    }

    /// Makes the tree from checked records, zone by zone.
    init(_ zones: [(origin: DNSName, records: [ResourceRecord])]) {
        var builder = Builder()
        builder.add(zones)
        self.zones = builder.zones
        nodes = builder.nodes
        table = builder.table
        facts = builder.nodes.map { node in
            Facts(
                depth: node.depth, zone: node.zone, zoneDepth: builder.zones[node.zone].depth,
                hasRecords: !node.sets.isEmpty, cut: node.cut, wildcard: node.wildcard)
        }
    }

    /// Returns the closest encloser of a name, which may be the name itself; nil outside all zones.
    @inline(__always)
    func encloser(of name: borrowing NameKeys) -> Int? {
        var depth = name.depth
        while true {
            if let node = table[name[depth]] { return node }
            if depth == 0 { return nil }
            depth -= 1
        }
    }

    /// Returns the closest encloser of a name; nil outside all zones.
    func encloser(of name: DNSName) -> Int? {
        var keys = NameKeys()
        keys.read(name.wire.span, at: 0)
        return encloser(of: keys)
    }

    /// Returns the node of a name; nil if it does not exist.
    func node(of name: DNSName) -> Int? {
        var keys = NameKeys()
        keys.read(name.wire.span, at: 0)
        return table[keys.last]
    }

    /// Returns the node of the name with a key; nil if it does not exist.
    func node(of key: NameKey) -> Int? { table[key] }

    /// Returns the target of a node's CNAME.
    func target(ofAlias node: Int) -> DNSName { nodes[node][.CNAME]?.targets.first ?? .root }
}

extension Zones {
    /// Collects the nodes.
    private struct Builder {
        var zones: [Zone] = []
        var nodes: [ZoneNode] = []
        var table = KeyTable<Int>()

        mutating func add(_ zones: [(origin: DNSName, records: [ResourceRecord])]) {
            var keys = NameKeys()
            // Shorter origins first, so that a zone inside another takes over its names.
            var tops = KeyTable<Bool>()
            for zone in zones {
                keys.read(zone.origin.wire.span, at: 0)
                tops[keys.last] = true
            }
            for (origin, records) in zones.sorted(by: { $0.origin.labelCount < $1.origin.labelCount }) {
                // Records below the apex of another zone are dropped: that zone answers there. Those at its apex, the
                // delegation, stay.
                let depth = origin.labelCount
                let own = records.filter { record in
                    keys.read(record.owner.wire.span, at: 0)
                    return keys.depth <= depth + 1 || !((depth + 1)..<keys.depth).contains { tops[keys[$0]] != nil }
                }
                add(origin, own, &keys)
            }
            for index in nodes.indices { connect(index, &keys) }
        }

        private mutating func add(_ origin: DNSName, _ records: [ResourceRecord], _ keys: inout NameKeys) {
            let number = zones.count
            let top = node(of: origin, origin, number, &keys)
            for record in records {
                let index = node(of: record.owner, origin, number, &keys)
                let compact = CompactRecord(record, origin: origin)
                let target = [.CNAME, .NS].contains(record.type) ? DNSName(wire: record.data) : nil
                if let set = nodes[index].sets.firstIndex(where: { $0.type == record.type }) {
                    nodes[index].sets[set].records.append(compact)
                    if let target { nodes[index].sets[set].targets.append(target) }
                } else {
                    nodes[index].sets.append(
                        RecordSet(
                            type: record.type, ttl: record.ttl, records: [compact], targets: target.map { [$0] } ?? []))
                }
            }
            let authority = records.first { $0.type == .SOA }!
            let minimum = authority.data.suffix(4).reduce(0) { $0 << 8 | UInt32($1) }
            zones.append(
                Zone(
                    origin: origin, depth: origin.labelCount, authority: CompactRecord(authority, origin: origin),
                    negativeTTL: min(authority.ttl, minimum), node: top))
        }

        /// Returns the node of a name. Creates it, and those between it and the origin, if needed.
        private mutating func node(
            of name: DNSName, _ origin: DNSName, _ zone: Int, _ keys: inout NameKeys
        ) -> Int {
            keys.read(name.wire.span, at: 0)
            if let known = table[keys.last], nodes[known].zone == zone { return known }
            table[keys.last] = nodes.count
            nodes.append(ZoneNode(name: name, zone: zone, depth: name.labelCount))
            let index = nodes.count - 1
            if name != origin, let parent = name.parent { _ = node(of: parent, origin, zone, &keys) }
            return index
        }

        /// Sets a node's delegation and its wildcard.
        private mutating func connect(_ index: Int, _ keys: inout NameKeys) {
            let zone = nodes[index].zone
            let origin = zones[zone].origin
            if let wildcard = nodes[index].name.wildcard {
                keys.read(wildcard.wire.span, at: 0)
                nodes[index].wildcard = table[keys.last].flatMap { nodes[$0].zone == zone ? $0 : nil }
            }
            var name = nodes[index].name
            while name != origin {
                keys.read(name.wire.span, at: 0)
                if let above = table[keys.last], nodes[above].zone == zone, nodes[above][.NS] != nil {
                    nodes[index].cut = above
                }
                name = name.parent!
            }
        }
    }
}
