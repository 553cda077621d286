/// Finds the winning binding for a packet, faster than the reference matcher.
///
/// If several bindings of equal precedence and outcome match, it may return a different one.
struct BindingFinder: Sendable {
    private let records: PolicyRecords
    /// The prefix lengths that occur in each family, longest first.
    private let lengths: [IPFamily: [Int]]

    init(_ policy: Policy) {
        records = policy.records
        var found: [IPFamily: Set<Int>] = [:]
        for record in records.records { found[record.family, default: []].insert(record.length) }
        lengths = found.mapValues { $0.sorted(by: >) }
    }

    func winner(for packet: Packet) -> Binding? {
        let address = packet.destination.address
        for length in lengths[address.family] ?? [] {
            let first = PolicyRecord(before: IPPrefix(masking: address, length: length))
            // The records of one prefix are in descending precedence.
            for record in records.records[records.records.firstIndex(sorted: first)...] {
                guard record.hasPrefix(of: first) else { break }
                let binding = records.binding(record)
                if binding.matches(packet) { return binding }
            }
        }
        return nil
    }
}
