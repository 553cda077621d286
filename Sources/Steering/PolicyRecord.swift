/// A binding as plain integers; its ports and its label are numbers in the tables of ``PolicyRecords``.
///
/// Those tables are sorted, so records sort as bindings do: by comparing integers.
struct PolicyRecord: Hashable, Comparable, Sendable {
    /// The prefix's bits, the first one on top, whatever the family.
    let key: UInt128
    /// From the top: family (1 bit), prefix length (8), number of ports less one (16), protocols (2), port
    /// set (32).
    let match: UInt64
    /// A label's number, or one of the two greatest.
    let outcome: UInt32

    static let refuse = UInt32.max - 1
    static let pass = UInt32.max

    private static let familyShift: UInt64 = 63
    private static let lengthShift: UInt64 = 50
    private static let countShift: UInt64 = 34
    private static let protocolsShift: UInt64 = 32

    init(key: UInt128, match: UInt64, outcome: UInt32) {
        self.key = key
        self.match = match
        self.outcome = outcome
    }

    init(_ protocols: ProtocolMatch, _ prefix: IPPrefix, portSet: UInt32, portCount: Int, outcome: UInt32) {
        key = prefix.address.bits << UInt128(128 - prefix.family.bitWidth)
        let familyAndLength =
            (prefix.family == .ipv6 ? 1 << Self.familyShift : 0) | UInt64(prefix.length) << Self.lengthShift
        match =
            familyAndLength | UInt64(portCount - 1) << Self.countShift | protocols.number << Self.protocolsShift
            | UInt64(portSet)
        self.outcome = outcome
    }

    /// The same with other numbers.
    func renumbered(portSet: UInt32, outcome: UInt32) -> PolicyRecord {
        PolicyRecord(key: key, match: match & ~0xffff_ffff | UInt64(portSet), outcome: outcome)
    }

    var family: IPFamily { match >> Self.familyShift == 0 ? .ipv4 : .ipv6 }
    var length: Int { Int(match >> Self.lengthShift & 0xff) }
    var portCount: Int { Int(match >> Self.countShift & 0xffff) + 1 }
    var portSet: Int { Int(UInt32(truncatingIfNeeded: match)) }
    var label: Int? { outcome < Self.refuse ? Int(outcome) : nil }
    var protocols: ProtocolMatch { ProtocolMatch.allCases[Int(match >> Self.protocolsShift & 3)] }

    var prefix: IPPrefix {
        let address = family == .ipv4 ? IPAddress(ipv4: UInt32(key >> 96)) : IPAddress(ipv6: key)
        return IPPrefix(masking: address, length: length)
    }

    /// All of the match but the prefix.
    var portsAndProtocols: UInt64 { match & (1 << Self.lengthShift - 1) }

    /// For bindings of one prefix: smaller for greater precedence, equal for equal.
    var rank: UInt64 { (match >> Self.countShift) << 1 | match >> (Self.protocolsShift + 1) & 1 }

    /// Whether it is a binding, with tables of these port sets and so many labels.
    func isValid(portCounts: [Int], labels: Int) -> Bool {
        let unused: UInt64 = 0x1f << 58
        return match & unused == 0 && match >> Self.protocolsShift & 3 < 3 && length <= family.bitWidth
            && (length == 128 || key << UInt128(length) == 0)
            && portSet < portCounts.count && portCounts[portSet] == portCount && (label ?? -1) < labels
    }

    func matches(_ transport: TransportProtocol) -> Bool {
        match >> Self.protocolsShift & 3 != (transport == .tcp ? 1 : 0)
    }

    func hasPrefix(of other: PolicyRecord) -> Bool {
        key == other.key && (match ^ other.match) >> Self.lengthShift == 0
    }

    static func < (left: PolicyRecord, right: PolicyRecord) -> Bool {
        if (left.match ^ right.match) >> familyShift != 0 { return left.match < right.match }
        if left.key != right.key { return left.key < right.key }
        return left.match == right.match ? left.outcome < right.outcome : left.match < right.match
    }
}

extension ProtocolMatch {
    /// Its place among all cases, and in natural order.
    fileprivate var number: UInt64 {
        switch self {
        case .tcp: 0
        case .udp: 1
        case .both: 2
        }
    }
}
