import CSteering
import Glibc

/// A datagram with its source and its original destination.
public struct AddressedDatagram: Sendable, Hashable {
    /// The payload.
    public var payload: [UInt8]
    /// The address and port of the sender.
    public var source: SocketAddress
    /// The address and port to which the datagram was sent. They can differ from those of the socket.
    public var destination: SocketAddress
}

/// A UDP socket that serves many addresses and ports: it reports the original destination of each datagram, and replies
/// from exactly that address and port.
///
/// The kernel lets one socket send from any local address, but only from its own port. Each other port gets a sender
/// socket on demand, which is connected to itself and therefore receives nothing. Their number is limited; the least
/// recently used one is closed first.
///
/// Not safe to share between threads: give each thread its own, with SO_REUSEPORT sockets.
///
/// For many datagrams between the same two ends (media, QUIC), batches cut the cost to a fraction: the kernel delivers
/// coalesced datagrams (`coalescing`), and splits one buffer into datagrams to send
/// (``send(_:inDatagramsOf:from:to:)``).
///
/// ## Kernel
/// `IP_RECVORIGDSTADDR`, `IP_PKTINFO`, `recvmmsg`; `UDP_GRO` (Linux 5.0), `UDP_SEGMENT` (4.18). Sources must be
/// addresses that are routed to this host.
public struct AddressedUDPSocket: ~Copyable {
    /// The socket that receives: register this one.
    public let receiver: OwnedDescriptor
    private let bound: SocketAddress
    private let isDualStack: Bool
    private var reader = DatagramReader()
    /// The remaining datagrams of a coalesced receive, in reverse order.
    private var waiting: [AddressedDatagram] = []
    private var senders: UDPSenders

    /// Takes ownership of a bound UDP socket. Sets its options so that it receives original destinations and, for IPv6,
    /// can send from addresses that no interface has.
    ///
    /// - Parameters:
    ///   - receiver: The socket.
    ///   - limit: The maximum number of open sender sockets, each with a descriptor. Also limited to a quarter of
    ///     RLIMIT_NOFILE.
    ///   - coalescing: Whether the kernel may coalesce datagrams of the same size between the same ends (UDP_GRO). They
    ///     are still returned one by one. It pays only if most traffic belongs to few flows: the kernel looks up the
    ///     socket once more for each datagram, to find those that belong together.
    /// - Throws: `systemCall` if this is not an IP socket or an option cannot be set; `invalidAddress` if it is a
    ///   socket of another family.
    public init(
        _ receiver: consuming OwnedDescriptor, senders limit: Int = 1024, coalescing: Bool = false
    ) throws(SteeringError) {
        // Not unmapped: a dual-stack socket counts as IPv6 here, whatever address it is bound to.
        let descriptor = receiver.rawValue
        let bound = try SocketAddress.read("getsockname") { getsockname(descriptor, $0, $1) }
        try setOption(receiver.rawValue, CInt(IP_RECVORIGDSTADDR), level: CInt(IPPROTO_IP), true)
        if bound.address.family == .ipv6 {
            try setOption(receiver.rawValue, 74 /* IPV6_RECVORIGDSTADDR */, level: CInt(IPPROTO_IPV6), true)
            // Without IP_FREEBIND, an IPv6 socket sends only from addresses of an interface, and those of a routed
            // prefix are not.
            try setOption(receiver.rawValue, CInt(IP_FREEBIND), level: CInt(IPPROTO_IP), true)
        }
        if coalescing { try setOption(descriptor, 104 /* UDP_GRO */, level: CInt(IPPROTO_UDP), true) }
        isDualStack = try SteerableSocket.isDualStack(descriptor, bound.address.family)
        senders = UDPSenders(atMost: limit)
        self.bound = bound
        self.receiver = receiver
    }

    /// The number of open sender sockets.
    public var senderCount: Int { senders.count }

    /// Receives one datagram; returns nil if a nonblocking socket has none.
    ///
    /// With `coalescing`, call it until it returns nil before waiting for the descriptor: some datagrams may be
    /// buffered here.
    ///
    /// - Throws: `systemCall`, also for an ICMP error that an earlier reply caused: continue to receive.
    public mutating func receive() throws(SteeringError) -> AddressedDatagram? {
        // Skip datagrams for which the kernel does not report source and destination.
        while waiting.isEmpty {
            var received: [AddressedDatagram] = []
            let count = try receive(upTo: 1) {
                received.append(AddressedDatagram(payload: Array($0), source: $1, destination: $2))
            }
            if count == 0 { return nil }
            waiting = received.reversed()
        }
        return waiting.removeLast()
    }

    /// Receives the datagrams that are available, in one system call. A blocking socket waits for the first one.
    ///
    /// - Parameter limit: The maximum number of messages, at most 32 per call. With `coalescing`, each can hold up to
    ///   64 datagrams.
    /// - Returns: The datagrams in order of arrival; empty if a nonblocking socket has none.
    /// - Throws: As ``receive()``.
    public mutating func receive(upTo limit: Int) throws(SteeringError) -> [AddressedDatagram] {
        var datagrams: [AddressedDatagram] = waiting.reversed()
        waiting = []
        if !datagrams.isEmpty { return datagrams }
        _ = try receive(upTo: limit) {
            datagrams.append(AddressedDatagram(payload: Array($0), source: $1, destination: $2))
        }
        return datagrams
    }

    /// Receives as `receive(upTo:)` does, but lends the payload, source and original destination of each datagram.
    ///
    /// - Returns: The number of messages received.
    package mutating func receive(
        upTo limit: Int, _ each: (UnsafeRawBufferPointer, SocketAddress, SocketAddress) -> Void
    ) throws(SteeringError) -> Int {
        try reader.read(from: receiver.rawValue, upTo: limit, each)
    }

    /// Replies to a datagram from the address and port to which it was sent.
    ///
    /// - Parameters:
    ///   - payload: The payload of the reply.
    ///   - datagram: The datagram to reply to.
    /// - Returns: False if the send buffer was full and the kernel dropped the datagram, as the network might.
    /// - Throws: `addressUnavailable` if the source is not an address of this host, `systemCall`.
    @discardableResult
    public mutating func reply(
        _ payload: some Sequence<UInt8>, to datagram: AddressedDatagram
    ) throws(SteeringError) -> Bool {
        try send(payload, from: datagram.destination, to: datagram.source)
    }

    /// Sends a datagram.
    ///
    /// - Parameters:
    ///   - payload: The payload.
    ///   - source: The address and port to send from, local to this host.
    ///   - destination: The address and port to send to, of the same family.
    /// - Returns: False if the send buffer was full and the kernel dropped the datagram.
    /// - Throws: As ``reply(_:to:)``.
    @discardableResult
    public mutating func send(
        _ payload: some Sequence<UInt8>, from source: SocketAddress, to destination: SocketAddress
    ) throws(SteeringError) -> Bool {
        let sent = payload.withContiguousStorageIfAvailable { bytes in
            Result { () throws(SteeringError) in try send(contiguous: bytes, from: source, to: destination) }
        }
        if let sent { return try sent.get() }
        return try send(Array(payload), from: source, to: destination)
    }

    /// Sends a buffer as datagrams of one size, up to 64 of them per system call: the kernel or the network card splits
    /// it (UDP_SEGMENT). The last datagram may be shorter.
    ///
    /// - Parameters:
    ///   - payload: The payloads of all datagrams, concatenated.
    ///   - size: The payload of one datagram, in bytes, greater than 0. If it exceeds the path MTU, or the route does
    ///     not support splitting, each datagram is sent separately.
    ///   - source: The address and port to send from, local to this host.
    ///   - destination: The address and port to send to, of the same family.
    /// - Returns: Whether the kernel accepted all of them.
    /// - Throws: As ``reply(_:to:)``.
    @discardableResult
    public mutating func send(
        _ payload: some Sequence<UInt8>, inDatagramsOf size: Int, from source: SocketAddress,
        to destination: SocketAddress
    ) throws(SteeringError) -> Bool {
        precondition(size > 0, "the size of the datagrams of a train must be positive")
        let sent = payload.withContiguousStorageIfAvailable { bytes in
            Result { () throws(SteeringError) in try send(train: bytes, of: size, from: source, to: destination) }
        }
        if let sent { return try sent.get() }
        return try send(Array(payload), inDatagramsOf: size, from: source, to: destination)
    }

    private mutating func send(
        train payload: UnsafeBufferPointer<UInt8>, of size: Int, from source: SocketAddress,
        to destination: SocketAddress
    ) throws(SteeringError) -> Bool {
        // The most that the kernel accepts in one call: 64 segments (UDP_MAX_SEGMENTS), and together no more than a
        // datagram.
        let length = max(1, min(64, 65_507 / size)) * size
        var isWhole = true
        for start in stride(from: 0, to: payload.count, by: length) {
            let train = UnsafeBufferPointer(rebasing: payload[start..<min(start + length, payload.count)])
            guard train.count > size, let segment = UInt16(exactly: size) else {
                isWhole = try send(contiguous: train, from: source, to: destination) && isWhole
                continue
            }
            do throws(SteeringError) {
                isWhole = try send(contiguous: train, segment, from: source, to: destination) && isWhole
            } catch {
                guard [EINVAL, EIO, EMSGSIZE].contains(error.errno) else { throw error }
                for start in stride(from: 0, to: train.count, by: size) {
                    let one = UnsafeBufferPointer(rebasing: train[start..<min(start + size, train.count)])
                    isWhole = try send(contiguous: one, from: source, to: destination) && isWhole
                }
            }
        }
        return isWhole
    }

    private mutating func send(
        contiguous payload: UnsafeBufferPointer<UInt8>, _ segment: UInt16 = 0, from source: SocketAddress,
        to destination: SocketAddress
    ) throws(SteeringError) -> Bool {
        guard source.port == bound.port, isDualStack || source.address.family == bound.address.family else {
            return try senders.send(payload, segment, from: source, to: destination)
        }
        // An IPv6 socket sends IPv4 between IPv4-mapped addresses.
        let isIPv6 = bound.address.family == .ipv6
        return try UDPSenders.send(
            payload, segment, on: receiver.rawValue, from: isIPv6 ? source.mapped : source,
            to: isIPv6 ? destination.mapped : destination)
    }
}
