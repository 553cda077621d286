import AddressPools

/// Rules that match on the client, found by its address: a query is not compared with every rule.
///
/// The ends of all prefixes divide the addresses of a family into ranges. Each has the rules whose prefixes contain it,
/// in order.
struct ClientRules: Sendable {
    /// The rules of all ranges, one range after the other. The first `all` of them are all rules.
    private(set) var rules: [Int32]
    private let all: Int
    private var ranges: (ipv4: Ranges, ipv6: Ranges)

    private struct Ranges: Sendable {
        /// The first address of each range, ascending, and where its rules are.
        var starts: [UInt128] = []
        var places: [Range<Int32>] = []
    }

    /// The most entries that are made. Beyond it, each rule is looked at: so many prefixes contain each other.
    private static let limit = 1 << 22

    /// - Parameter rules: The numbers of the rules, ascending, and their clients.
    init(_ rules: [(number: Int, clients: PrefixPool)]) {
        self.rules = rules.map { Int32($0.number) }
        all = rules.count
        ranges = (Ranges(), Ranges())
        // A few are compared as fast as they are looked up.
        guard all > 8 else { return }
        ranges = (makeRanges(rules, .ipv4), makeRanges(rules, .ipv6))
        if self.rules.count > Self.limit {
            self.rules.removeSubrange(all...)
            ranges = (Ranges(), Ranges())
        }
    }

    var isEmpty: Bool { all == 0 }

    /// Returns the indices in `rules` of those that may match a client; all for nil.
    func candidates(for client: IPAddress?) -> Range<Int> {
        guard let client else { return 0..<all }
        let ranges = client.family == .ipv4 ? ranges.ipv4 : ranges.ipv6
        if ranges.starts.isEmpty { return 0..<all }
        // The last range that starts at or below the address. The first starts at 0.
        let place = ranges.places[ranges.starts.partitioningIndex { $0 > client.bits } - 1]
        return Int(place.lowerBound)..<Int(place.upperBound)
    }

    private mutating func makeRanges(_ all: [(number: Int, clients: PrefixPool)], _ family: IPFamily) -> Ranges {
        var events: [(address: UInt128, rule: Int32, begins: Bool)] = []
        for (number, clients) in all {
            for prefix in clients.prefixes where prefix.family == family {
                events.append((prefix.first.bits, Int32(number), true))
                let (end, isLast) = prefix.last.bits.addingReportingOverflow(1)
                if !isLast { events.append((end, Int32(number), false)) }
            }
        }
        events.sort { $0.address < $1.address }
        var ranges = Ranges(starts: [0], places: [0..<0])
        // A rule has one prefix at an address, since those of a pool are disjoint.
        var active: [Int32] = []
        var next = 0
        while next < events.count, rules.count <= Self.limit {
            let address = events[next].address
            // Ends before beginnings: adjacent prefixes of one rule meet here.
            for begins in [false, true] {
                for event in events[next...].prefix(while: { $0.address == address }) where event.begins == begins {
                    let place = active.partitioningIndex { $0 >= event.rule }
                    if begins { active.insert(event.rule, at: place) } else { active.remove(at: place) }
                }
            }
            while next < events.count, events[next].address == address { next += 1 }
            let begin = Int32(rules.count)
            rules += active
            if ranges.starts.last == address { ranges.starts.removeLast(); ranges.places.removeLast() }
            ranges.starts.append(address)
            ranges.places.append(begin..<Int32(rules.count))
        }
        return ranges
    }
}
