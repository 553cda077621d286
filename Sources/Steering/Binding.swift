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

/// A match and its outcome: packets of these protocols, to this prefix, on these ports.
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

    /// Creates a binding.
    ///
    /// - Throws: `invalidBinding` when `ports` is empty: such a binding matches nothing.
    public init(
        _ protocols: ProtocolMatch, to prefix: IPPrefix, ports: PortSet, _ outcome: Outcome
    ) throws(SteeringError) {
        guard !ports.isEmpty else { throw .bindingWithoutPorts(prefix) }
        self.protocols = protocols
        self.prefix = prefix
        self.ports = ports
        self.outcome = outcome
    }

    /// Callers guarantee that there are ports.
    init(checked protocols: ProtocolMatch, to prefix: IPPrefix, ports: PortSet, _ outcome: Outcome) {
        self.protocols = protocols
        self.prefix = prefix
        self.ports = ports
        self.outcome = outcome
    }

    /// Whether a packet matches.
    public func matches(_ transport: TransportProtocol, to destination: SocketAddress) -> Bool {
        protocols.contains(transport) && prefix.contains(destination.address) && ports.contains(destination.port)
    }

    /// Orders bindings by prefix, then precedence, then outcome: how tables and files list them.
    public static func < (left: Binding, right: Binding) -> Bool {
        if left.prefix != right.prefix { return left.prefix < right.prefix }
        if left.precedence != right.precedence { return left.precedence > right.precedence }
        if left.protocols != right.protocols { return left.protocols < right.protocols }
        if left.ports != right.ports { return left.ports.ranges.lexicographicallyPrecedes(right.ports.ranges) }
        return left.outcome < right.outcome
    }

    /// `tcp 192.0.2.0/24 80,443 -> label web`.
    public var description: String { "\(protocols) \(prefix) \(ports) -> \(outcome)" }
}
