/// A zone as one answer sees it: where the message has the names that records refer to. Writes what the zone has.
struct ZoneAnswer {
    let zones: Zones
    /// The zone's number.
    let zone: Int
    /// Where the message has the zone's name.
    let origin: Int
    /// Where it has the name that is asked for.
    let owner: Int

    /// Writes the records of a node for a type. Nil if it has none.
    func answer(
        _ type: RecordType, of number: Int, _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>
    ) -> Resolver.Step? {
        let node = zones.nodes[number]
        let answer = Responder.Answer(code: .noError, kind: .records, isAuthoritative: true)
        if type == .ANY, !node.sets.isEmpty {
            // Nothing stands beside a CNAME (RFC 8482, section 4.2).
            if let alias = node[.CNAME] { add(alias, &writer, &buffer) } else { writer.addAnyRecord(&buffer) }
            return .done(answer)
        }
        if let set = node[type] {
            add(set, &writer, &buffer)
            if type == .NS { addAddresses(of: set.targets, areNeeded: false, &writer, &buffer) }
            return .done(answer)
        }
        guard let alias = node[.CNAME] else { return nil }
        // The target stands in the record's data, at its end.
        add(alias, &writer, &buffer)
        let start = writer.count - alias.records[0].data.count
        return writer.isCut ? .done(answer) : .alias(number, start)
    }

    /// Writes the servers of a delegated zone and their addresses.
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

    func noSuchName(_ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>) -> Responder.Answer {
        addAuthority(&writer, &buffer)
        return Responder.Answer(code: .noSuchName, kind: .noSuchName, isAuthoritative: true)
    }

    /// The zone's SOA, which tells resolvers how long there is nothing (RFC 2308).
    private func addAuthority(_ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>) {
        let zone = zones.zones[zone]
        writer.add(zone.authority, of: origin, ttl: zone.negativeTTL, origin: origin, in: .authority, &buffer)
    }

    private func add(_ set: RecordSet, _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>) {
        for record in set.records {
            writer.add(record, of: owner, ttl: set.ttl, origin: origin, in: .answer, &buffer)
        }
    }

    /// The addresses of name servers that this zone has: whole sets, as far as there is room. Without those that a
    /// referral needs, glue, the answer counts as cut (RFC 9471).
    private func addAddresses(
        of names: [DNSName], areNeeded: Bool, _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>
    ) {
        for name in names {
            guard let index = zones.node(of: name) else { continue }
            let node = zones.nodes[index]
            // Its records may be compressed by another zone's name.
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
