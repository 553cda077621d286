public import AddressPools
public import NIOCore

/// A datagram with both its ends: one that came, or one to be sent. To answer, send one with the same ends.
public struct SteeredDatagram: Sendable, Hashable {
    /// What it carries.
    public var payload: ByteBuffer
    /// Ours: the address and port that the client sent to, and that an answer comes from.
    public var local: AddressPools.SocketAddress
    /// The client's: where it came from, and where an answer goes.
    public var remote: AddressPools.SocketAddress

    /// Makes a datagram.
    ///
    /// - Parameters:
    ///   - payload: What it carries.
    ///   - local: An address of this host, and any port.
    ///   - remote: The client.
    public init(_ payload: ByteBuffer, local: AddressPools.SocketAddress, remote: AddressPools.SocketAddress) {
        self.payload = payload
        self.local = local
        self.remote = remote
    }

    /// The answer to this datagram, from where it was sent to.
    public func reply(_ payload: ByteBuffer) -> SteeredDatagram {
        SteeredDatagram(payload, local: local, remote: remote)
    }
}
