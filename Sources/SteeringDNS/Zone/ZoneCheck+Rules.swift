// The rules of a zone, one function each. They visit the records in order, so problems are in order as well.

extension ZoneCheck {
    /// There is one SOA record, at the origin, and NS records beside it.
    mutating func checkOrigin() {
        let authority = first(.SOA, of: origin)
        if authority == nil {
            refuse(-1, "the zone \(origin) has no SOA record; write one for its origin")
        }
        if first(.NS, of: origin) == nil {
            refuse(-1, "the zone \(origin) has no NS record; write one for its origin, or resolvers will not find it")
        }
        for index in kept where records[index].type == .SOA && index != authority {
            if records[index].owner == origin, let authority {
                refuse(index, "the zone has a second SOA record beside \(reference(authority)); remove one of them")
            } else {
                refuse(
                    index, "\(named(index)) is not at the origin \(origin); remove it, or put it in a zone of its own")
            }
        }
    }

    /// All records of one name and type fit an answer, which has 65,535 bytes with its question and OPT record.
    mutating func checkSizes() {
        for (name, types) in sets {
            for (type, set) in types {
                let size = set.reduce(12 + name.wire.count + 4 + 11) { size, index in
                    // The owner is a pointer to the question.
                    size + 2 + CompactRecord(records[index], origin: origin).size
                }
                guard size > 65_535 else { continue }
                refuse(
                    set[0],
                    "the \(type) records of \(name) need \(size) bytes and fit no answer, which has at most 65,535; "
                        + "remove some")
            }
        }
    }

    /// A CNAME record is alone (RFC 2181, section 10.1); DNAME is not supported.
    mutating func checkAliases() {
        for index in kept {
            let record = records[index]
            if record.type == .DNAME {
                refuse(index, "DNAME records are not served; write a CNAME record for each name")
            }
            guard !aliases.isEmpty, let alias = aliases[record.owner], index != alias else { continue }
            if record.type == .CNAME {
                refuse(index, "\(record.owner) has another CNAME record at \(reference(alias)); remove one of them")
            } else {
                refuse(
                    index,
                    "\(named(index)) is beside the CNAME record at \(reference(alias)), which must be alone; "
                        + "remove one of them")
            }
        }
    }

    /// At a delegation there are only NS, DS and address records, and below it only address records (glue).
    mutating func checkDelegations() {
        for index in kept {
            let record = records[index]
            let isAddress = record.type == .A || record.type == .AAAA
            if let cut = delegation(above: record.owner) {
                guard !isAddress else { continue }
                refuse(
                    index,
                    "\(named(index)) is below the delegation of \(cut), which answers for it; move it to that zone")
            } else if isDelegation(record.owner) {
                if record.type == .NS, record.owner.isWildcard {
                    refuse(index, "the wildcard \(record.owner) cannot be delegated (RFC 4592); name each zone")
                }
                guard !isAddress, record.type != .NS, record.type != .DS, record.type != .CNAME else { continue }
                refuse(
                    index,
                    "\(named(index)) is at the delegation of that name, which answers for it; move it to that zone")
            } else if record.type == .DS {
                refuse(index, "\(named(index)) has no NS record beside it; delegate the name, or remove it")
            }
        }
    }

    private func isDelegation(_ name: DNSName) -> Bool { !delegations.isEmpty && delegations.contains(name) }

    /// Returns the topmost delegation above `name`; nil if there is none.
    private func delegation(above name: DNSName) -> DNSName? {
        guard !delegations.isEmpty else { return nil }
        var highest: DNSName?
        var next = name.parent
        while let ancestor = next, ancestor.isBelow(origin) {
            if isDelegation(ancestor) { highest = ancestor }
            next = ancestor.parent
        }
        return highest
    }

    // MARK: Targets

    /// The targets of NS, MX and SRV records in the zone have addresses.
    mutating func checkTargets(_ answeredElsewhere: (DNSName) -> Bool) {
        for index in kept {
            guard let target = target(of: records[index]), target.isAtOrBelow(origin) else { continue }
            let owner = records[index].owner
            // Another zone answers for these records; only the addresses of its name servers must be here.
            guard delegation(above: owner) == nil else { continue }
            if let cut = isDelegation(target) ? target : delegation(above: target) {
                guard records[index].type == .NS, target.isAtOrBelow(owner), !hasAddress(target) else { continue }
                refuse(
                    index,
                    "\(target), a name server of \(owner), is in the delegated zone \(cut) and has no address here; "
                        + "write an A or AAAA record for it")
                continue
            }
            switch kind(of: target, answeredElsewhere) {
            case .address: break
            case .alias where records[index].type == .SRV: break
            case .alias:
                refuse(
                    index, "\(named(index)) points to \(target), which is a CNAME; use the target of that (RFC 2181)")
            case .nothing:
                refuse(
                    index,
                    "\(named(index)) points to \(target), which has no address in this zone; write an A or AAAA record")
            }
        }
    }

    private func target(of record: ResourceRecord) -> DNSName? {
        switch record.type {
        case .NS: DNSName(wire: record.data)
        case .MX: DNSName(wire: Array(record.data.dropFirst(2)))
        case .SRV: DNSName(wire: Array(record.data.dropFirst(6)))
        default: nil
        }
    }

    private enum Kind { case address, alias, nothing }

    private func kind(of target: DNSName, _ answeredElsewhere: (DNSName) -> Bool) -> Kind {
        let source = names.contains(target) ? target : wildcard(for: target)
        if let source, hasAddress(source) { return .address }
        if let source, aliases[source] != nil { return .alias }
        return answeredElsewhere(target) ? .address : .nothing
    }

    /// Returns the wildcard at the closest encloser of a name that does not exist; nil if there can be none.
    private func wildcard(for name: DNSName) -> DNSName? {
        var next = name.parent
        while let ancestor = next, ancestor.isAtOrBelow(origin) {
            if names.contains(ancestor) { return ancestor.wildcard }
            next = ancestor.parent
        }
        return nil
    }
}
