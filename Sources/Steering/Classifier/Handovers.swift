/// The traffic whose outcome differs between two policies.
///
/// For each prefix in either policy, compares the rows that both policies have for its addresses. Policies share most
/// rows, so each pair of rows is compared once.
struct Handovers {
    typealias Handover = PolicyDifference.Handover

    private(set) var list: [Handover] = []

    /// A change for the addresses of some prefix.
    private struct Change {
        var protocols: ProtocolMatch
        let ports: PortSet
        let condition: Condition
        let before: UInt32
        let after: UInt32

        /// Returns whether two changes differ in the protocol only.
        func isAlike(_ other: Change) -> Bool {
            before == other.before && after == other.after && ports == other.ports && condition == other.condition
        }
    }

    /// A prefix that contains the current one.
    private struct Container {
        let prefix: PortRows.NamedPrefix
        let before: UInt32
        let after: UInt32
        /// The indices of the prefix's handovers.
        let handovers: Range<Int>
        /// The number of the prefix's addresses in longer prefixes, modulo 2^128; `hasLonger` tells 0 from 2^128.
        var covered: UInt128 = 0
        var hasLonger = false

        var isCovered: Bool { hasLonger && covered == prefix.size }
    }

    /// - Throws: `conflictingBindings`.
    init(from former: PolicyRecords, to new: PolicyRecords) throws(SteeringError) {
        // Cells are outcomes here: 0 is none, 1 refuse, 2 pass, followed by the labels of both policies.
        let labels = new.labels.union(former.labels)
        func cell(_ outcome: UInt32, _ numbers: [UInt32]) -> UInt32 {
            switch outcome {
            case PolicyRecord.refuse: 1
            case PolicyRecord.pass: 2
            default: numbers[Int(outcome)] + 3
            }
        }
        func outcome(_ cell: UInt32) -> Outcome? {
            switch cell {
            case 0: nil
            case 1: .refuse
            case 2: .pass
            default: .label(labels.values[Int(cell) - 3])
            }
        }
        // Conditions and chains are numbered jointly, so that equal cells have equal numbers.
        let conditions = new.conditions.union(former.conditions)
        let before = try PortRows(
            former, Chains(conditions.values, keepsNeedless: true), condition: { conditions.others[Int($0)] },
            cell: { cell($0, labels.others) })
        let after = try PortRows(
            new, before.chainTable, condition: { conditions.own[Int($0)] }, cell: { cell($0, labels.own) })
        let chains = after.chainTable

        var changes: [UInt64: [Change]] = [:]
        var containers: [Container] = []
        var isCovered: [Bool] = []
        func leave(_ container: Container) {
            if container.isCovered {
                for handover in container.handovers { isCovered[handover] = true }
            }
        }

        var (old, own) = (before.prefixes[...], after.prefixes[...])
        while let prefix = PortRows.NamedPrefix.first(old.first, own.first) {
            while let last = containers.last, !last.prefix.contains(prefix) {
                leave(containers.removeLast())
            }
            var rows = containers.last.map { (before: $0.before, after: $0.after) } ?? (0, 0)
            if let first = old.first, first.isSamePrefix(as: prefix) {
                rows.before = first.row
                old.removeFirst()
            }
            if let first = own.first, first.isSamePrefix(as: prefix) {
                rows.after = first.row
                own.removeFirst()
            }
            let pair = UInt64(rows.before) << 32 | UInt64(rows.after)
            let found: [Change]
            if let known = changes[pair] {
                found = known
            } else {
                found = Self.changes(from: before.rows[Int(rows.before)], to: after.rows[Int(rows.after)], chains)
                changes[pair] = found
            }
            let start = list.count
            for change in found {
                list.append(
                    Handover(
                        protocols: change.protocols, prefix: prefix.prefix, ports: change.ports,
                        source: change.condition.source, interface: change.condition.interface,
                        before: outcome(change.before), after: outcome(change.after)))
                isCovered.append(false)
            }
            if !containers.isEmpty {
                containers[containers.count - 1].covered &+= prefix.size
                containers[containers.count - 1].hasLonger = true
            }
            containers.append(
                Container(prefix: prefix, before: rows.before, after: rows.after, handovers: start..<list.count))
        }
        while let last = containers.popLast() { leave(last) }
        if isCovered.contains(true) { list = list.indices.filter { !isCovered[$0] }.map { list[$0] } }
    }

    /// Returns the differences between two rows, joining ports and protocols that change alike.
    private static func changes(from former: PortRow, to new: PortRow, _ chains: Chains) -> [Change] {
        if former == new { return [] }
        let tcp = changes(.tcp, from: former, to: new, chains)
        let udp = changes(.udp, from: former, to: new, chains)
        let inBoth = tcp.filter { change in udp.contains { $0.isAlike(change) } }
        let onlyUDP = udp.filter { change in !inBoth.contains { $0.isAlike(change) } }
        return tcp.map { change in
            var change = change
            if inBoth.contains(where: { $0.isAlike(change) }) { change.protocols = .both }
            return change
        } + onlyUDP
    }

    private static func changes(
        _ transport: TransportProtocol, from former: PortRow, to new: PortRow, _ chains: Chains
    ) -> [Change] {
        let (old, own) = (former.spans(transport), new.spans(transport))
        var changes: [(before: UInt32, after: UInt32, ranges: [PortRange])] = []
        var (oldSpan, ownSpan) = (0, 0), start = 0
        while start < 65_536 {
            let oldEnd = PortRow.end(of: oldSpan, in: old), ownEnd = PortRow.end(of: ownSpan, in: own)
            let end = min(oldEnd, ownEnd)
            let (before, after) = (old[oldSpan].cell, own[ownSpan].cell)
            if before != after {
                let place = changes.firstIndex { $0.before == before && $0.after == after } ?? changes.count
                if place == changes.count { changes.append((before, after, [])) }
                changes[place].ranges.append(PortRange(UInt16(start)...UInt16(end - 1)))
            }
            if oldEnd == end { oldSpan += 1 }
            if ownEnd == end { ownSpan += 1 }
            start = end
        }
        let protocols: ProtocolMatch = transport == .tcp ? .tcp : .udp
        // Different pairs of chains may have the same difference.
        var joined: [ChainDifference: [PortRange]] = [:]
        var order: [ChainDifference] = []
        for change in changes {
            for difference in chains.differences(from: change.before, to: change.after) {
                if joined[difference] == nil { order.append(difference) }
                joined[difference, default: []] += change.ranges
            }
        }
        return order.map {
            Change(
                protocols: protocols, ports: PortSet(joined[$0]!), condition: $0.condition, before: $0.before,
                after: $0.after)
        }
    }
}

extension PortRows.NamedPrefix {
    fileprivate func isSamePrefix(as other: Self) -> Bool {
        key == other.key && length == other.length && family == other.family
    }

    /// The number of addresses modulo 2^128: 0 for all of IPv6.
    fileprivate var size: UInt128 { 1 << UInt128(family.bitWidth - Int(length)) }

    fileprivate var prefix: IPPrefix {
        let address = family == .ipv4 ? IPAddress(ipv4: UInt32(key >> 96)) : IPAddress(ipv6: key)
        return IPPrefix(masking: address, length: Int(length))
    }

    /// Returns the prefix that comes first in ascending order.
    fileprivate static func first(_ left: Self?, _ right: Self?) -> Self? {
        guard let left, let right else { return left ?? right }
        if left.family != right.family { return left.family < right.family ? left : right }
        if left.key != right.key { return left.key < right.key ? left : right }
        return left.length <= right.length ? left : right
    }
}
