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
/// sender socket each is made on demand, which is connected to itself and so receives nothing. At most
/// 1,024 are kept, the least recently used go first.
///
/// Not to be shared between threads: give each its own, over SO_REUSEPORT sockets.
///
/// ## Kernel
/// `IP_RECVORIGDSTADDR`, `IP_PKTINFO`. Sources must be addresses that are routed to this host.
public struct AddressedUDPSocket: ~Copyable {
    /// The socket that receives: register this one.
    public let receiver: OwnedDescriptor
    private let bound: SocketAddress
    private let isDualStack: Bool
    private var senders: [SocketAddress: Sender] = [:]
    private var clock: UInt64 = 0
    private var buffer = [UInt8](repeating: 0, count: 65_536)

    static let maximumSenders = 1024

    private final class Sender {
        let socket: OwnedDescriptor
        var lastUse: UInt64 = 0
        init(_ socket: consuming OwnedDescriptor) { self.socket = socket }
    }

    /// Takes a bound UDP socket.
    ///
    /// - Throws: `systemCall` when it is not one.
    public init(_ receiver: consuming OwnedDescriptor) throws(SteeringError) {
        // As the kernel has it: a dual-stack socket is IPv6 here, whatever it is bound to.
        let descriptor = receiver.rawValue
        let bound = try SocketAddress.read("getsockname") { getsockname(descriptor, $0, $1) }
        try setOption(receiver.rawValue, CInt(IP_RECVORIGDSTADDR), level: CInt(IPPROTO_IP), true)
        if bound.address.family == .ipv6 {
            try setOption(receiver.rawValue, 74 /* IPV6_RECVORIGDSTADDR */, level: CInt(IPPROTO_IPV6), true)
        }
        isDualStack = try SteerableSocket.isDualStack(descriptor, bound.address.family)
        self.bound = bound
        self.receiver = receiver
    }

    /// Receives one datagram; nil when a non-blocking socket has none.
    ///
    /// - Throws: `systemCall`, also for an ICMP error that an earlier reply provoked: go on receiving.
    public mutating func receive() throws(SteeringError) -> AddressedDatagram? {
        var source = sockaddr_storage()
        var destination = sockaddr_storage()
        let size = buffer.count
        while true {
            let received = buffer.withUnsafeMutableBytes {
                csteering_receive(receiver.rawValue, $0.baseAddress!, size, &source, &destination)
            }
            if received == -Int(EINTR) { continue }
            if received == -Int(EAGAIN) { return nil }
            guard received >= 0 else { throw .failed("recvmsg", CInt(-received)) }
            guard let source = SocketAddress(source), let destination = SocketAddress(destination) else { continue }
            return AddressedDatagram(
                payload: Array(buffer[..<received]),
                source: source.unmapped, destination: destination.unmapped)
        }
    }

    /// Answers a datagram from where it was sent to.
    ///
    /// - Returns: Whether the kernel took it; a full send buffer drops it, as the network might.
    /// - Throws: `addressUnavailable` when the source is no address of this host, `systemCall`.
    @discardableResult
    public mutating func reply(_ payload: [UInt8], to datagram: AddressedDatagram) throws(SteeringError) -> Bool {
        try send(payload, from: datagram.destination, to: datagram.source)
    }

    /// Sends a datagram from an address and port.
    ///
    /// - Returns: Whether the kernel took it.
    /// - Throws: As ``reply(_:to:)``.
    @discardableResult
    public mutating func send(
        _ payload: [UInt8], from source: SocketAddress, to destination: SocketAddress
    ) throws(SteeringError) -> Bool {
        let (socket, isIPv6) = try socketToSend(from: source)
        // An IPv6 socket sends IPv4 between mapped addresses.
        let from = isIPv6 ? source.mapped.storage.0 : source.storage.0
        let to = isIPv6 ? destination.mapped.storage.0 : destination.storage.0
        let sent = withUnsafePointer(to: from) { from in
            withUnsafePointer(to: to) { to in csteering_send(socket, payload, payload.count, from, to) }
        }
        switch CInt(-sent) {
        case EAGAIN, ENOBUFS, EINTR: return false
        case EINVAL, ENETUNREACH, EADDRNOTAVAIL: throw .notLocal(source, "sendmsg", CInt(-sent))
        default:
            guard sent >= 0 else { throw .failed("sendmsg", CInt(-sent)) }
            return true
        }
    }

    /// The receiver itself for its own port, a sender socket otherwise; and whether it is an IPv6 socket.
    private mutating func socketToSend(from source: SocketAddress) throws(SteeringError) -> (CInt, Bool) {
        let isIPv6 = bound.address.family == .ipv6
        if source.port == bound.port, isDualStack || source.address.family == bound.address.family {
            return (receiver.rawValue, isIPv6)
        }
        // One per port and family: bound to the first address that needs it, told the source each time.
        let key = SocketAddress(.unspecified(source.address.family), port: source.port)
        clock += 1
        if let sender = senders[key] {
            sender.lastUse = clock
            return (sender.socket.rawValue, source.address.family == .ipv6)
        }
        if senders.count >= Self.maximumSenders, let oldest = senders.min(by: { $0.value.lastUse < $1.value.lastUse }) {
            senders[oldest.key] = nil
        }
        let socket = try OwnedDescriptor.receiver(on: source, [.reuseAddress, .freeBind, .nonblocking])
        let descriptor = socket.rawValue
        // Otherwise it would swallow what is sent to its own address once that is steered no more.
        do throws(SteeringError) {
            try source.pass(to: "connect") { connect(descriptor, $0, $1) }
        } catch { throw .notLocal(source, "connect", error.errno) }
        let sender = Sender(socket)
        sender.lastUse = clock
        senders[key] = sender
        return (descriptor, source.address.family == .ipv6)
    }
}

extension SteeringError {
    static func notLocal(_ source: SocketAddress, _ call: String, _ error: CInt) -> SteeringError {
        SteeringError(
            .addressUnavailable,
            "a datagram cannot be sent from \(source): is the address routed to this host (ip route add local ...)?",
            cause: .systemCall(call, errno: error))
    }
}
