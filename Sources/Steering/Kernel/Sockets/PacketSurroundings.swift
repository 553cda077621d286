import Glibc

/// The facts besides the policy that decide where a packet goes, as the kernel reports them in the namespace where it
/// arrives.
struct PacketSurroundings: Sendable {
    /// How the kernel routes packets to the destination.
    let route: Route.Kind
    /// The prefix to route to this host, if packets to the destination go to a gateway or nowhere; nil also if such a
    /// route would hide another one or break a connection.
    let remedy: IPPrefix?
    /// The reason why packets do not arrive on the given interface; nil if they do.
    let interfaceCaveat: String?
    /// The netfilter chains that may rewrite the destination first; empty if they may not be listed.
    let translations: [String]
    /// The socket to which the kernel would deliver the packet.
    let receiver: DiagnosedSocket?
    /// The listening TCP and unconnected UDP sockets of the namespace.
    let sockets: [SocketCookie: DiagnosedSocket]

    /// Queries the kernel about a packet. Call it inside the namespace. Each sk_lookup program there runs once for the
    /// packet, and counts it.
    ///
    /// - Parameter interface: The index of the interface on which the packet arrives; nil for none.
    init(of packet: Packet, on interface: UInt32?) throws(SteeringError) {
        var caveat: String?
        if let name = packet.interface, let interface {
            let links = try NetworkLinks()
            let receiver = links.all[interface].flatMap { links.receiver(of: $0) }
            caveat = receiver.map { "no packet arrives on \(name): \($0.taking(name))" }
        }
        interfaceCaveat = caveat
        let diagnostics = try SocketDiagnostics()
        receiver = try diagnostics.socket(
            receiving: packet.transport, to: packet.destination,
            from: packet.source ?? SocketAddress(.unspecified(packet.destination.address.family), port: 0),
            on: interface ?? 0)
        sockets = try diagnostics.sockets()
        let address = packet.destination.address
        // Without CAP_NET_ADMIN, or nf_tables in the kernel, the rest of the explanation still holds.
        translations = (try? NetfilterChains.translating(address.family)) ?? []
        route = try LocalRoutes().kind(of: address)
        let prefix = IPPrefix(masking: address, length: address.family.bitWidth)
        remedy = route == .gateway || route == .none ? try LocalRoutes().mayRouteHere(prefix) ? prefix : nil : nil
    }
}
