import AddressPools

/// The lines of the file.
extension OfflineZoneWriter {
    /// Writes what a name is answered. Returns false if that is nothing.
    ///
    /// - Parameter other: The name that random addresses are drawn for.
    mutating func write(
        _ own: NameAnswers, of name: Span<UInt8>, drawnFor other: Span<UInt8>, isWildcard: Bool
    ) throws -> Bool {
        var isFirst = true
        for (family, policy) in [(IPFamily.ipv4, own.ipv4), (.ipv6, own.ipv6)] {
            guard let policy else { continue }
            var drawn: [(IPAddress, UInt32)] = []
            try answers.draw(policy, other, family) { drawn.append(($0, $1)) }
            for (address, ttl) in drawn {
                // A line without an owner repeats that of the line before.
                if isFirst { write(name, isWildcard: isWildcard) }
                isFirst = false
                try write(address, ttl)
            }
        }
        guard let wildcard = own.wildcard else { return !isFirst }
        for record in ownWildcards[zone.served.zones.nodes[wildcard].name] ?? [] where own.types.contains(record.type) {
            write(name, isWildcard: isWildcard)
            let data = String(decoding: RecordData.text(of: record.data, type: record.type), as: UTF8.self)
            output.append(" \(record.ttl) \(record.type) \(data)")
            try output.endRecord()
            isFirst = false
        }
        return !isFirst
    }

    private mutating func write(_ address: IPAddress, _ ttl: UInt32) throws {
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
    mutating func write(_ name: Span<UInt8>, isWildcard: Bool) {
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

    mutating func makeNotes() {
        for policy in zone.policies where policy.outcome == .refuse {
            summary.notes.append(
                "\(policy.name) refuses, which a zone file cannot: those names have no address, and no records of the zone's "
                    + "wildcards where it refuses all others")
        }
        if summary.wildcards > 0 {
            summary.notes.append(
                "all names that a wildcard answers for share its address; the server gives each query or name its own"
            )
        }
        if blocked > 0 {
            summary.notes.append(
                "\(blocked) names without an address have a TXT record: without it they would not exist, or a wildcard would "
                    + "give them an address")
        }
        if besideAlias > 0 {
            summary.notes.append(
                "a CNAME of the zone's own wildcard is left out where a policy gives an address of one family only")
        }
    }
}
