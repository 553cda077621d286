import CSteering

/// What is pinned beside the compiled tables: the next process reads the policy from it, and changes it.
///
/// Little-endian words of 64 bits:
///
///     header     magic and version, length in bytes, checksum of all that follows, generation, the
///                namespace's cookie, numbers of labels, labels that bindings name, ranges, IPv4 and IPv6
///                records
///     labels     9 words each: number and options, then the name's length and bytes. Those that bindings
///                name come first, as `PolicyRecords` numbers them; then the others
///     ranges     of ports: lower, upper, and whether it is a port set's last
///     records    as in `PolicyRecord`. IPv4: outcome and 32 bits of the key in one word, match; IPv6: both
///                halves of the key, match, outcome
///
/// Layout 1 had one number of records, and all of them as IPv6 has them; it is still read.
struct StoredPolicy: Equatable, Sendable {
    /// The layout that is written.
    static let version = UInt32(STEERING_ABI_VERSION)

    var generation: UInt64
    var namespaceCookie: UInt64
    var policy: Policy
    /// Has every label of the policy.
    var numbers: LabelNumbers

    private static let magic: UInt64 = 0x5354_4552  // "STER"
    private static let headerWords = 10, labelWords = 9, ipv4Words = 2, ipv6Words = 4

    init(generation: UInt64, namespaceCookie: UInt64, policy: Policy, numbers: LabelNumbers) {
        self.generation = generation
        self.namespaceCookie = namespaceCookie
        self.policy = policy
        self.numbers = numbers
    }

    // MARK: - Writing

    /// The bytes to store.
    func encoded() -> [UInt8] {
        let bound = policy.records.labels.values
        let labels = bound + Set(numbers.labels).subtracting(bound).sorted()
        let rangeCount = policy.records.portSets.values.reduce(0) { $0 + $1.ranges.count }
        let records = policy.records.records
        let firstIPv6 = records.partitioningIndex { $0.family == .ipv6 }
        var words: [UInt64] = []
        words.reserveCapacity(
            Self.headerWords + labels.count * Self.labelWords + rangeCount + firstIPv6 * Self.ipv4Words
                + (records.count - firstIPv6) * Self.ipv6Words)
        words += [
            Self.magic << 32 | UInt64(Self.version), 0, 0, generation, namespaceCookie,
            UInt64(labels.count), UInt64(bound.count), UInt64(rangeCount), UInt64(firstIPv6),
            UInt64(records.count - firstIPv6),
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

    /// Of the generation and all that follows it. Tells damage, not malice: only the owner can write here.
    static func checksum(of words: [UInt64]) -> UInt64 {
        var hash: UInt64 = 0
        for index in 3..<words.count { hash = hash.mixed(with: words[index]) }
        return hash
    }

    // MARK: - Reading

    /// Reads what `encoded()` wrote. What follows the length that it names is left out: maps are whole pages.
    ///
    /// - Throws: `newerLayout`; `damagedState` for all that `encoded()` does not write.
    init(decoding bytes: [UInt8]) throws(SteeringError) {
        var words = Bytes.words(of: bytes)
        guard words.count >= Self.headerWords - 1, words[0] >> 32 == Self.magic else {
            throw .damaged("the policy: it does not begin like one")
        }
        let version = UInt32(truncatingIfNeeded: words[0])
        guard version <= Self.version else { throw .newerLayout(Int(version), "the policy") }
        guard version >= 1 else { throw .damaged("the policy: version \(version) never was") }
        let isFirst = version == 1

        guard words[1] % 8 == 0, words[1] / 8 <= words.count else { throw .damaged("the policy: its end is missing") }
        words.removeLast(words.count - Int(words[1] / 8))
        guard words.count >= Self.headerWords - (isFirst ? 1 : 0), Self.checksum(of: words) == words[2] else {
            throw .damaged("the policy: its checksum differs")
        }
        // None exceeds the number of words, so that sums stay small.
        let counts = words[5..<Self.headerWords - (isFirst ? 1 : 0)].map { Int(clamping: $0) }
        guard counts.allSatisfy({ $0 <= words.count }) else {
            throw .damaged("the policy: its parts are longer than the whole")
        }
        let (labelCount, boundCount, rangeCount) = (counts[0], counts[1], counts[2])
        let labelsAt = 5 + counts.count
        let rangesAt = labelsAt + labelCount * Self.labelWords
        let recordsAt = rangesAt + rangeCount
        let wideAt = isFirst ? recordsAt : recordsAt + counts[3] * Self.ipv4Words
        guard words.count == wideAt + counts.last! * Self.ipv6Words, boundCount <= labelCount else {
            throw .damaged("the policy: its parts do not add up")
        }

        generation = words[3]
        namespaceCookie = words[4]
        let labels = try Labels(words[labelsAt..<rangesAt], bound: boundCount)
        let portSets = try Self.portSets(words[rangesAt..<recordsAt])
        let records = try Self.records(
            words[recordsAt..<wideAt], words[wideAt...], isFirst: isFirst, portCounts: portSets.map(\.count),
            labels: boundCount)
        let kept = PolicyRecords(sorted: records, portSets: portSets, labels: labels.bound)
        guard !kept.portSets.uses.contains(0), !kept.labels.uses.contains(0) else {
            throw .damaged("the policy: it keeps what no binding names")
        }
        policy = Policy(kept, options: labels.options)
        numbers = labels.numbers
    }

    private struct Labels {
        var bound: [Label] = []
        var options: [Label: LabelOptions] = [:]
        var numbers: LabelNumbers

        init(_ words: ArraySlice<UInt64>, bound count: Int) throws(SteeringError) {
            var labels: [Label] = []
            var numbers: [Label: UInt32] = [:]
            for start in stride(from: words.startIndex, to: words.endIndex, by: labelWords) {
                let label = try Self.label(words[(start + 1)..<(start + labelWords)])
                // Both parts are sorted.
                if labels.count != count, let last = labels.last, last >= label {
                    throw .damaged("the policy: its labels are not in order")
                }
                guard numbers[label] == nil, words[start] >> 33 == 0 else {
                    throw .damaged("the policy: label \(label) is not one")
                }
                numbers[label] = UInt32(truncatingIfNeeded: words[start])
                if words[start] >> 32 == 1 { options[label] = LabelOptions(withoutSocket: .pass) }
                labels.append(label)
            }
            guard let numbers = LabelNumbers(numbers) else {
                throw .damaged("the policy: its labels' numbers are not theirs")
            }
            self.numbers = numbers
            bound = Array(labels[..<count])
        }

        private static func label(_ words: ArraySlice<UInt64>) throws(SteeringError) -> Label {
            let bytes = words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) } }
            let length = Int(bytes[0])
            guard length < bytes.count, bytes[(1 + length)...].allSatisfy({ $0 == 0 }),
                let label = try? Label(String(decoding: bytes[1..<(1 + length)], as: UTF8.self))
            else { throw .damaged("the policy: a label's name is not one") }
            return label
        }
    }

    private static func portSets(_ words: ArraySlice<UInt64>) throws(SteeringError) -> [PortSet] {
        var sets: [PortSet] = []
        var ranges: [PortRange] = []
        for word in words {
            let lower = UInt16(truncatingIfNeeded: word), upper = UInt16(truncatingIfNeeded: word >> 16)
            guard lower <= upper, word >> 33 == 0, ranges.last.map({ Int($0.upper) + 1 < Int(lower) }) ?? true else {
                throw .damaged("the policy: a port range is out of order")
            }
            ranges.append(PortRange(lower...upper))
            if word >> 32 == 1 {
                let set = PortSet(ranges)
                if let last = sets.last, !PortSet.precedes(last, set) {
                    throw .damaged("the policy: its port sets are not in order")
                }
                sets.append(set)
                ranges.removeAll(keepingCapacity: true)
            }
        }
        guard ranges.isEmpty else { throw .damaged("the policy: a port set does not end") }
        return sets
    }

    private static func records(
        _ narrow: ArraySlice<UInt64>, _ wide: ArraySlice<UInt64>, isFirst: Bool, portCounts: [Int], labels: Int
    ) throws(SteeringError) -> [PolicyRecord] {
        var records: [PolicyRecord] = []
        // And some, or the first that is added copies them all.
        records.reserveCapacity(narrow.count / ipv4Words + wide.count / ipv6Words + 64)
        func append(_ key: UInt128, _ match: UInt64, _ outcome: UInt64, _ family: IPFamily?) throws(SteeringError) {
            let record = PolicyRecord(key: key, match: match, outcome: UInt32(truncatingIfNeeded: outcome))
            guard outcome >> 32 == 0, record.family == family ?? record.family,
                record.isValid(portCounts: portCounts, labels: labels)
            else { throw .damaged("the policy: a binding is not one") }
            if let last = records.last, !(last < record) { throw .damaged("the policy: its bindings are not in order") }
            records.append(record)
        }
        for at in stride(from: narrow.startIndex, to: narrow.endIndex, by: ipv4Words) {
            try append(UInt128(narrow[at]) << 96, narrow[at + 1], narrow[at] >> 32, .ipv4)
        }
        for at in stride(from: wide.startIndex, to: wide.endIndex, by: ipv6Words) {
            try append(
                UInt128(wide[at]) << 64 | UInt128(wide[at + 1]), wide[at + 2], wide[at + 3], isFirst ? nil : .ipv6)
        }
        return records
    }
}
