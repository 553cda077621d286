import CSteering

/// The policy as it is pinned beside the compiled tables, for the next process to read and change.
///
/// Little-endian words of 64 bits:
///
///     header     magic and version, length in bytes, checksum of the following words, generation, namespace
///                cookie, number of labels, number of labels that bindings name, and numbers of port ranges, IPv4
///                records, IPv6 records, conditions and conditional records
///     labels     9 words each: number and options, then the length and bytes of the name. First the labels that
///                bindings name, numbered as in `PolicyRecords`, then the others
///     ranges     of ports: lower, upper, and a flag on the last range of a port set
///     records    as in `PolicyRecord`. IPv4: outcome and 32 bits of the key in one word, match; IPv6: both
///                halves of the key, match, outcome
///     conditions 5 words each: two for the bits of the source, most significant first; one for its length (0: any
///                source), with bit 8 set for IPv6 and the interface's index in bits 32-63; two for the interface's
///                name, first byte lowest (0: any interface)
///     numbers    of conditions, one for each record that has a condition, in the order of records
///
/// Older layouts can still be read. Layout 2 has neither conditions nor their two counts in the header, and another
/// form of match. Layout 1 also has a single count of records, all in the form of IPv6 records.
struct StoredPolicy: Equatable, Sendable {
    /// The layout that this version writes.
    static let version = UInt32(STEERING_ABI_VERSION)

    var generation: UInt64
    var namespaceCookie: UInt64
    var policy: Policy
    /// Contains every label of the policy.
    var numbers: LabelNumbers
    /// The indices, at compile time, of the interfaces that bindings name.
    var interfaceIndices: [InterfaceName: UInt32]

    static let magic: UInt64 = 0x5354_4552  // "STER"
    static let labelWords = 9, ipv4Words = 2, ipv6Words = 4, conditionWords = 5

    /// Returns the number of header words of a layout.
    static func headerWords(_ version: UInt32) -> Int { version == 1 ? 9 : version == 2 ? 10 : 12 }

    init(
        generation: UInt64, namespaceCookie: UInt64, policy: Policy, numbers: LabelNumbers,
        interfaceIndices: [InterfaceName: UInt32] = [:]
    ) {
        self.generation = generation
        self.namespaceCookie = namespaceCookie
        self.policy = policy
        self.numbers = numbers
        self.interfaceIndices = interfaceIndices
    }

    // MARK: - Writing

    /// Returns the bytes to store.
    func encoded() -> [UInt8] {
        let bound = policy.records.labels.values
        let labels = bound + Set(numbers.labels).subtracting(bound).sorted()
        let rangeCount = policy.records.portSets.values.reduce(0) { $0 + $1.ranges.count }
        let records = policy.records.records
        let firstIPv6 = records.partitioningIndex { $0.family == .ipv6 }
        let conditions = policy.records.conditions
        let conditionalCount = conditions.uses.reduce(0, +)
        var words: [UInt64] = []
        words.reserveCapacity(
            Self.headerWords(Self.version) + labels.count * Self.labelWords + rangeCount
                + firstIPv6 * Self.ipv4Words + (records.count - firstIPv6) * Self.ipv6Words
                + conditions.count * Self.conditionWords + conditionalCount)
        words += [
            Self.magic << 32 | UInt64(Self.version), 0, 0, generation, namespaceCookie,
            UInt64(labels.count), UInt64(bound.count), UInt64(rangeCount), UInt64(firstIPv6),
            UInt64(records.count - firstIPv6), UInt64(conditions.count), UInt64(conditionalCount),
        ]
        for label in labels { words += self.words(of: label) }
        for ports in policy.records.portSets.values {
            for (index, range) in ports.ranges.enumerated() {
                let isLast: UInt64 = index == ports.ranges.count - 1 ? 1 : 0
                words.append(UInt64(range.lower) | UInt64(range.upper) << 16 | isLast << 32)
            }
        }
        for record in records[..<firstIPv6] {
            words.append(UInt64(record.outcome) << 32 | UInt64(truncatingIfNeeded: record.key >> 96))
            words.append(record.match)
        }
        for record in records[firstIPv6...] {
            words.append(UInt64(truncatingIfNeeded: record.key >> 64))
            words.append(UInt64(truncatingIfNeeded: record.key))
            words.append(record.match)
            words.append(UInt64(record.outcome))
        }
        for condition in conditions.values {
            words += Self.words(of: condition, index: condition.interface.flatMap { interfaceIndices[$0] } ?? 0)
        }
        if conditionalCount > 0 {
            for record in records where record.isConditional { words.append(UInt64(record.condition)) }
        }
        words[1] = UInt64(words.count * 8)
        words[2] = Self.checksum(of: words)
        return Bytes.bytes(of: words)
    }

    private func words(of label: Label) -> [UInt64] {
        let passes: UInt64 = policy[label].withoutSocket == .pass ? 1 : 0
        var words = [UInt64](repeating: 0, count: Self.labelWords)
        words[0] = UInt64(numbers[label]!) | passes << 32
        let bytes = [UInt8(label.name.utf8.count)] + Array(label.name.utf8)
        for (index, byte) in bytes.enumerated() {
            words[1 + index / 8] |= UInt64(byte) << UInt64(index % 8 * 8)
        }
        return words
    }

    static func words(of condition: Condition, index: UInt32) -> [UInt64] {
        var words = [UInt64](repeating: 0, count: conditionWords)
        if let source = condition.source {
            let bits = source.address.leadingBits
            words[0] = UInt64(truncatingIfNeeded: bits >> 64)
            words[1] = UInt64(truncatingIfNeeded: bits)
            words[2] = UInt64(source.length) | (source.family == .ipv6 ? 1 << 8 : 0)
        }
        words[2] |= UInt64(index) << 32
        for (place, byte) in (condition.interface?.name ?? "").utf8.enumerated() {
            words[3 + place / 8] |= UInt64(byte) << UInt64(place % 8 * 8)
        }
        return words
    }

    /// Returns a checksum of the generation and the following words. It detects damage, not tampering: only the owner
    /// can write to the pins.
    static func checksum(of words: [UInt64]) -> UInt64 {
        var hash: UInt64 = 0
        for index in 3..<words.count { hash = hash.mixed(with: words[index]) }
        return hash
    }
}
