import AddressPools

/// Aliases and delegations.
extension Lookup {
    /// Continues after the records of a node.
    mutating func step(after result: ZoneAnswer.Result, _ place: ZoneAnswer, _ served: ServedData) -> Step {
        switch result {
        case .done(let answer): return .done(answer)
        case .alias(let node, let offset):
            target = served.zones.target(ofAlias: node)
            let hasPointer = served.zones.isCompressed(aliasOf: node)
            let begin = target.wire.count - (hasPointer ? served.zones.zones[place.zone].origin.wire.count : 0)
            return .follow(
                Subject(
                    offset: offset, hash: AddressPolicies.hash(of: target.wire.span),
                    pointer: hasPointer ? (begin, place.origin) : (.max, 0)))
        }
    }

    /// Answers for a name below a DNAME record: with that, and with the CNAME record that it implies (RFC 6672, section
    /// 3.2).
    mutating func redirect(
        _ node: Int, _ type: RecordType, _ subject: Subject, _ message: Span<UInt8>, _ served: ServedData,
        _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>
    ) -> Step {
        var answer = Responder.Answer(code: .noError, kind: .records, isAuthoritative: true)
        let depth = served.zones.facts[node].depth
        guard let redirection = served.zones.nodes[node][.DNAME], let suffix = redirection.alias,
            let tail = place(node, subject, served).addRedirection(
                redirection, at: offset(ofDepth: depth, subject), &writer, &buffer)
        else { return .done(answer) }
        // The labels of the name that the record does not replace.
        let length = keys.offset(ofDepth: depth) - (subject.hash == nil ? subject.offset : 0)
        let head = (0..<length).map { subject.hash == nil ? message[subject.offset + $0] : target.wire[$0] }
        guard head.count + suffix.wire.count <= DNSName.longestName else {
            answer.code = .nameTooLong
            return .done(answer)
        }
        guard
            let offset = writer.addAlias(of: subject.offset, to: head, before: tail, ttl: redirection.ttl, &buffer),
            type != .CNAME
        else { return .done(answer) }
        target = DNSName(unchecked: head + suffix.wire)
        return .follow(
            Subject(offset: offset, hash: AddressPolicies.hash(of: target.wire.span), pointer: (head.count, tail)))
    }

    /// Answers a query for DS at the name of a zone from the zone above it, to which DS records belong (RFC 4035, section
    /// 3.1.4.1). Returns nil if that is not served here.
    func answerAbove(
        _ zone: Int, _ subject: Subject, _ served: ServedData, _ writer: inout MessageWriter,
        _ buffer: inout MutableSpan<UInt8>
    ) -> Responder.Answer? {
        let zones = served.zones
        guard keys.depth > 0, let encloser = zones.encloser(of: keys, from: keys.depth - 1) else { return nil }
        let facts = zones.facts[encloser]
        let place = place(encloser, subject, served)
        if let cut = facts.cut {
            return place.refer(cut, at: offset(ofDepth: zones.facts[cut].depth, subject), &writer, &buffer)
        }
        if let node = zones.zones[zone].delegation, zones.facts[node].zone == facts.zone, zones.nodes[node][.DS] != nil,
            case .done(let answer) = place.answer(.DS, of: node, &writer, &buffer)
        {
            return answer
        }
        return place.noData(&writer, &buffer)
    }
}

// MARK: - Addresses for any client

extension Lookup {
    /// Returns whether any client gets an address for a name, from a policy or a zone.
    mutating func hasAddress(_ name: DNSName, _ served: ServedData) -> Bool {
        keys.read(name.wire.span, at: 0)
        guard let encloser = served.zones.encloser(of: keys) else { return false }
        let facts = served.zones.facts[encloser]
        if facts.hides(keys.depth) { return false }
        if facts.depth == keys.depth {
            let node = served.zones.nodes[encloser]
            if node[.A] != nil || node[.AAAA] != nil { return true }
        }
        let question = AddressQuestion(
            nameClass: served.policies.names.nameClass(of: keys.last), depth: keys.depth,
            encloserDepth: served.policies.depthOfExplicitName(
                above: keys.depth, of: keys, from: facts.depth) ?? facts.depth,
            zoneDepth: facts.zoneDepth)
        return served.policies.givesAddresses(keys, question)
    }
}
