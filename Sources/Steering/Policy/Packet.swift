/// The first packet of a flow, as far as it is known: what bindings match, and what can be explained.
public struct Packet: Sendable, Hashable {
    /// Its protocol.
    public var transport: TransportProtocol
    /// The address and port that it is sent to.
    public var destination: SocketAddress
    /// Who sends it, port 0 for any. Nil when that is not known: then bindings with a source do not match.
    public var source: SocketAddress?
    /// The interface on which it arrives. Nil when that is not known: then bindings with an interface do not
    /// match.
    public var interface: InterfaceName?

    /// Describes a packet.
    public init(
        _ transport: TransportProtocol, to destination: SocketAddress, from source: SocketAddress? = nil,
        on interface: InterfaceName? = nil
    ) {
        self.transport = transport
        self.destination = destination
        self.source = source
        self.interface = interface
    }
}
