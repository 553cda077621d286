import CSteering
import Glibc

/// A datagram with both its ends.
public struct AddressedDatagram: Sendable, Hashable {
    /// What it carries.
    public var payload: [UInt8]
    /// Who sent it.
    public var source: SocketAddress
    /// The address and port that the sender addressed, which need not be those of the socket.
    public var destination: SocketAddress
}

/// A UDP socket that answers for many addresses and ports: it tells which address and port each datagram
/// was sent to, and sends replies from exactly there.
///
/// The kernel lets one socket send from any local address, but only from its own port. For other ports a
/// sender socket each is made on demand, which is connected to itself and so receives nothing. Their number is
/// bounded, the least recently used go first.
///
/// Not to be shared between threads: give each its own, over SO_REUSEPORT sockets.
///
/// Where many datagrams go between the same ends (media, QUIC), they cost a fraction as trains: what comes is left in one
/// piece up to here (`coalescing`), and what goes is cut by the kernel (``send(_:inDatagramsOf:from:to:)``).
///
/// ## Kernel
/// `IP_RECVORIGDSTADDR`, `IP_PKTINFO`, `recvmmsg`; `UDP_GRO` (Linux 5.0), `UDP_SEGMENT` (4.18). Sources must be addresses
/// that are routed to this host.
public struct AddressedUDPSocket: ~Copyable {
    /// The socket that receives: register this one.
    public let receiver: OwnedDescriptor
    private let bound: SocketAddress
    private let isDualStack: Bool
    private var reader = DatagramReader()
    /// The rest of a train that was asked for one datagram, the last of it first.
    private var waiting: [AddressedDatagram] = []
    private var senders: UDPSenders

    /// Takes a bound UDP socket.
    ///
    /// - Parameters:
    ///   - receiver: The socket. It is told to give original destinations, and to send from any local address.
    ///   - limit: How many sender sockets may be open at a time: a descriptor each, and no more than a quarter of what the
    ///     process may have open (RLIMIT_NOFILE).
    ///   - coalescing: Whether the kernel may hand over several datagrams of the same ends and size in one piece; each is
    ///     still given by itself. For much of the same flow: others pay for it, since the kernel then looks up the
    ///     socket of each datagram once more to find what belongs together.
    /// - Throws: `systemCall` when it is not one.
    public init(
        _ receiver: consuming OwnedDescriptor, senders limit: Int = 1024, coalescing: Bool = false
    ) throws(SteeringError) {
        // As the kernel has it: a dual-stack socket is IPv6 here, whatever it is bound to.
        let descriptor = receiver.rawValue
        let bound = try SocketAddress.read("getsockname") { getsockname(descriptor, $0, $1) }
        try setOption(receiver.rawValue, CInt(IP_RECVORIGDSTADDR), level: CInt(IPPROTO_IP), true)
        if bound.address.family == .ipv6 {
            try setOption(receiver.rawValue, 74 /* IPV6_RECVORIGDSTADDR */, level: CInt(IPPROTO_IPV6), true)
            // Otherwise it may send only from addresses that an interface has, and a routed prefix has none.
            try setOption(receiver.rawValue, CInt(IP_FREEBIND), level: CInt(IPPROTO_IP), true)
        }
        if coalescing { try setOption(descriptor, 104 /* UDP_GRO */, level: CInt(IPPROTO_UDP), true) }
        isDualStack = try SteerableSocket.isDualStack(descriptor, bound.address.family)
        senders = UDPSenders(atMost: limit)
        self.bound = bound
        self.receiver = receiver
    }

    /// How many sender sockets are open.
    public var senderCount: Int { senders.count }

    /// Receives one datagram; nil when a non-blocking socket has none.
    ///
    /// With `coalescing`, take all that there are before waiting for the descriptor: some may be here already.
    ///
    /// - Throws: `systemCall`, also for an ICMP error that an earlier reply provoked: go on receiving.
    public mutating func receive() throws(SteeringError) -> AddressedDatagram? {
        // One whose ends the kernel does not tell is left out, and the next one waited for.
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

    /// Receives the datagrams that are there, in one system call. A socket that blocks waits for the first.
    ///
    /// - Parameter limit: How many at most, where each may be a train of up to 64; one call takes 32.
    /// - Returns: Them, in their order; none when a non-blocking socket has none.
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

    /// Receives as `receive(upTo:)`, and lends payload, source and original destination of each.
    ///
    /// - Returns: How many there were.
    package mutating func receive(
        upTo limit: Int, _ each: (UnsafeRawBufferPointer, SocketAddress, SocketAddress) -> Void
    ) throws(SteeringError) -> Int {
        try reader.read(from: receiver.rawValue, upTo: limit, each)
    }

    /// Answers a datagram from where it was sent to.
    ///
    /// - Returns: Whether the kernel took it; a full send buffer drops it, as the network might.
    /// - Throws: `addressUnavailable` when the source is no address of this host, `systemCall`.
    @discardableResult
    public mutating func reply(
        _ payload: some Sequence<UInt8>, to datagram: AddressedDatagram
    ) throws(SteeringError) -> Bool {
        try send(payload, from: datagram.destination, to: datagram.source)
    }

    /// Sends a datagram from an address and port.
    ///
    /// - Returns: Whether the kernel took it.
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

    /// Sends as many datagrams of a size as there are bytes for, the last of which may be shorter, in one system call for
    /// up to 64 of them: the kernel, or the network card, cuts them.
    ///
    /// - Parameters:
    ///   - payload: What all of them carry.
    ///   - size: How much one carries. Where it is too large for the way that it goes, or the way cannot cut, each is
    ///     sent by itself.
    ///   - source: Where they come from.
    ///   - destination: Where they go.
    /// - Returns: Whether the kernel took all of them.
    /// - Throws: As ``reply(_:to:)``.
    @discardableResult
    public mutating func send(
        _ payload: some Sequence<UInt8>, inDatagramsOf size: Int, from source: SocketAddress,
        to destination: SocketAddress
    ) throws(SteeringError) -> Bool {
        precondition(size > 0, "a datagram of a train has a size")
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
        // What the kernel takes at once: UDP_MAX_SEGMENTS of them, together not more than a datagram may have.
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
        // An IPv6 socket sends IPv4 between mapped addresses.
        let isIPv6 = bound.address.family == .ipv6
        return try UDPSenders.send(
            payload, segment, on: receiver.rawValue, from: isIPv6 ? source.mapped : source,
            to: isIPv6 ? destination.mapped : destination)
    }
}
