extension StoredPolicy {
    /// Decodes the output of `encoded()`. Ignores bytes beyond the encoded length, because it is pinned in whole
    /// chunks.
    ///
    /// - Throws: `newerLayout`; `damagedState` for anything that `encoded()` does not write.
    init(decoding bytes: [UInt8]) throws(SteeringError) {
        var words = Bytes.words(of: bytes)
        guard words.count >= Self.headerWords(1), words[0] >> 32 == Self.magic else {
            throw .damaged("the policy: its header is invalid")
        }
        let version = UInt32(truncatingIfNeeded: words[0])
        guard version <= Self.version else { throw .newerLayout(Int(version), "the policy") }
        guard version >= 1 else { throw .damaged("the policy: version \(version) does not exist") }
        let headerWords = Self.headerWords(version)

        guard words[1] % 8 == 0, words[1] / 8 <= words.count else { throw .damaged("the policy: its end is missing") }
        words.removeLast(words.count - Int(words[1] / 8))
        guard words.count >= headerWords, Self.checksum(of: words) == words[2] else {
            throw .damaged("the policy: its checksum differs")
        }
        let places = try Places(words, version)
        generation = words[3]
        namespaceCookie = words[4]
        let labels = try Labels(words[places.labels], bound: places.boundCount)
        let portSets = try Self.portSets(words[places.ranges])
        let conditions = try Self.conditions(words[places.conditions])
        var reader = RecordReader(
            version: version, portCounts: portSets.map(\.count), conditions: conditions, labels: places.boundCount,
            numbers: words[places.conditionNumbers])
        try reader.read(narrow: words[places.narrow], wide: words[places.wide])
        let kept = PolicyRecords(
            sorted: reader.records, portSets: portSets, labels: labels.bound, conditions: conditions)
        guard !kept.portSets.uses.contains(0), !kept.labels.uses.contains(0), !kept.conditions.uses.contains(0) else {
            throw .damaged("the policy: it has entries that no binding uses")
        }
        policy = Policy(kept, options: labels.options)
        numbers = labels.numbers
        interfaceIndices = try Self.interfaceIndices(words[places.conditions], conditions)
    }

    /// The word ranges of the parts.
    private struct Places {
        let boundCount: Int
        let labels, ranges, narrow, wide, conditions, conditionNumbers: Range<Int>

        init(_ words: [UInt64], _ version: UInt32) throws(SteeringError) {
            // Limit each count to the number of words, so that the sums cannot overflow.
            var counts = words[5..<headerWords(version)].map { Int(clamping: $0) }
            guard counts.allSatisfy({ $0 <= words.count }) else {
                throw .damaged("the policy: its parts are longer than the whole")
            }
            if version == 1 { counts.insert(0, at: 3) }
            if version < 3 { counts += [0, 0] }
            boundCount = counts[1]
            var end = headerWords(version)
            func part(_ count: Int, _ words: Int = 1) -> Range<Int> {
                defer { end += count * words }
                return end..<end + count * words
            }
            labels = part(counts[0], labelWords)
            ranges = part(counts[2])
            narrow = part(counts[3], ipv4Words)
            wide = part(counts[4], ipv6Words)
            conditions = part(counts[5], conditionWords)
            conditionNumbers = part(counts[6])
            guard words.count == end, boundCount <= counts[0] else {
                throw .damaged("the policy: its parts do not add up")
            }
        }
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
                // The labels that bindings name and the others are each sorted.
                if labels.count != count, let last = labels.last, last >= label {
                    throw .damaged("the policy: its labels are not in order")
                }
                guard numbers[label] == nil, words[start] >> 33 == 0 else {
                    throw .damaged("the policy: label \(label) is invalid")
                }
                numbers[label] = UInt32(truncatingIfNeeded: words[start])
                if words[start] >> 32 == 1 { options[label] = LabelOptions(withoutSocket: .pass) }
                labels.append(label)
            }
            guard let numbers = LabelNumbers(numbers) else {
                throw .damaged("the policy: its labels' numbers are invalid")
            }
            self.numbers = numbers
            bound = Array(labels[..<count])
        }

        private static func label(_ words: ArraySlice<UInt64>) throws(SteeringError) -> Label {
            let bytes = words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) } }
            let length = Int(bytes[0])
            guard length < bytes.count, bytes[(1 + length)...].allSatisfy({ $0 == 0 }),
                let label = try? Label(String(decoding: bytes[1..<(1 + length)], as: UTF8.self))
            else { throw .damaged("the policy: a label's name is invalid") }
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

    private static func conditions(_ words: ArraySlice<UInt64>) throws(SteeringError) -> [Condition] {
        var conditions: [Condition] = []
        for start in stride(from: words.startIndex, to: words.endIndex, by: conditionWords) {
            let words = words[start..<start + conditionWords]
            let index = UInt32(truncatingIfNeeded: words[start + 2] >> 32)
            guard let condition = condition(words), Self.words(of: condition, index: index) == Array(words),
                !condition.isNone, index == 0 || condition.interface != nil
            else {
                throw .damaged("the policy: a source or an interface is invalid")
            }
            if let last = conditions.last, last >= condition {
                throw .damaged("the policy: its sources and interfaces are not in order")
            }
            conditions.append(condition)
        }
        return conditions
    }

    /// Returns the index of each interface, which must be the same in all of its conditions. Leaves out unknown
    /// indices.
    private static func interfaceIndices(
        _ words: ArraySlice<UInt64>, _ conditions: [Condition]
    ) throws(SteeringError) -> [InterfaceName: UInt32] {
        var indices: [InterfaceName: UInt32] = [:]
        for (number, condition) in conditions.enumerated() {
            guard let interface = condition.interface else { continue }
            let index = UInt32(words[words.startIndex + number * conditionWords + 2] >> 32)
            guard indices[interface, default: index] == index else {
                throw .damaged("the policy: an interface has two numbers")
            }
            indices[interface] = index
        }
        return indices.filter { $0.value != 0 }
    }

    /// Decodes a condition without checking unused bits: the caller compares the result's `words(of:)` with the input.
    private static func condition(_ words: ArraySlice<UInt64>) -> Condition? {
        let at = words.startIndex
        var source: IPPrefix?
        let shape = UInt32(truncatingIfNeeded: words[at + 2])
        if shape != 0 {
            let bits = UInt128(words[at]) << 64 | UInt128(words[at + 1])
            let isIPv6 = shape >> 8 != 0
            let address = isIPv6 ? IPAddress(ipv6: bits) : IPAddress(ipv4: UInt32(bits >> 96))
            let length = Int(shape & 0xff)
            guard length <= address.family.bitWidth else { return nil }
            source = IPPrefix(masking: address, length: length)
        }
        var interface: InterfaceName?
        if words[at + 3] != 0 {
            let bytes = (0..<16).map { UInt8(truncatingIfNeeded: words[at + 3 + $0 / 8] >> UInt64($0 % 8 * 8)) }
            let name = bytes.prefix { $0 != 0 }
            guard let valid = try? InterfaceName(String(decoding: name, as: UTF8.self)) else { return nil }
            interface = valid
        }
        return Condition(source: source, interface: interface)
    }

    private struct RecordReader {
        let version: UInt32
        let portCounts: [Int]
        let conditions: [Condition]
        let labels: Int
        var numbers: ArraySlice<UInt64>
        var records: [PolicyRecord] = []

        init(
            version: UInt32, portCounts: [Int], conditions: [Condition], labels: Int, numbers: ArraySlice<UInt64>
        ) {
            self.version = version
            self.portCounts = portCounts
            self.conditions = conditions
            self.labels = labels
            self.numbers = numbers
        }

        mutating func read(narrow: ArraySlice<UInt64>, wide: ArraySlice<UInt64>) throws(SteeringError) {
            // With some room to spare: otherwise the first binding that is added copies them all.
            records.reserveCapacity(narrow.count / ipv4Words + wide.count / ipv6Words + 64)
            for at in stride(from: narrow.startIndex, to: narrow.endIndex, by: ipv4Words) {
                try append(UInt128(narrow[at]) << 96, narrow[at + 1], narrow[at] >> 32, .ipv4)
            }
            for at in stride(from: wide.startIndex, to: wide.endIndex, by: ipv6Words) {
                let key = UInt128(wide[at]) << 64 | UInt128(wide[at + 1])
                try append(key, wide[at + 2], wide[at + 3], version == 1 ? nil : .ipv6)
            }
            guard numbers.isEmpty else { throw .damaged("the policy: a condition belongs to no binding") }
        }

        private mutating func append(
            _ key: UInt128, _ match: UInt64, _ outcome: UInt64, _ family: IPFamily?
        ) throws(SteeringError) {
            guard let record = record(key, match, outcome), outcome >> 32 == 0,
                record.family == family ?? record.family,
                record.isValid(portCounts: portCounts, conditions: conditions, labels: labels)
            else { throw .damaged("the policy: a binding is invalid") }
            if let last = records.last, !(last < record) { throw .damaged("the policy: its bindings are not in order") }
            records.append(record)
        }

        private mutating func record(_ key: UInt128, _ match: UInt64, _ outcome: UInt64) -> PolicyRecord? {
            let outcome = UInt32(truncatingIfNeeded: outcome)
            guard version > 2 else { return PolicyRecord(key: key, formerMatch: match, outcome: outcome) }
            let record = PolicyRecord(key: key, match: match, outcome: outcome)
            guard record.isConditional else { return record }
            guard let number = numbers.popFirst(), number < conditions.count else { return nil }
            return PolicyRecord(key: key, match: match, outcome: outcome, condition: UInt32(number))
        }
    }
}
