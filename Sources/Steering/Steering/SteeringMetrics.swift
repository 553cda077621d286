/// The counters of one destination.
public struct DestinationMetrics: Sendable, Hashable {
    /// Packets that a binding led here: the first packets of TCP connections, and datagrams to unconnected UDP sockets.
    public internal(set) var lookups: UInt64 = 0
    /// Lookups without a registered socket; the label's options decide what happened to the packet.
    public internal(set) var misses: UInt64 = 0
    /// Lookups whose sockets the kernel did not accept, such as a listener that stopped listening.
    public internal(set) var incompatible: UInt64 = 0
}

/// The counters of a steering since it was attached or loaded.
public struct SteeringMetrics: Sendable, Hashable {
    /// The counters of each destination of every label in bindings, options or sockets.
    public internal(set) var destinations: [Destination: DestinationMetrics] = [:]
    /// Packets that a binding refused.
    public internal(set) var refused: UInt64 = 0
    /// Packets that a binding passed.
    public internal(set) var passed: UInt64 = 0
}
