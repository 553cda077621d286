// The rules of a zone, one function each. They visit the records in order, so problems are in order as well.

extension ZoneCheck {
    /// There is one SOA record, at the origin, and NS records beside it.
    mutating func checkOrigin() {
        let authority = first(.SOA, of: origin)
        if authority == nil {
            refuse(-1, "the zone \(origin) has no SOA record; write one for its origin")
        }
        if first(.NS, of: origin) == nil {
            warn(-1, "the zone \(origin) has no NS record; write one for its origin, or resolvers will not find it")
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

    /// A CNAME record is alone (RFC 2181, section 10.1), and a name has only one DNAME record (RFC 6672, section 2.4).
    mutating func checkAliases() {
        for index in kept {
            let record = records[index]
            if record.type == .DNAME, let first = redirections[record.owner], index != first {
                refuse(index, "\(record.owner) has another DNAME record at \(reference(first)); remove one of them")
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

    // MARK: Occlusion

    /// Records that something above them hides are left out. At a delegation only NS, DS and address records are
    /// answered with, below it only address records (glue), and below a DNAME record nothing.
    mutating func checkOcclusion() {
        var hidden: [Int: String] = [:]
        for index in kept {
            let record = records[index]
            if let occlusion = occlusion(above: record.owner) {
                switch occlusion {
                case .delegation where record.type.isAddress: break
                case .delegation(let cut):
                    hidden[index] =
                        "\(named(index)) is below the delegation of \(cut), which answers for it, so it is left out; "
                        + "move it to that zone"
                case .redirection(let name):
                    hidden[index] =
                        "\(named(index)) is below the DNAME record of \(name), which redirects it, so it is left out; "
                        + "remove one of them"
                }
            } else if delegations.contains(record.owner) {
                if record.type == .NS, record.owner.isWildcard {
                    warn(
                        index,
                        "the wildcard \(record.owner) does not delegate the names that it matches (RFC 4592); name each zone"
                    )
                }
                guard ![.NS, .DS].contains(record.type), !record.type.isAddress else { continue }
                hidden[index] =
                    "\(named(index)) is at the delegation of that name, which answers for it, so it is left out; move "
                    + "it to that zone"
            } else if record.type == .DS {
                if record.owner == origin {
                    hidden[index] =
                        "\(named(index)) belongs to the zone above, so it is left out; move it there"
                } else {
                    warn(index, "\(named(index)) has no NS record beside it; delegate the name, or remove it")
                }
            }
        }
        leaveOut(hidden)
    }

    private enum Occlusion {
        case delegation(DNSName)
        case redirection(DNSName)
    }

    /// Returns the topmost delegation or DNAME record above `name`; nil if there is none.
    private func occlusion(above name: DNSName) -> Occlusion? {
        guard !delegations.isEmpty || !redirections.isEmpty else { return nil }
        var highest: Occlusion?
        var next = name.parent
        while let ancestor = next, ancestor.isAtOrBelow(origin) {
            if delegations.contains(ancestor) {
                highest = .delegation(ancestor)
            } else if redirections[ancestor] != nil {
                highest = .redirection(ancestor)
            }
            next = ancestor.parent
        }
        return highest
    }

    // MARK: Targets

    /// The targets of NS, MX and SRV records in the zone have addresses, and are no aliases.
    mutating func checkTargets() {
        for index in kept {
            let record = records[index]
            guard [.NS, .MX, .SRV].contains(record.type), let target = record.target,
                target.isAtOrBelow(origin)
            else { continue }
            switch kind(of: target) {
            case .address: break
            case .delegated(let cut):
                // Another zone has the addresses; only those of its own name servers must be here.
                guard record.type == .NS, target.isAtOrBelow(record.owner), !hasAddress(target) else { continue }
                warn(
                    index,
                    "\(target), a name server of \(record.owner), is in the delegated zone \(cut) and has no address "
                        + "here; write an A or AAAA record for it")
            case .alias:
                warn(
                    index,
                    "\(named(index)) points to \(target), which is an alias; use the target of that (RFC 2181)")
            case .nothing:
                warn(
                    index,
                    "\(named(index)) points to \(target), which has no address in this zone; write an A or AAAA record",
                    nameWithoutAddress: target)
            }
        }
    }

    private enum Kind {
        case address, alias, nothing
        case delegated(DNSName)
    }

    private func kind(of target: DNSName) -> Kind {
        switch occlusion(above: target) {
        case .delegation(let cut): return .delegated(cut)
        case .redirection: return .alias
        case nil: if delegations.contains(target) { return .delegated(target) }
        }
        let source = names.contains(target) ? target : wildcard(for: target)
        if let source, hasAddress(source) { return .address }
        if let source, aliases[source] != nil { return .alias }
        return .nothing
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
