/// A transport protocol that a socket speaks.
public enum TransportProtocol: Sendable, Hashable, Comparable, CaseIterable, CustomStringConvertible {
    /// TCP, over either family.
    case tcp
    /// UDP, over either family.
    case udp

    /// "tcp" or "udp".
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

    /// Whether packets of a protocol match.
    public func contains(_ transport: TransportProtocol) -> Bool {
        switch self {
        case .tcp: transport == .tcp
        case .udp: transport == .udp
        case .both: true
        }
    }

    /// "tcp", "udp" or "tcp+udp".
    public var description: String {
        switch self {
        case .tcp: "tcp"
        case .udp: "udp"
        case .both: "tcp+udp"
        }
    }
}

/// What happens to the packets of a binding.
public enum Outcome: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// They go to the socket that is registered as this label; while there is none, the label says
    /// whether they are refused (``LabelOptions``).
    case label(Label)
    /// They are refused as if the port were closed: a reset for TCP, ICMP port unreachable for UDP.
    case refuse
    /// Steering leaves them alone: the kernel's ordinary lookup goes on. An exception inside a wider
    /// binding.
    case pass

    /// The label's name, "refuse" or "pass".
    public var description: String {
        switch self {
        case .label(let label): "label \(label)"
        case .refuse: "refuse"
        case .pass: "pass"
        }
    }
}

/// A match and its outcome: packets of these protocols, to this prefix, on these ports; and, where it says so,
/// only those from a source prefix, or that arrive on an interface.
///
/// Which of several matching bindings decides does not depend on the order in which they were
/// written, but on their ``precedence``.
public struct Binding: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The protocols that match.
    public let protocols: ProtocolMatch
    /// The destination addresses that match.
    public let prefix: IPPrefix
    /// The destination ports that match. Port 0 is a port like any other; every port is `.all`.
    public let ports: PortSet
    /// What happens to matching packets.
    public let outcome: Outcome
    /// Source and interface; kept apart, because most of a hundred thousand bindings have none.
    private let stored: StoredCondition?

    private indirect enum StoredCondition: Sendable, Hashable {
        case value(Condition)
    }

    var condition: Condition {
        if case .value(let condition) = stored { condition } else { .none }
    }

    /// Whether it has a source or an interface.
    var isConditional: Bool { stored != nil }

    /// The source addresses that match, of the destination's family; nil for any.
    public var source: IPPrefix? { condition.source }
    /// The interface that matching packets arrive on; nil for any.
    public var interface: InterfaceName? { condition.interface }

    /// Creates a binding.
    ///
    /// - Parameters:
    ///   - protocols: TCP, UDP or both.
    ///   - prefix: The destination addresses.
    ///   - ports: The destination ports, at least one; `.all` for every one.
    ///   - source: The source addresses, nil for any. A prefix of length 0 has all, so it becomes nil.
    ///   - interface: The interface on which packets arrive, nil for any. Steering by interface needs Linux 5.17.
    ///   - outcome: What happens to the packets.
    /// - Throws: `invalidBinding` when `ports` is empty, or `source` of another family than `prefix`: such a
    ///   binding matches nothing.
    public init(
        _ protocols: ProtocolMatch, to prefix: IPPrefix, ports: PortSet, from source: IPPrefix? = nil,
        on interface: InterfaceName? = nil, _ outcome: Outcome
    ) throws(SteeringError) {
        guard !ports.isEmpty else { throw .bindingWithoutPorts(prefix) }
        if let source, source.family != prefix.family { throw .bindingOfTwoFamilies(prefix, source) }
        let condition = source == nil && interface == nil ? nil : Condition(source: source, interface: interface)
        self.init(checked: protocols, to: prefix, ports: ports, condition, outcome)
    }

    /// Callers guarantee that there are ports, and one family.
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

    /// Whether a packet matches. One whose source or interface is not known does not match a binding that asks
    /// for it.
    public func matches(_ packet: Packet) -> Bool {
        protocols.contains(packet.transport) && prefix.contains(packet.destination.address)
            && ports.contains(packet.destination.port) && (!isConditional || condition.matches(packet))
    }

    /// Whether a packet matches, if what is not known of it is as the binding wants it.
    func couldMatch(_ packet: Packet) -> Bool {
        var packet = packet
        if packet.source == nil { packet.source = source.map { SocketAddress($0.first, port: 0) } }
        if packet.interface == nil { packet.interface = interface }
        return matches(packet)
    }

    /// Orders bindings by prefix, then precedence, then all else: how tables and files list them.
    public static func < (left: Binding, right: Binding) -> Bool {
        if left.prefix != right.prefix { return left.prefix < right.prefix }
        if left.precedence != right.precedence { return left.precedence > right.precedence }
        if left.protocols != right.protocols { return left.protocols < right.protocols }
        if left.ports != right.ports { return left.ports.ranges.lexicographicallyPrecedes(right.ports.ranges) }
        if left.stored != right.stored { return left.condition < right.condition }
        return left.outcome < right.outcome
    }

    /// `tcp 192.0.2.0/24 80,443 from 198.51.100.0/24 on eth0 -> label web`.
    public var description: String { "\(protocols) \(prefix) \(ports)\(condition) -> \(outcome)" }
}
