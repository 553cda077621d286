extension RecordType {
    /// Whether records of the type lead to another name in place of their own.
    var isAlias: Bool { self == .CNAME || self == .DNAME }

    /// Whether records of the type name hosts, whose addresses go with them in the additional section.
    var namesHosts: Bool { targetOffset != nil && !isAlias }

    /// The offset in the data of the name that a record leads to; nil for types that lead to none.
    var targetOffset: Int? {
        switch self {
        case .NS, .CNAME, .DNAME: 0
        case .MX, .SVCB, .HTTPS: 2
        case .SRV: 6
        default: nil
        }
    }

    /// Whether every receiver knows the type, so that names may be compressed in its data, and others may point to them
    /// (RFC 3597, section 4).
    var hasCompressedTarget: Bool { self == .NS || self == .MX }

    var isAddress: Bool { self == .A || self == .AAAA }
}

extension ResourceRecord {
    /// The name that the record leads to; nil for types that lead to none, and for malformed data.
    var target: DNSName? {
        guard let start = type.targetOffset, start <= data.count else { return nil }
        return DNSName(atStartOf: data[start...])
    }
}
