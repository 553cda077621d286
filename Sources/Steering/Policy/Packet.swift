/// The first packet of a flow, as far as it is known.
public struct Packet: Sendable, Hashable {
    /// The transport protocol.
    public var transport: TransportProtocol
    /// The destination address and port.
    public var destination: SocketAddress
    /// The source address and port, port 0 for any; nil if unknown.
    ///
    /// Without a source, bindings that have one do not match.
    public var source: SocketAddress?
    /// The interface on which the packet arrives; nil if unknown.
    ///
    /// Without an interface, bindings that have one do not match.
    public var interface: InterfaceName?

    /// Creates a packet.
    ///
    /// - Parameters:
    ///   - transport: The transport protocol.
    ///   - destination: The destination address and port.
    ///   - source: The source address and port, port 0 for any; nil if unknown.
    ///   - interface: The interface on which the packet arrives; nil if unknown.
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
