/// Writes records of a zone into one answer. Knows where the message has the names that compression pointers refer to.
struct ZoneAnswer {
    let zones: Zones
    /// The index of the zone.
    let zone: Int
    /// The offset of the zone's name in the message.
    let origin: Int
    /// The offset of the queried name in the message.
    let owner: Int

    enum Result {
        case done(Responder.Answer)
        /// The CNAME record of this node was written; its target is at an offset in the message.
        case alias(Int, Int)
    }

    /// Writes the records of a node for a type. Returns nil if it has none.
    func answer(
        _ type: RecordType, of number: Int, _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>
    ) -> Result? {
        let node = zones.nodes[number]
        let answer = Responder.Answer(code: .noError, kind: .records, isAuthoritative: true)
        if type == .ANY, !node.sets.isEmpty {
            // A CNAME answers ANY alone (RFC 8482, section 4.2).
            if let alias = node[.CNAME] { add(alias, &writer, &buffer) } else { writer.addAnyRecord(&buffer) }
            return .done(answer)
        }
        if let set = node[type] {
            let start = writer.count
            add(set, &writer, &buffer)
            addAddresses(of: set, at: start, areNeeded: false, &writer, &buffer)
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
    ) -> Responder.Answer {
        if let servers = zones.nodes[cut][.NS] {
            let start = writer.count
            for record in servers.records {
                writer.add(record, of: offset, ttl: servers.ttl, origin: origin, in: .authority, &buffer)
            }
            addAddresses(of: servers, at: start, areNeeded: true, &writer, &buffer)
        }
        return Responder.Answer(code: .noError, kind: .referral)
    }

    /// Writes the DNAME record of a node. Returns the offset of its target in the message; nil if it does not fit.
    func addRedirection(
        _ redirection: RecordSet, at offset: Int, _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>
    ) -> Int? {
        let record = redirection.records[0]
        writer.add(record, of: offset, ttl: redirection.ttl, origin: origin, in: .answer, &buffer)
        return writer.isTruncated ? nil : writer.count - record.data.count
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
}

// MARK: - Additional addresses

extension ZoneAnswer {
    /// Writes the addresses of the hosts that records name, as whole sets. Sets that do not fit are left out; if a
    /// referral needs them (glue), the answer counts as truncated (RFC 9471).
    ///
    /// - Parameter start: The offset of the first of the records, which are in the message one after the other.
    private func addAddresses(
        of set: RecordSet, at start: Int, areNeeded: Bool, _ writer: inout MessageWriter,
        _ buffer: inout MutableSpan<UInt8>
    ) {
        guard !writer.isTruncated else { return }
        var (record, offset) = (0, start)
        for host in set.hosts {
            while record < host.record {
                offset += 2 + set.records[record].size
                record += 1
            }
            // The name begins behind the fixed fields of its record, and a preference in MX.
            let name = offset + 12 + (set.type.targetOffset ?? 0)
            addAddresses(of: host, namedAt: name, areNeeded: areNeeded, &writer, &buffer)
        }
    }

    private func addAddresses(
        of host: RecordSet.Host, namedAt offset: Int, areNeeded: Bool, _ writer: inout MessageWriter,
        _ buffer: inout MutableSpan<UInt8>
    ) {
        let node = zones.nodes[host.node]
        var place: Int? =
            switch host.name {
            case .owner: owner
            // Pointers reach no further.
            case .inData: offset <= MessageWriter.farthestPointer ? offset : nil
            case .inZone, .elsewhere: nil
            }
        for set in [node[.A], node[.AAAA]] {
            guard let set, areNeeded || writer.hasRoom(for: size(of: set, node, isNamed: place != nil)) else {
                continue
            }
            for record in set.records {
                if let place {
                    writer.add(record, of: place, ttl: set.ttl, origin: origin, in: .additional, &buffer)
                    continue
                }
                let start = writer.count
                var head = node.name.wire.count
                if case .inZone(let count) = host.name { head = count }
                writer.add(record, ofNew: node.name, head: head, ttl: set.ttl, origin: origin, in: .additional, &buffer)
                if !writer.isTruncated, start <= MessageWriter.farthestPointer { place = start }
            }
        }
    }

    /// The most bytes that a set can take.
    private func size(of set: RecordSet, _ node: Zones.ZoneNode, isNamed: Bool) -> Int {
        (isNamed ? 0 : node.name.wire.count) + set.records.reduce(0) { $0 + 2 + $1.size }
    }
}
