import Glibc

/// What decides about a packet beside the policy: asked of the kernel, in the namespace that it arrives in.
struct PacketSurroundings: Sendable {
    /// Whether packets to the destination are delivered to this host at all.
    let isDelivered: Bool
    /// The socket that the kernel would give the packet to.
    let receiver: DiagnosedSocket?
    /// The listening and unconnected sockets of the namespace.
    let sockets: [SocketCookie: DiagnosedSocket]

    /// Asks about a packet from inside the namespace. Every sk_lookup program there runs for it once, and
    /// counts it.
    init(of packet: Packet) throws(SteeringError) {
        var index: UInt32 = 0
        if let name = packet.interface {
            index = if_nametoindex(name.name)
            guard index != 0 else { throw .unknownInterface(name) }
        }
        let diagnostics = try SocketDiagnostics()
        receiver = try diagnostics.socket(
            receiving: packet.transport, to: packet.destination,
            from: packet.source ?? SocketAddress(.unspecified(packet.destination.address.family), port: 0), on: index)
        sockets = try diagnostics.sockets()
        isDelivered = try LocalRoutes().deliver(packet.destination.address)
    }
}
