/// A transport protocol that a socket speaks.
public enum TransportProtocol: Sendable, Hashable, Comparable, CaseIterable, CustomStringConvertible {
    /// TCP, over either family.
    case tcp
    /// UDP, over either family.
    case udp

    /// `tcp` or `udp`.
    public var description: String { self == .tcp ? "tcp" : "udp" }
}

/// The protocols that a binding matches.
public enum ProtocolMatch: Sendable, Hashable, Comparable, CaseIterable, CustomStringConvertible {
    /// TCP only.
    case tcp
    /// UDP only.
    case udp
    /// TCP and UDP.
    case both

    /// Returns whether packets of a protocol match.
    public func contains(_ transport: TransportProtocol) -> Bool {
        switch self {
        case .tcp: transport == .tcp
        case .udp: transport == .udp
        case .both: true
        }
    }

    /// `tcp`, `udp` or `tcp+udp`.
    public var description: String {
        switch self {
        case .tcp: "tcp"
        case .udp: "udp"
        case .both: "tcp+udp"
        }
    }
}

/// What happens to packets that a binding matches.
public enum Outcome: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The packet goes to the socket registered for this label. While there is none, ``LabelOptions`` decide whether it
    /// is refused.
    case label(Label)
    /// The packet is refused as if the port were closed: a reset for TCP, ICMP port unreachable for UDP.
    case refuse
    /// The packet is left to the kernel's ordinary socket lookup: an exception within a wider binding.
    case pass

    /// `label NAME`, `refuse` or `pass`.
    public var description: String {
        switch self {
        case .label(let label): "label \(label)"
        case .refuse: "refuse"
        case .pass: "pass"
        }
    }
}

/// A match and its outcome.
///
/// A binding matches packets of its protocols to its prefix and ports and, if it has a source or an interface, only
/// those that come from that source prefix or arrive on that interface. Of several bindings that match a packet, the
/// one with the greatest ``precedence`` decides, whatever their order in the policy.
public struct Binding: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The protocols that match.
    public let protocols: ProtocolMatch
    /// The destination addresses that match.
    public let prefix: IPPrefix
    /// The destination ports that match, `.all` for every port.
    ///
    /// Port 0 is a port like any other.
    public let ports: PortSet
    /// What happens to matching packets.
    public let outcome: Outcome
    /// Source and interface, boxed because most of a hundred thousand bindings have neither.
    private let stored: StoredCondition?

    private indirect enum StoredCondition: Sendable, Hashable {
        case value(Condition)
    }

    var condition: Condition {
        if case .value(let condition) = stored { condition } else { .none }
    }

    /// Whether it has a source or an interface.
    var isConditional: Bool { stored != nil }

    /// The source addresses that match, of the same family as the destination; nil for any.
    public var source: IPPrefix? { condition.source }
    /// The interface on which matching packets arrive; nil for any.
    public var interface: InterfaceName? { condition.interface }

    /// Creates a binding.
    ///
    /// - Parameters:
    ///   - protocols: TCP, UDP or both.
    ///   - prefix: The destination addresses.
    ///   - ports: The destination ports, at least one; `.all` for every port.
    ///   - source: The source addresses; nil for any. A prefix of length 0 is stored as nil.
    ///   - interface: The interface on which packets arrive; nil for any. Steering by interface needs Linux 5.17.
    ///   - outcome: What happens to the packets.
    /// - Throws: `invalidBinding` if `ports` is empty, if `source` and `prefix` differ in family, or if one of them is
    ///   IPv4-mapped (RFC 4291), since packets of IPv4 have IPv4 addresses: such a binding matches nothing.
    public init(
        _ protocols: ProtocolMatch, to prefix: IPPrefix, ports: PortSet, from source: IPPrefix? = nil,
        on interface: InterfaceName? = nil, _ outcome: Outcome
    ) throws(SteeringError) {
        guard !ports.isEmpty else { throw .bindingWithoutPorts(prefix) }
        for prefix in [prefix, source] { if let prefix, prefix.isIPv4Mapped { throw .bindingOfMapped(prefix) } }
        if let source, source.family != prefix.family { throw .bindingOfTwoFamilies(prefix, source) }
        let condition = source == nil && interface == nil ? nil : Condition(source: source, interface: interface)
        self.init(checked: protocols, to: prefix, ports: ports, condition, outcome)
    }

    /// Callers guarantee at least one port, and a source of the prefix's family.
    init(
        checked protocols: ProtocolMatch, to prefix: IPPrefix, ports: PortSet, _ condition: Condition?,
        _ outcome: Outcome
    ) {
        self.protocols = protocols
        self.prefix = prefix
        self.ports = ports
        self.outcome = outcome
        stored = condition.flatMap { $0.isNone ? nil : .value($0) }
    }

    /// Returns whether a packet matches.
    ///
    /// A packet whose source or interface is unknown does not match a binding that requires one.
    public func matches(_ packet: Packet) -> Bool {
        protocols.contains(packet.transport) && prefix.contains(packet.destination.address)
            && ports.contains(packet.destination.port) && (!isConditional || condition.matches(packet))
    }

    /// Returns whether a packet would match if an unknown source or interface were the one that the binding requires.
    func couldMatch(_ packet: Packet) -> Bool {
        var packet = packet
        if packet.source == nil { packet.source = source.map { SocketAddress($0.first, port: 0) } }
        if packet.interface == nil { packet.interface = interface }
        return matches(packet)
    }

    /// Orders bindings by prefix, then by descending precedence, then by everything else, as tables and files list
    /// them.
    public static func < (left: Binding, right: Binding) -> Bool {
        if left.prefix != right.prefix { return left.prefix < right.prefix }
        if left.precedence != right.precedence { return left.precedence > right.precedence }
        if left.protocols != right.protocols { return left.protocols < right.protocols }
        if left.ports != right.ports { return left.ports.ranges.lexicographicallyPrecedes(right.ports.ranges) }
        if left.stored != right.stored { return left.condition < right.condition }
        return left.outcome < right.outcome
    }

    /// A description such as `tcp 192.0.2.0/24 80,443 from 198.51.100.0/24 on eth0 -> label web`.
    public var description: String { "\(protocols) \(prefix) \(ports)\(condition) -> \(outcome)" }
}
