/// A binding packed into integers; port set, label and condition are numbers in the tables of ``PolicyRecords``.
///
/// The tables are sorted, so comparing records as integers gives the order of bindings: by prefix, then by descending
/// precedence. The fields of `match` are in the order that ``Precedence`` defines.
struct PolicyRecord: Hashable, Comparable, Sendable {
    /// The prefix's bits in the most significant positions, for either family.
    let key: UInt128
    /// Everything that the binding matches, except the prefix's bits.
    ///
    /// From the most significant bit: family (1 bit), prefix length (8), 128 minus the source's length (8), 1 for any
    /// interface (1), number of ports minus one (16), protocols (2), port set (28). No bit is unused.
    let match: UInt64
    /// A label's number, `refuse` or `pass`.
    let outcome: UInt32
    /// A condition's number, or `unconditional`.
    let condition: UInt32

    static let refuse = UInt32.max - 1
    static let pass = UInt32.max
    static let unconditional = UInt32.max

    /// The number of distinct port sets that fit into `match`; as many records would take 8 GiB.
    static let maximumPortSets = 1 << 28

    private static let familyShift: UInt64 = 63
    private static let lengthShift: UInt64 = 55
    private static let sourceShift: UInt64 = 47
    private static let interfaceShift: UInt64 = 46
    private static let countShift: UInt64 = 30
    private static let protocolsShift: UInt64 = 28
    private static let portSetMask = UInt64(maximumPortSets - 1)
    /// The bits for source and interface, and their value in records without a condition.
    private static let conditionMask: UInt64 = 0x1ff << interfaceShift
    private static let anySource: UInt64 = 128 << sourceShift | 1 << interfaceShift

    init(key: UInt128, match: UInt64, outcome: UInt32, condition: UInt32 = unconditional) {
        self.key = key
        self.match = match
        self.outcome = outcome
        self.condition = condition
    }

    init(
        _ protocols: ProtocolMatch, _ prefix: IPPrefix, portSet: UInt32, portCount: Int, outcome: UInt32,
        _ condition: (number: UInt32, value: Condition)?
    ) {
        key = prefix.address.leadingBits
        let familyAndLength =
            (prefix.family == .ipv6 ? 1 << Self.familyShift : 0) | UInt64(prefix.length) << Self.lengthShift
        match =
            familyAndLength | (condition.map { Self.bits(of: $0.value) } ?? Self.anySource) | UInt64(portCount - 1)
            << Self.countShift
            | protocols.number << Self.protocolsShift | UInt64(portSet)
        self.outcome = outcome
        self.condition = condition?.number ?? Self.unconditional
    }

    /// Creates a lower bound for searches, which is no binding and sorts before all bindings of a prefix.
    init(before prefix: IPPrefix) {
        key = prefix.address.leadingBits
        match = (prefix.family == .ipv6 ? 1 << Self.familyShift : 0) | UInt64(prefix.length) << Self.lengthShift
        (outcome, condition) = (0, 0)
    }

    /// Converts a record of the stored layouts 1 and 2, which had no conditions; nil if it is invalid.
    ///
    /// Its match had, from the most significant bit: family (1 bit), unused (5), prefix length (8), number of ports
    /// minus one (16), protocols (2), port set (32).
    init?(key: UInt128, formerMatch: UInt64, outcome: UInt32) {
        let portSet = formerMatch & 0xffff_ffff
        guard formerMatch & (0x1f << 58) == 0, portSet <= Self.portSetMask else { return nil }
        let familyAndLength = (formerMatch & (1 << 63)) | (formerMatch >> 50 & 0xff) << Self.lengthShift
        let countAndProtocols = (formerMatch >> 32 & 0x3ffff) << Self.protocolsShift
        self.init(key: key, match: familyAndLength | Self.anySource | countAndProtocols | portSet, outcome: outcome)
    }

    /// The same binding, with numbers from other tables.
    func renumbered(portSet: UInt32, outcome: UInt32, condition: UInt32) -> PolicyRecord {
        PolicyRecord(
            key: key, match: match & ~Self.portSetMask | UInt64(portSet), outcome: outcome, condition: condition)
    }

    var family: IPFamily { match >> Self.familyShift == 0 ? .ipv4 : .ipv6 }
    var length: Int { Int(match >> Self.lengthShift & 0xff) }
    var portCount: Int { Int(match >> Self.countShift & 0xffff) + 1 }
    var portSet: Int { Int(match & Self.portSetMask) }
    var label: Int? { outcome < Self.refuse ? Int(outcome) : nil }
    var protocols: ProtocolMatch { ProtocolMatch.allCases[Int(match >> Self.protocolsShift & 3)] }
    /// Whether the binding requires a source or an interface.
    var isConditional: Bool { match & Self.conditionMask != Self.anySource }

    var prefix: IPPrefix {
        let address = family == .ipv4 ? IPAddress(ipv4: UInt32(key >> 96)) : IPAddress(ipv6: key)
        return IPPrefix(masking: address, length: length)
    }

    /// The match without family and prefix length.
    var matchWithoutPrefix: UInt64 { match & (1 << Self.lengthShift - 1) }

    /// Orders bindings of one prefix by precedence: smaller for greater precedence, equal for equal.
    var rank: UInt64 { (match >> Self.countShift) << 1 | match >> (Self.protocolsShift + 1) & 1 }

    /// Whether this is a valid record for tables with these port sets and conditions and this many labels.
    func isValid(portCounts: [Int], conditions: [Condition], labels: Int) -> Bool {
        match >> Self.protocolsShift & 3 < 3 && length <= family.bitWidth
            && (length == 128 || key << UInt128(length) == 0)
            && portSet < portCounts.count && portCounts[portSet] == portCount && (label ?? -1) < labels
            && (isConditional ? hasCondition(among: conditions) : condition == Self.unconditional)
    }

    /// Whether the source and interface bits of the match agree with the condition.
    private func hasCondition(among conditions: [Condition]) -> Bool {
        guard condition < conditions.count else { return false }
        let value = conditions[Int(condition)]
        return match & Self.conditionMask == Self.bits(of: value) && (value.source?.family ?? family) == family
    }

    /// The source and interface bits of a condition: smaller for greater precedence.
    private static func bits(of condition: Condition) -> UInt64 {
        UInt64(128 - condition.sourceLength) << sourceShift | (condition.interface == nil ? 1 << interfaceShift : 0)
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
        if left.match != right.match { return left.match < right.match }
        return left.condition == right.condition ? left.outcome < right.outcome : left.condition < right.condition
    }
}

extension ProtocolMatch {
    /// The case's index in `allCases`, which is in ascending order.
    fileprivate var number: UInt64 {
        switch self {
        case .tcp: 0
        case .udp: 1
        case .both: 2
        }
    }
}
