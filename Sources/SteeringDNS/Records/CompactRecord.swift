/// Record data prepared for messages: names in it that end with the zone's origin are cut off there and continue with a
/// compression pointer (RFC 1035, section 4.1.4), since every question about the zone contains the origin.
struct CompactRecord: Sendable {
    let type: RecordType
    /// The data, with two bytes left for a pointer at each offset in ``origins``.
    let data: [UInt8]
    let origins: [Int]

    /// The size in bytes of type, class, TTL, length and data, without the owner.
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
            // The root is shorter than a pointer.
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

    /// The number of names that may be compressed: only in types that every receiver can decompress (RFC 3597, section
    /// 4).
    private static func nameCount(_ type: RecordType) -> Int {
        switch type {
        case .NS, .CNAME, .PTR, .MX: 1
        case .SOA: 2
        default: 0
        }
    }

    private static func bytesBeforeNames(_ type: RecordType) -> Int { type == .MX ? 2 : 0 }

    /// Returns the name that the record leads to, in the zone that its data was prepared for.
    func target(in origin: DNSName) -> DNSName? {
        guard let start = type.targetOffset, start <= data.count else { return nil }
        guard let end = origins.first else { return DNSName(atStartOf: data[start...]) }
        return DNSName(unchecked: data[start..<end] + origin.wire)
    }
}

/// The records of one name and type.
struct RecordSet: Sendable {
    let type: RecordType
    let ttl: UInt32
    var records: [CompactRecord]
    /// The target of a CNAME or DNAME record.
    var alias: DNSName?
    /// The hosts that the records name and whose addresses the server has, each once, in the order of the records.
    var hosts: [Host] = []

    struct Host: Sendable {
        /// The index of the record that names it.
        let record: Int
        /// The node with its addresses.
        let node: Int
        let name: Name

        /// How the message can refer to the name.
        enum Name: Sendable {
            /// It is the owner of the record.
            case owner
            /// It is in the record's data.
            case inData
            /// It is written again: this many bytes of it, and the name of the zone.
            case inZone(Int)
            /// It is written again as a whole.
            case elsewhere
        }
    }
}
