/// A record's data as it goes into messages: names in it that end with the zone's own are cut there, and a pointer
/// takes the place of the rest (RFC 1035, section 4.1.4), since the zone's name is part of every question about it.
struct CompactRecord: Sendable {
    let type: RecordType
    /// With room for pointers at ``origins``.
    let data: [UInt8]
    let origins: [Int]

    /// With type, class, TTL and length, without the owner.
    var size: Int { 10 + data.count }

    init(_ record: ResourceRecord, origin: DNSName) {
        type = record.type
        var data: [UInt8] = []
        var origins: [Int] = []
        var rest = record.data[...]
        data += rest.prefix(Self.bytesBeforeNames(record.type))
        rest = rest.dropFirst(Self.bytesBeforeNames(record.type))
        for _ in 0..<Self.nameCount(record.type) {
            guard let length = DNSName.length(in: rest) else { break }
            let name = DNSName(unchecked: Array(rest.prefix(length)))
            rest = rest.dropFirst(length)
            // A name of one letter and the root is no longer than a pointer.
            guard name.isAtOrBelow(origin), origin.wire.count > 2 else {
                data += name.wire
                continue
            }
            data += name.wire.dropLast(origin.wire.count)
            origins.append(data.count)
            data += [0, 0]
        }
        self.data = data + rest
        self.origins = origins
    }

    /// The types whose names every reader knows how to expand (RFC 3597, section 4).
    private static func nameCount(_ type: RecordType) -> Int {
        switch type {
        case .NS, .CNAME, .PTR, .MX: 1
        case .SOA: 2
        default: 0
        }
    }

    private static func bytesBeforeNames(_ type: RecordType) -> Int { type == .MX ? 2 : 0 }
}

/// The records of a name and a type.
struct RecordSet: Sendable {
    let type: RecordType
    let ttl: UInt32
    var records: [CompactRecord]
    /// What CNAME leads to; the servers of NS.
    var targets: [DNSName] = []
}
