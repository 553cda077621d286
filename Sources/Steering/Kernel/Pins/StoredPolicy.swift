import CSteering

/// What is pinned beside the compiled tables: the next process reads the policy from it, and changes it.
///
/// Little-endian words of 64 bits:
///
///     header     magic and version, length in bytes, checksum of all that follows, generation, the
///                namespace's cookie, numbers of labels, labels that bindings name, ranges, IPv4 and IPv6
///                records, conditions, conditional records
///     labels     9 words each: number and options, then the name's length and bytes. Those that bindings
///                name come first, as `PolicyRecords` numbers them; then the others
///     ranges     of ports: lower, upper, and whether it is a port set's last
///     records    as in `PolicyRecord`. IPv4: outcome and 32 bits of the key in one word, match; IPv6: both
///                halves of the key, match, outcome
///     conditions 5 words each: the source's bits, the first one on top, in two; its length (0: any source), in
///                bit 8 whether its family is IPv6, and in bits 32-63 the number that the interface had; in two the
///                interface's name, the first byte lowest (0: any interface)
///     numbers    of conditions, for each record whose match says that it has one, in their order
///
/// Older layouts are still read. Layout 2 had no conditions, nor their two numbers in the header, and a match of
/// other shape. Layout 1 had, besides, one number of records, and all of them as IPv6 has them.
struct StoredPolicy: Equatable, Sendable {
    /// The layout that is written.
    static let version = UInt32(STEERING_ABI_VERSION)

    var generation: UInt64
    var namespaceCookie: UInt64
    var policy: Policy
    /// Has every label of the policy.
    var numbers: LabelNumbers
    /// Of the interfaces that bindings name, when the tables were compiled.
    var interfaceIndices: [InterfaceName: UInt32]

    static let magic: UInt64 = 0x5354_4552  // "STER"
    static let labelWords = 9, ipv4Words = 2, ipv6Words = 4, conditionWords = 5

    /// Words of the header, by layout.
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

    /// The bytes to store.
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

    /// Of the generation and all that follows it. Tells damage, not malice: only the owner can write here.
    static func checksum(of words: [UInt64]) -> UInt64 {
        var hash: UInt64 = 0
        for index in 3..<words.count { hash = hash.mixed(with: words[index]) }
        return hash
    }
}
