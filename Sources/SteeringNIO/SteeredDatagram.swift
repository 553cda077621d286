public import AddressPools
public import NIOCore

/// A datagram with its local and remote address, received or to be sent.
///
/// To reply, send one with the same addresses.
public struct SteeredDatagram: Sendable, Hashable {
    /// The payload.
    public var payload: ByteBuffer
    /// The local address and port: the original destination of a received datagram, the source of a sent one.
    public var local: AddressPools.SocketAddress
    /// The client's address and port: the source of a received datagram, the destination of a sent one.
    public var remote: AddressPools.SocketAddress
    /// The size in bytes of the datagrams into which the kernel splits the payload when sending; the last one may be
    /// shorter.
    ///
    /// Sending them costs little more than sending one. `nil` for a single datagram, such as every received one.
    public var segmentSize: Int?

    /// Creates a datagram.
    ///
    /// - Parameters:
    ///   - payload: The payload.
    ///   - local: The source when sent: an address of this host, with any port.
    ///   - remote: The client's address and port.
    ///   - segmentSize: The size in bytes of the datagrams into which to split the payload, greater than 0; `nil` for a
    ///     single datagram.
    public init(
        _ payload: ByteBuffer, local: AddressPools.SocketAddress, remote: AddressPools.SocketAddress,
        segmentSize: Int? = nil
    ) {
        self.payload = payload
        self.local = local
        self.remote = remote
        self.segmentSize = segmentSize
    }

    /// Returns a reply to this datagram, sent from its original destination.
    ///
    /// - Parameters:
    ///   - payload: The payload of the reply.
    ///   - segmentSize: The size in bytes of the datagrams into which to split the payload; `nil` for a single
    ///     datagram.
    /// - Returns: A datagram with the same local and remote address.
    public func reply(_ payload: ByteBuffer, segmentSize: Int? = nil) -> SteeredDatagram {
        SteeredDatagram(payload, local: local, remote: remote, segmentSize: segmentSize)
    }
}
