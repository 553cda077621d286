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
        /// Whether a DNAME record redirects the names below.
        let redirects: Bool
        let cut: Int?
        let wildcard: Int?

        /// Whether neither the zone nor policies answer for the names with this number of labels of which this is the
        /// closest encloser: another zone does, or they are redirected.
        func hides(_ depth: Int) -> Bool { cut != nil || redirects && depth > self.depth }
    }

    struct Zone: Sendable {
        let origin: DNSName
        let depth: Int
        let authority: CompactRecord
        /// The negative caching TTL in seconds: the lower of the SOA's TTL and its minimum field (RFC 2308).
        let negativeTTL: UInt32
        let node: Int
        /// The node of the same name in the zone above; nil if that is not served, or does not have the name.
        let delegation: Int?
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
                hasRecords: !node.sets.isEmpty, redirects: node[.DNAME] != nil, cut: node.cut, wildcard: node.wildcard)
        }
    }

    /// Returns the closest encloser of a name, which may be the name itself; nil outside all zones.
    @inline(__always)
    func encloser(of name: borrowing NameKeys) -> Int? { encloser(of: name, from: name.depth) }

    /// Returns the closest encloser of the ancestor of a name with a number of labels.
    @inline(__always)
    func encloser(of name: borrowing NameKeys, from depth: Int) -> Int? {
        var depth = depth
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
    func target(ofAlias node: Int) -> DNSName { nodes[node][.CNAME]?.alias ?? .root }

    /// Returns whether that target is compressed in messages: it ends with the zone's name.
    func isCompressed(aliasOf node: Int) -> Bool { nodes[node][.CNAME]?.records.first?.origins.isEmpty == false }
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
            for node in nodes.indices {
                for set in nodes[node].sets.indices where nodes[node].sets[set].type.namesHosts {
                    nodes[node].sets[set].hosts = hosts(of: nodes[node].sets[set], node, &keys)
                }
            }
        }

        private mutating func add(_ origin: DNSName, _ records: [ResourceRecord], _ keys: inout NameKeys) {
            let number = zones.count
            keys.read(origin.wire.span, at: 0)
            let delegation = table[keys.last]
            let top = node(of: origin, origin, number, &keys)
            for record in records {
                let index = node(of: record.owner, origin, number, &keys)
                let set = add(CompactRecord(record, origin: origin), ttl: record.ttl, to: index)
                if record.type.isAlias { nodes[index].sets[set].alias = record.target }
            }
            let authority = records.first { $0.type == .SOA }!
            let minimum = authority.data.suffix(4).reduce(0) { $0 << 8 | UInt32($1) }
            zones.append(
                Zone(
                    origin: origin, depth: origin.labelCount, authority: CompactRecord(authority, origin: origin),
                    negativeTTL: min(authority.ttl, minimum), node: top, delegation: delegation))
        }

        /// Adds a record to a node. Returns the index of its set.
        private mutating func add(_ record: CompactRecord, ttl: UInt32, to node: Int) -> Int {
            if let set = nodes[node].sets.firstIndex(where: { $0.type == record.type }) {
                nodes[node].sets[set].records.append(record)
                return set
            }
            nodes[node].sets.append(RecordSet(type: record.type, ttl: ttl, records: [record]))
            return nodes[node].sets.count - 1
        }

        /// Returns the hosts with addresses among those that the records of a node name.
        private func hosts(of set: RecordSet, _ owner: Int, _ keys: inout NameKeys) -> [RecordSet.Host] {
            let origin = zones[nodes[owner].zone].origin
            var hosts: [RecordSet.Host] = []
            var known: Set<Int> = []
            for (record, data) in set.records.enumerated() {
                guard let host = data.target(in: origin) else { continue }
                // In SVCB records, the root stands for the owner (RFC 9460, section 2.5).
                let isOwner = host == .root && [.SVCB, .HTTPS].contains(set.type)
                keys.read(host.wire.span, at: 0)
                guard let node = isOwner ? owner : table[keys.last], known.insert(node).inserted,
                    nodes[node][.A] != nil || nodes[node][.AAAA] != nil
                else { continue }
                hosts.append(
                    .init(record: record, node: node, name: isOwner ? .owner : name(of: host, set.type, in: origin)))
            }
            return hosts
        }

        /// Other names may point to those in NS and MX records only: a receiver that does not know a type cannot keep
        /// its data apart from the message (RFC 3597, section 4).
        private func name(of host: DNSName, _ type: RecordType, in origin: DNSName) -> RecordSet.Host.Name {
            if type.hasCompressedTarget { return .inData }
            guard host.isAtOrBelow(origin), origin != .root else { return .elsewhere }
            return .inZone(host.wire.count - origin.wire.count)
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
