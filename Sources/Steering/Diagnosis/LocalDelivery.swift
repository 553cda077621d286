/// The kernel's treatment of packets to the addresses of a pool, computed from its rules and routes.
struct LocalDelivery: Sendable {
    /// The addresses by treatment: multicast or broadcast, on a link, via a gateway, without a route, delivered to this
    /// host.
    private(set) var broadcast = PrefixPool()
    private(set) var link = PrefixPool()
    private(set) var gateway = PrefixPool()
    private(set) var unreachable = PrefixPool()
    private(set) var local = PrefixPool()
    /// Link and gateway routes other than default routes: those that a local route could hide.
    private(set) var others: [IPPrefix] = []

    /// Adds the addresses of a pool of one family.
    mutating func add(_ pool: PrefixPool, rules: [RoutingRule], routes: [Route]) {
        let groups = PrefixPool(IPAddress.groups)
        var undecided = pool.subtracting(groups), ranges: [Route.Kind: [IPPrefix]] = [:]
        let named = Set(
            rules.compactMap { rule in if case .lookUp(let table) = rule.action { table } else { nil } })
        for rule in rules where !undecided.isEmpty {
            let asked = rule.destination.map { undecided.intersection(PrefixPool([$0])) } ?? undecided
            if asked.isEmpty { continue }
            let looked: [Route]
            switch rule.action {
            case .end:
                if rule.isConditional { continue }
                ranges[.none, default: []] += asked.prefixes
                undecided = undecided.subtracting(asked)
                continue
            case .lookUp(let table): looked = routes.filter { $0.table == table }
            // The tables of VRFs are those that no rule names.
            case .lookUpDomain: looked = routes.filter { !named.contains($0.table) && $0.kind == .local }
            }
            let found = RouteSegments(looked.filter { $0.prefix.length > rule.suppressed }).split(asked)
            if rule.isConditional {
                // A conditional rule counts only where it delivers: other packets to the same address do not match it.
                let local = PrefixPool(found[.local] ?? [])
                ranges[.local, default: []] += local.prefixes
                undecided = undecided.subtracting(local)
                continue
            }
            for (kind, prefixes) in found where kind != .throw {
                ranges[kind, default: []] += prefixes
                undecided = undecided.subtracting(PrefixPool(prefixes))
            }
        }
        func adding(_ kind: Route.Kind, to pool: PrefixPool) -> PrefixPool {
            ranges[kind].map { pool.union(PrefixPool($0)) } ?? pool
        }
        broadcast = adding(.broadcast, to: broadcast).union(pool.intersection(groups))
        broadcast = adding(.multicast, to: broadcast)
        (link, gateway, local) = (adding(.link, to: link), adding(.gateway, to: gateway), adding(.local, to: local))
        unreachable = adding(.none, to: unreachable).union(undecided)
        others += routes.filter { ($0.kind == .link || $0.kind == .gateway) && $0.prefix.length > 0 }.map(\.prefix)
    }

    /// Returns the addresses of a prefix that are not delivered; nil if all that can be are.
    func undelivered(in prefix: IPPrefix) -> PrefixPool? {
        if local.contains(prefix) { return nil }
        let missing = [link, gateway, unreachable].flatMap { $0.part(in: prefix) }
        if !missing.isEmpty { return PrefixPool(missing) }
        // Only multicast or broadcast addresses.
        return local.part(in: prefix).isEmpty ? PrefixPool([prefix]) : nil
    }

    /// Whether every address is delivered, multicast or broadcast.
    var isComplete: Bool { link.isEmpty && gateway.isEmpty && unreachable.isEmpty }

    /// Whether all addresses of a prefix are multicast or broadcast, for which no sk_lookup program runs.
    func isNeverAsked(about prefix: IPPrefix) -> Bool { broadcast.contains(prefix) }

    /// Whether all addresses of a pool are on a link, and none of this host's.
    func isOnLink(_ pool: PrefixPool) -> Bool { pool.prefixes.allSatisfy { link.contains($0) } }

}

/// A routing table as segments of the address space, each with the kind of its longest matching prefix.
private struct RouteSegments {
    private struct Segment {
        let start: UInt128
        /// Nil if the table has no route.
        let kind: Route.Kind?
    }
    private var segments: [Segment] = [Segment(start: 0, kind: nil)]

    /// Builds segments from the routes of one family.
    init(_ routes: [Route]) {
        let routes = routes.sorted { ($0.prefix, $0.metric) < ($1.prefix, $1.metric) }
        var open: [(last: UInt128, kind: Route.Kind)] = []
        var former: IPPrefix?
        for route in routes where route.prefix != former {
            former = route.prefix
            close(&open, before: route.prefix.first.bits)
            open.append((route.prefix.last.bits, route.kind))
            add(route.prefix.first.bits, route.kind)
        }
        close(&open, before: nil)
    }

    private mutating func close(_ open: inout [(last: UInt128, kind: Route.Kind)], before start: UInt128?) {
        while let top = open.last, start.map({ top.last < $0 }) ?? true {
            open.removeLast()
            if top.last != .max { add(top.last + 1, open.last?.kind) }
        }
    }

    private mutating func add(_ start: UInt128, _ kind: Route.Kind?) {
        if segments.last!.start == start { segments.removeLast() }
        segments.append(Segment(start: start, kind: kind))
    }

    /// Returns the prefixes of a pool by the kind of their route, without those that have none.
    func split(_ pool: PrefixPool) -> [Route.Kind: [IPPrefix]] {
        var found: [Route.Kind: [IPPrefix]] = [:]
        for prefix in pool.prefixes {
            var index = segments.partitioningIndex { $0.start > prefix.first.bits } - 1
            var start = prefix.first.bits
            while index < segments.count, segments[index].start <= prefix.last.bits {
                let next = index + 1 < segments.count ? segments[index + 1].start : nil
                let last = next.map { min($0 - 1, prefix.last.bits) } ?? prefix.last.bits
                if let kind = segments[index].kind, start...last == prefix.first.bits...prefix.last.bits {
                    found[kind, default: []].append(prefix)
                } else if let kind = segments[index].kind {
                    found[kind, default: []] += IPPrefix.covering(start...last, prefix.family)
                }
                if last == prefix.last.bits { break }
                start = last + 1
                index += 1
            }
        }
        return found
    }
}

extension PrefixPool {
    /// Returns the part of the pool that lies within a prefix.
    fileprivate func part(in prefix: IPPrefix) -> [IPPrefix] {
        var index = prefixes.partitioningIndex { $0.last >= prefix.first }
        var found: [IPPrefix] = []
        while index < prefixes.count, prefixes[index].first <= prefix.last {
            found.append(prefixes[index].contains(prefix) ? prefix : prefixes[index])
            index += 1
        }
        return found
    }
}

extension IPPrefix {
    /// Returns the fewest prefixes that contain exactly these addresses.
    fileprivate static func covering(_ range: ClosedRange<UInt128>, _ family: IPFamily) -> [IPPrefix] {
        var prefixes: [IPPrefix] = [], start = range.lowerBound
        while true {
            let aligned = min(start == 0 ? family.bitWidth : start.trailingZeroBitCount, family.bitWidth)
            var bits = aligned
            while bits > 0,
                bits == 128
                    ? start != 0 || range.upperBound != .max
                    : range.upperBound - start < (UInt128(1) << UInt128(bits)) - 1
            { bits -= 1 }
            let prefix = IPPrefix(
                masking: family == .ipv4 ? IPAddress(ipv4: UInt32(start)) : IPAddress(ipv6: start),
                length: family.bitWidth - bits)
            prefixes.append(prefix)
            guard prefix.last.bits < range.upperBound else { return prefixes }
            start = prefix.last.bits + 1
        }
    }

    /// Returns the longest prefix that contains all addresses of a pool of one family.
    static func spanning(_ pool: PrefixPool) -> IPPrefix {
        let first = pool.prefixes[0], last = pool.prefixes[pool.prefixes.count - 1]
        var prefix = first
        while !prefix.contains(last), let parent = prefix.parent { prefix = parent }
        return prefix
    }
}
