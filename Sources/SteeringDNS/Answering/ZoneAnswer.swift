/// Writes records of a zone into one answer. Knows where the message has the names that compression pointers refer to.
struct ZoneAnswer {
    let zones: Zones
    /// The index of the zone.
    let zone: Int
    /// The offset of the zone's name in the message.
    let origin: Int
    /// The offset of the queried name in the message.
    let owner: Int

    /// Writes the records of a node for a type. Returns nil if it has none.
    func answer(
        _ type: RecordType, of number: Int, _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>
    ) -> Lookup.Step? {
        let node = zones.nodes[number]
        let answer = Responder.Answer(code: .noError, kind: .records, isAuthoritative: true)
        if type == .ANY, !node.sets.isEmpty {
            // A CNAME answers ANY alone (RFC 8482, section 4.2).
            if let alias = node[.CNAME] { add(alias, &writer, &buffer) } else { writer.addAnyRecord(&buffer) }
            return .done(answer)
        }
        if let set = node[type] {
            add(set, &writer, &buffer)
            if type == .NS { addAddresses(of: set.targets, areNeeded: false, &writer, &buffer) }
            return .done(answer)
        }
        guard let alias = node[.CNAME] else { return nil }
        // The target is at the end of the record's data.
        add(alias, &writer, &buffer)
        let start = writer.count - alias.records[0].data.count
        return writer.isTruncated ? .done(answer) : .alias(number, start)
    }

    /// Writes the records of a wildcard for a name that has addresses already: nil if it has none of the type. A CNAME
    /// is beside nothing else.
    func answerBesideAddresses(
        _ type: RecordType, of wildcard: Int, _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>
    ) -> Responder.Answer? {
        guard type != .CNAME, let set = zones.nodes[wildcard][type] else { return nil }
        add(set, &writer, &buffer)
        return Responder.Answer(code: .noError, kind: .records, isAuthoritative: true)
    }

    /// Writes a referral: the name servers of a delegated zone, and their addresses.
    func refer(
        _ cut: Int, at offset: Int, _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>
    ) {
        guard let servers = zones.nodes[cut][.NS] else { return }
        for record in servers.records {
            writer.add(record, of: offset, ttl: servers.ttl, origin: origin, in: .authority, &buffer)
        }
        addAddresses(of: servers.targets, areNeeded: true, &writer, &buffer)
    }

    func noData(_ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>) -> Responder.Answer {
        addAuthority(&writer, &buffer)
        return Responder.Answer(code: .noError, kind: .noData, isAuthoritative: true)
    }

    func nameError(_ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>) -> Responder.Answer {
        addAuthority(&writer, &buffer)
        return Responder.Answer(code: .nameError, kind: .nameError, isAuthoritative: true)
    }

    /// Writes the zone's SOA, from which resolvers take the negative caching TTL (RFC 2308).
    private func addAuthority(_ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>) {
        let zone = zones.zones[zone]
        writer.add(zone.authority, of: origin, ttl: zone.negativeTTL, origin: origin, in: .authority, &buffer)
    }

    private func add(_ set: RecordSet, _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>) {
        for record in set.records {
            writer.add(record, of: owner, ttl: set.ttl, origin: origin, in: .answer, &buffer)
        }
    }

    /// Writes the addresses of name servers that are in this zone, as whole sets. Sets that do not fit are left out; if
    /// a referral needs them (glue), the answer counts as truncated (RFC 9471).
    private func addAddresses(
        of names: [DNSName], areNeeded: Bool, _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>
    ) {
        for name in names {
            guard let index = zones.node(of: name) else { continue }
            let node = zones.nodes[index]
            // Records of another zone are compressed against its origin.
            guard node.zone == zone else { continue }
            for type in [RecordType.A, .AAAA] {
                guard let set = node[type] else { continue }
                let size = set.records.reduce(0) { $0 + name.wire.count + $1.size }
                guard areNeeded || writer.hasRoom(for: size) else { continue }
                for record in set.records {
                    writer.add(record, ofNew: name.wire, ttl: set.ttl, origin: origin, in: .additional, &buffer)
                }
            }
        }
    }
}
