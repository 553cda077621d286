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
    /// Of one to be sent: it leaves as datagrams of this size, the last of which may be shorter, and costs little more than
    /// one. Nil for a single datagram, as those that came always are.
    public var segmentSize: Int?

    /// Makes a datagram.
    ///
    /// - Parameters:
    ///   - payload: What it carries.
    ///   - local: An address of this host, and any port.
    ///   - remote: The client.
    ///   - segmentSize: How many bytes each carries, if it is to leave as several. Greater than 0.
    public init(
        _ payload: ByteBuffer, local: AddressPools.SocketAddress, remote: AddressPools.SocketAddress,
        segmentSize: Int? = nil
    ) {
        self.payload = payload
        self.local = local
        self.remote = remote
        self.segmentSize = segmentSize
    }

    /// The answer to this datagram, from where it was sent to; as several, where it has a size for each.
    public func reply(_ payload: ByteBuffer, segmentSize: Int? = nil) -> SteeredDatagram {
        SteeredDatagram(payload, local: local, remote: remote, segmentSize: segmentSize)
    }
}
