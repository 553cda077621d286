/// What happened to the packets of one destination.
public struct DestinationMetrics: Sendable, Hashable {
    /// Packets whose winning binding leads here: the first ones of TCP connections, and all of UDP.
    public internal(set) var lookups: UInt64 = 0
    /// Lookups that found no socket; the label says what became of them.
    public internal(set) var misses: UInt64 = 0
    /// Lookups whose socket the kernel did not take: a listener that stopped listening.
    public internal(set) var incompatible: UInt64 = 0
}

/// The counters of a steering since it was attached.
public struct SteeringMetrics: Sendable, Hashable {
    /// Of each destination of every label that bindings or sockets name.
    public internal(set) var destinations: [Destination: DestinationMetrics] = [:]
    /// Packets that a binding refused.
    public internal(set) var refused: UInt64 = 0
    /// Packets that a binding let pass.
    public internal(set) var passed: UInt64 = 0
}
