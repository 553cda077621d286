/// Finds the binding that decides about a packet, among many: the reference matcher's, or an equal one.
struct BindingFinder: Sendable {
    private let records: PolicyRecords
    /// The lengths of prefixes that occur, longest first: those of IPv4, those of IPv6.
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
            // Of one prefix the records are in descending precedence.
            for record in records.records[records.records.firstIndex(sorted: first)...] {
                guard record.hasPrefix(of: first) else { break }
                let binding = records.binding(record)
                if binding.matches(packet) { return binding }
            }
        }
        return nil
    }
}
