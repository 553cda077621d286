import Glibc

/// What decides about a packet beside the policy: asked of the kernel, in the namespace that it arrives in.
struct PacketSurroundings: Sendable {
    /// What the kernel does with packets to the destination.
    let route: Route.Kind
    /// What routes the destination to this host; nil where it is, or where that would hide another route.
    let remedy: IPPrefix?
    /// Why no packet arrives on that interface.
    let interfaceCaveat: String?
    /// The chains of netfilter that may give it another destination first; empty where they may not be listed.
    let translations: [String]
    /// The socket that the kernel would give the packet to.
    let receiver: DiagnosedSocket?
    /// The listening and unconnected sockets of the namespace.
    let sockets: [SocketCookie: DiagnosedSocket]

    /// Asks about a packet from inside the namespace. Every sk_lookup program there runs for it once, and
    /// counts it.
    ///
    /// - Parameter interface: The number of the interface that it arrives on; nil for none.
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
