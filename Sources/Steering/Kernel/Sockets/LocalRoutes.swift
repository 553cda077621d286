import CSteering
import Glibc

/// The routing of the calling thread's network namespace: which addresses the kernel delivers to this host. Steering
/// sees only packets to those. Needs no privilege.
public struct LocalRoutes: ~Copyable, Sendable {
    private let netlink: NetlinkSocket

    /// Opens a routing netlink socket in the calling thread's network namespace.
    ///
    /// - Throws: `systemCall`.
    public init() throws(SteeringError) { netlink = try NetlinkSocket(CInt(NETLINK_ROUTE)) }

    /// Returns whether packets to an address are delivered to this host.
    ///
    /// - Parameter address: The destination address.
    /// - Throws: `systemCall`; an address without a route is no error.
    public func deliver(_ address: IPAddress) throws(SteeringError) -> Bool { try kind(of: address) == .local }

    /// Returns what the kernel does with packets to an address (RTM_GETROUTE).
    func kind(of address: IPAddress) throws(SteeringError) -> Route.Kind {
        if address.isMulticast { return .multicast }
        var request = rtmsg()
        request.rtm_family = UInt8(address.family == .ipv4 ? AF_INET : AF_INET6)
        request.rtm_dst_len = UInt8(address.family.bitWidth)
        var kind = Route.Kind.none
        do throws(SteeringError) {
            try netlink.request(
                UInt16(RTM_GETROUTE), flags: 0,
                payload: bytes(of: request) + attribute(Int(RTA_DST.rawValue), address.bytes)
            ) { _, payload in
                if let route = Route(payload, isAnswer: true) { kind = route.kind }
            }
        } catch {
            guard [ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL].contains(error.errno) else { throw error }
        }
        return kind
    }

    /// Returns the prefixes of a pool with at least one address that is not delivered to this host.
    ///
    /// The result is exact, and computed from one dump of rules and routes. A rule that matches only some packets
    /// counts only where it delivers to this host. Subnet broadcast addresses, which belong to no host, are ignored if
    /// other addresses of the prefix are delivered.
    ///
    /// - Parameter pool: The prefixes to check, of both families.
    /// - Throws: `systemCall`.
    public func undelivered(in pool: PrefixPool) throws(SteeringError) -> [IPPrefix] {
        let delivery = try delivery(of: pool)
        return pool.prefixes.filter { delivery.undelivered(in: $0) != nil }
    }

    /// Returns what the kernel does with the addresses of a pool.
    ///
    /// - Throws: `systemCall`.
    func delivery(of pool: PrefixPool) throws(SteeringError) -> LocalDelivery {
        var delivery = LocalDelivery()
        for family in IPFamily.allCases {
            let own = pool.restricted(to: family)
            if own.isEmpty { continue }
            delivery.add(own, rules: try rules(family), routes: try routes(family))
        }
        return delivery
    }

    /// Whether a local route for a prefix would neither hide another route nor break a connection.
    ///
    /// - Throws: `systemCall`.
    func mayRouteHere(_ prefix: IPPrefix) throws(SteeringError) -> Bool {
        try delivery(of: PrefixPool([prefix])).obstacle(to: prefix, try SocketDiagnostics().peers()) == nil
    }

    /// Returns the IPv4 broadcast addresses of the calling thread's network namespace.
    ///
    /// - Throws: `systemCall`.
    static func broadcasts() throws(SteeringError) -> [IPPrefix] {
        let netlink = try NetlinkSocket(CInt(NETLINK_ROUTE))
        // The kernel then filters by route type; before Linux 4.20, the filter below does.
        netlink.checkStrictly()
        var request = rtmsg()
        request.rtm_family = UInt8(AF_INET)
        request.rtm_table = UInt8(RT_TABLE_LOCAL.rawValue)
        request.rtm_type = 3  // RTN_BROADCAST
        return try netlink.dump(UInt16(RTM_GETROUTE), bytes(of: request)) { _, payload in
            Route(payload).flatMap { $0.kind == .broadcast ? $0.prefix : nil }
        }
    }

    private func routes(_ family: IPFamily) throws(SteeringError) -> [Route] {
        var request = rtmsg()
        request.rtm_family = UInt8(family == .ipv4 ? AF_INET : AF_INET6)
        return try netlink.dump(UInt16(RTM_GETROUTE), bytes(of: request)) { _, payload in Route(payload) }
    }

    private func rules(_ family: IPFamily) throws(SteeringError) -> [RoutingRule] {
        var request = rtmsg()  // As fib_rule_hdr, of which the kernel reads only the family.
        request.rtm_family = UInt8(family == .ipv4 ? AF_INET : AF_INET6)
        do throws(SteeringError) {
            return try netlink.dump(34 /* RTM_GETRULE */, bytes(of: request)) { _, payload in
                RoutingRule(payload, family)
            }.sorted { $0.priority < $1.priority }
        } catch {
            // The kernel has no policy routing.
            guard [EOPNOTSUPP, EAFNOSUPPORT].contains(error.errno) else { throw error }
            return [RT_TABLE_LOCAL, RT_TABLE_MAIN].map { RoutingRule(looksIn: UInt32($0.rawValue)) }
        }
    }
}

/// A route in a routing table.
struct Route: Sendable {
    enum Kind: Sendable {
        /// An address of this host, or an anycast address.
        case local
        case broadcast, multicast
        /// An address of a directly connected subnet.
        case link
        /// Routed through a gateway.
        case gateway
        /// Unroutable: no route, or one of type unreachable, blackhole or prohibit.
        case none
        /// The lookup continues with the next rule.
        case `throw`
    }

    let prefix: IPPrefix
    let table: UInt32
    let kind: Kind
    let metric: UInt32

    /// Returns nil for routes that not all packets to the prefix use.
    ///
    /// - Parameter isAnswer: Whether the message answers a lookup of one address, and is not part of a dump.
    init?(_ payload: ArraySlice<UInt8>, isAnswer: Bool = false) {
        guard let header = value(rtmsg.self, in: payload) else { return nil }
        let family: IPFamily = CInt(header.rtm_family) == AF_INET ? .ipv4 : .ipv6
        var destination = IPAddress.unspecified(family), table = UInt32(header.rtm_table), metric: UInt32 = 0
        var hasGateway = false
        forEachAttribute(in: payload.dropFirst(MemoryLayout<rtmsg>.size)) { type, content in
            switch type {
            case UInt16(RTA_DST.rawValue): destination = IPAddress(bytes: content) ?? destination
            case UInt16(RTA_TABLE.rawValue): table = value(UInt32.self, in: content) ?? table
            case UInt16(RTA_PRIORITY.rawValue): metric = value(UInt32.self, in: content) ?? 0
            // A gateway of either family (RTA_VIA), several next hops, or a nexthop object (RTA_NH_ID).
            case UInt16(RTA_GATEWAY.rawValue), UInt16(RTA_MULTIPATH.rawValue), 18, 30: hasGateway = true
            default: break
            }
        }
        // Ignore cached routes (RTM_F_CLONED), dead ones, and those for a source prefix or a type of service.
        let hasSay =
            header.rtm_src_len == 0 && header.rtm_tos == 0 && header.rtm_flags & 1 == 0 && header.rtm_flags & 0x200 == 0
        guard isAnswer || hasSay else { return nil }
        prefix = IPPrefix(masking: destination, length: Int(header.rtm_dst_len))
        self.table = table
        self.metric = metric
        kind =
            switch Int(header.rtm_type) {
            case 2 /* RTN_LOCAL */, 4 /* RTN_ANYCAST */: .local
            case 3 /* RTN_BROADCAST */: .broadcast
            case 5 /* RTN_MULTICAST */: .multicast
            case 1 /* RTN_UNICAST */: hasGateway ? .gateway : .link
            case 9 /* RTN_THROW */: .throw
            default: .none
            }
    }
}

/// A rule of policy routing, which selects the table to look up.
struct RoutingRule: Sendable {
    enum Action: Sendable, Hashable {
        case lookUp(UInt32)
        /// Looks up the table of the packet's VRF.
        case lookUpDomain
        case end
    }

    let priority: UInt32
    let action: Action
    /// The destinations that the rule matches; nil for all.
    let destination: IPPrefix?
    /// Whether it also matches on anything but the destination, such as source, mark or interface.
    let isConditional: Bool
    /// Routes with a prefix length of at most this are ignored (suppress_prefixlength); -1 for none.
    let suppressed: Int

    init(looksIn table: UInt32) {
        (priority, action, destination, isConditional, suppressed) = (0, .lookUp(table), nil, false, -1)
    }

    /// Returns nil for rules with another action, such as nop and goto.
    init?(_ payload: ArraySlice<UInt8>, _ family: IPFamily) {
        // fib_rule_hdr has the layout of rtmsg, with the action in place of the type.
        guard let header = value(rtmsg.self, in: payload) else { return nil }
        var table = UInt32(header.rtm_table), priority: UInt32 = 0, suppressed = -1
        var isConditional = false, isOfDomain = false
        var address = IPAddress.unspecified(family)
        forEachAttribute(in: payload.dropFirst(MemoryLayout<rtmsg>.size)) { type, content in
            switch type {
            case 1 /* FRA_DST */: address = IPAddress(bytes: content) ?? address
            case 6 /* FRA_PRIORITY */: priority = value(UInt32.self, in: content) ?? 0
            case 14 /* FRA_SUPPRESS_PREFIXLEN */: suppressed = Int(value(Int32.self, in: content) ?? -1)
            case 15 /* FRA_TABLE */: table = value(UInt32.self, in: content) ?? table
            // Source, interfaces, mark and its mask, tunnel, user, protocol, ports, and newer attributes.
            case 2, 3, 10, 12, 16, 17, 20, 22, 23, 24, 25...: isConditional = true
            case 19 /* FRA_L3MDEV */: isOfDomain = content.first != 0
            default: break
            }
        }
        let isInverted = header.rtm_flags & 2 != 0
        switch Int(header.rtm_type) {
        case 1 /* FR_ACT_TO_TBL */: action = isOfDomain ? .lookUpDomain : .lookUp(table)
        case 6, 7, 8 /* blackhole, unreachable, prohibit */: action = .end
        default: return nil
        }
        self.priority = priority
        self.suppressed = suppressed
        self.isConditional = isConditional || isOfDomain || header.rtm_src_len > 0 || header.rtm_tos != 0 || isInverted
        destination =
            header.rtm_dst_len == 0 || isInverted ? nil : IPPrefix(masking: address, length: Int(header.rtm_dst_len))
    }
}

extension IPAddress {
    /// Whether it is a multicast address or the limited broadcast address. sk_lookup programs do not run for packets to
    /// it.
    var isMulticast: Bool { Self.groups.contains { $0.contains(self) } }

    /// 224.0.0.0/4, 255.255.255.255, ff00::/8.
    static let groups = [
        IPPrefix(masking: IPAddress(ipv4: 0xe000_0000), length: 4),
        IPPrefix(masking: IPAddress(ipv4: 0xffff_ffff), length: 32),
        IPPrefix(masking: IPAddress(ipv6: 0xff << 120), length: 8),
    ]
}
