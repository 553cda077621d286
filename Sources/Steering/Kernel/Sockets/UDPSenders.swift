import CSteering
import Glibc

/// Sends UDP from any local address and port.
///
/// The kernel lets one socket send from any local address (IP_PKTINFO), but only from its own port. For each other port
/// there is a sender socket, created on demand and connected to itself, so that it receives nothing. Their number is
/// limited; the least recently used one is closed first.
struct UDPSenders: ~Copyable {
    private final class Sender {
        let socket: OwnedDescriptor
        var lastUse: UInt64 = 0
        init(_ socket: consuming OwnedDescriptor) { self.socket = socket }
    }

    private let limit: Int
    private var senders: [SocketAddress: Sender] = [:]
    private var clock: UInt64 = 0

    /// Starts without sender sockets.
    ///
    /// - Parameter limit: The maximum number of sender sockets. Reduced to a quarter of RLIMIT_NOFILE: the process
    ///   needs the other descriptors for connections.
    init(atMost limit: Int) {
        var descriptors = rlimit()
        let isKnown = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &descriptors) == 0
        self.limit = max(1, min(limit, isKnown ? Int(clamping: descriptors.rlim_cur / 4) : limit))
    }

    /// The number of open sender sockets.
    var count: Int { senders.count }

    /// Sends from the sender socket of the source's port.
    ///
    /// - Returns: False if the send buffer was full and the kernel dropped the datagram, as the network might.
    /// - Throws: `addressUnavailable` if the source is not an address of this host, `systemCall`.
    mutating func send(
        _ payload: UnsafeBufferPointer<UInt8>, _ segment: UInt16 = 0, from source: SocketAddress,
        to destination: SocketAddress
    ) throws(SteeringError) -> Bool {
        let sender = try sender(from: source)
        return try withExtendedLifetime(sender) { () throws(SteeringError) in
            try Self.send(payload, segment, on: sender.socket.rawValue, from: source, to: destination)
        }
    }

    /// Sends on a socket that is bound to the source's port.
    static func send(
        _ payload: UnsafeBufferPointer<UInt8>, _ segment: UInt16 = 0, on socket: CInt, from source: SocketAddress,
        to destination: SocketAddress
    ) throws(SteeringError) -> Bool {
        var from = source.storage.0
        var to = destination.storage.0
        func attempt() -> CInt {
            let sent = csteering_send(socket, payload.baseAddress, payload.count, segment, &from, &to)
            return sent < 0 ? CInt(-sent) : 0
        }
        var error = attempt()
        // A pending ICMP error of an earlier datagram, reported once: the current datagram was not sent.
        if [ECONNREFUSED, EHOSTUNREACH, EPROTO].contains(error) { error = attempt() }
        switch error {
        case 0: return true
        case EAGAIN, ENOBUFS, EINTR: return false
        case EINVAL, ENETUNREACH, EADDRNOTAVAIL: throw .notLocal(source, "sendmsg", error)
        default: throw .failed("sendmsg", error)
        }
    }

    /// Returns the sender socket for the source's port and family. It is bound to the first source that needs it; each
    /// datagram names its own source address.
    private mutating func sender(from source: SocketAddress) throws(SteeringError) -> Sender {
        let key = SocketAddress(.unspecified(source.address.family), port: source.port)
        clock += 1
        if let sender = senders[key] {
            sender.lastUse = clock
            return sender
        }
        while senders.count >= limit { closeOldest() }
        let sender: Sender
        do throws(SteeringError) {
            sender = try Self.makeSender(from: source)
        } catch {
            // The process or the machine has run out of descriptors: close one of ours.
            guard [EMFILE, ENFILE].contains(error.errno), !senders.isEmpty else { throw error }
            closeOldest()
            sender = try Self.makeSender(from: source)
        }
        sender.lastUse = clock
        senders[key] = sender
        return sender
    }

    private mutating func closeOldest() {
        guard let oldest = senders.min(by: { $0.value.lastUse < $1.value.lastUse }) else { return }
        senders[oldest.key] = nil
    }

    private static func makeSender(from source: SocketAddress) throws(SteeringError) -> Sender {
        let socket = try OwnedDescriptor.receiver(on: source, [.reuseAddress, .freeBind, .nonblocking])
        let descriptor = socket.rawValue
        // Unless connected to itself, it would receive packets to its own address once that is no longer steered.
        do throws(SteeringError) {
            try source.pass(to: "connect") { connect(descriptor, $0, $1) }
        } catch { throw .notLocal(source, "connect", error.errno) }
        return Sender(socket)
    }
}

extension SteeringError {
    static func notLocal(_ source: SocketAddress, _ call: String, _ error: CInt) -> SteeringError {
        SteeringError(
            .addressUnavailable,
            "a datagram cannot be sent from \(source): check that the address is routed to this host, with `steer doctor`",
            cause: .systemCall(call, errno: error))
    }
}
