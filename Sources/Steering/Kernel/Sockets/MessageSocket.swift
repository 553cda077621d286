import CSteering
import Glibc

/// One end of a Unix SOCK_SEQPACKET connection, whose messages can carry descriptors (SCM_RIGHTS). Closed with the last
/// reference.
package final class MessageSocket: Sendable {
    /// The maximum number of descriptors in one message.
    package static let maximumDescriptors = Int(CSTEERING_MAX_DESCRIPTORS)

    /// The socket's descriptor.
    package let socket: SharedDescriptor

    /// Wraps one end of a connection.
    package init(_ socket: SharedDescriptor) { self.socket = socket }

    /// Takes ownership of one end of a connection.
    package convenience init(_ socket: consuming OwnedDescriptor) { self.init(SharedDescriptor(socket)) }

    /// Connects to the listener at a path.
    ///
    /// - Parameters:
    ///   - path: The path of the socket.
    ///   - timeout: After this time, sending and receiving fail with EAGAIN, and so does connecting to a full queue.
    /// - Throws: `systemCall`; `invalidAddress` if the path is empty or too long.
    package convenience init(connectedTo path: String, timeout: Duration) throws(SteeringError) {
        let made = try Self.make()
        let descriptor = made.rawValue
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            var limit = timeval(timeout)
            try systemCall("setsockopt") {
                setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
            }
        }
        try UnixPath(path).pass(to: "connect") { connect(descriptor, $0, $1) }
        self.init(made)
    }

    /// Creates a connected pair.
    ///
    /// - Parameter disposal: Closes the first end when its last reference is released; nil to close it directly.
    /// - Throws: `systemCall`.
    package static func pair(
        disposal: (any DescriptorDisposal)? = nil
    ) throws(SteeringError) -> (MessageSocket, MessageSocket) {
        var ends: [CInt] = [-1, -1]
        try systemCall("socketpair") {
            socketpair(AF_UNIX, CInt(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends)
        }
        return (
            MessageSocket(SharedDescriptor(OwnedDescriptor(owning: ends[0]), disposal: disposal)),
            MessageSocket(OwnedDescriptor(owning: ends[1]))
        )
    }

    /// Sends a message. The descriptors remain open in this process.
    ///
    /// - Throws: `systemCall`.
    package func send(_ bytes: [UInt8], _ descriptors: [CInt] = []) throws(SteeringError) {
        while true {
            let sent = csteering_send_message(socket.rawValue, bytes, bytes.count, descriptors, descriptors.count)
            if sent == -Int(EINTR) { continue }
            if sent < 0 { throw .failed("sendmsg", CInt(-sent)) }
            return
        }
    }

    /// A received message.
    package struct Message: Sendable {
        package let bytes: [UInt8]
        /// The received descriptors, close-on-exec.
        package let descriptors: [SharedDescriptor]
        /// Whether the message was truncated because it exceeds the limit (MSG_TRUNC).
        package let isCut: Bool
        /// Whether descriptors were discarded: the process had no room for them, or did not want them (MSG_CTRUNC).
        package let lacksDescriptors: Bool
    }

    /// Receives a message.
    ///
    /// - Parameters:
    ///   - limit: The maximum size of the message, in bytes.
    ///   - takingDescriptors: Whether to receive descriptors. If not, the kernel discards them.
    ///   - disposal: Closes received descriptors when their last reference is released; nil to close them directly.
    /// - Returns: Nil if the other end has closed the connection or sent an empty message.
    /// - Throws: `systemCall`.
    package func receive(
        limit: Int, takingDescriptors: Bool = true, disposal: (any DescriptorDisposal)? = nil
    ) throws(SteeringError) -> Message? {
        var bytes = [UInt8](repeating: 0, count: limit)
        var numbers = [CInt](repeating: -1, count: takingDescriptors ? Self.maximumDescriptors : 0)
        var facts = csteering_message()
        while true {
            let count = numbers.withUnsafeMutableBufferPointer { numbers in
                csteering_receive_message(
                    socket.rawValue, &bytes, limit, takingDescriptors ? numbers.baseAddress : nil, &facts)
            }
            if count == -Int(EINTR) { continue }
            if count < 0 { throw .failed("recvmsg", CInt(-count)) }
            // Take ownership first, so that an early return closes them.
            let descriptors = numbers.prefix(facts.descriptor_count).map {
                SharedDescriptor(OwnedDescriptor(owning: $0), disposal: disposal)
            }
            if count == 0 { return nil }
            bytes.removeLast(limit - count)
            return Message(
                bytes: bytes, descriptors: descriptors, isCut: facts.is_cut, lacksDescriptors: facts.lacks_descriptors)
        }
    }

    /// Waits until there is a message to receive, or the other end has closed the connection.
    ///
    /// - Parameter limit: How long to wait.
    /// - Returns: False after that time.
    package func isReadable(within limit: Duration) -> Bool {
        let end = ContinuousClock.now + limit
        while true {
            var state = pollfd(fd: socket.rawValue, events: Int16(POLLIN), revents: 0)
            let left = max((end - .now) / .milliseconds(1), 0)
            let ready = poll(&state, 1, CInt(left.rounded(.up)))
            if ready >= 0 || errno != EINTR { return ready > 0 }
        }
    }

    /// Whether the other end has not yet received all messages.
    package var hasUnread: Bool {
        var count: CInt = 0
        return ioctl(socket.rawValue, UInt(TIOCOUTQ), &count) == 0 && count > 0
    }

    package static func make() throws(SteeringError) -> OwnedDescriptor {
        OwnedDescriptor(
            owning: try systemCall("socket") {
                Glibc.socket(AF_UNIX, CInt(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0)
            })
    }
}

/// The address of a Unix socket.
package struct UnixPath {
    private let address: sockaddr_un
    private let size: socklen_t

    /// Takes a path.
    ///
    /// - Throws: `invalidAddress` if the path is empty, too long, or contains a NUL.
    package init(_ path: String) throws(SteeringError) {
        guard !path.isEmpty, !path.utf8.contains(0), let address = Self.address(Array(path.utf8)) else {
            throw SteeringError(
                .invalidAddress,
                "\(path.debugDescription) cannot be the path of a Unix socket: give 1 to 107 bytes without a NUL")
        }
        self.address = address
        size = socklen_t(MemoryLayout<sockaddr_un>.size)
    }

    /// Takes a path, or an abstract name written with `@` in place of the leading NUL; returns nil for anything else.
    package init?(named text: String) {
        var name = Array(text.utf8)
        guard let first = name.first, [UInt8(ascii: "/"), UInt8(ascii: "@")].contains(first) else { return nil }
        if first == UInt8(ascii: "@") { name[0] = 0 }
        guard let address = Self.address(name) else { return nil }
        self.address = address
        // Every byte of an abstract name is significant.
        size = socklen_t(MemoryLayout<sockaddr_un>.offset(of: \.sun_path)! + name.count)
    }

    private static func address(_ path: [UInt8]) -> sockaddr_un? {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let fits = withUnsafeMutableBytes(of: &address.sun_path) { room in
            // Leave a terminating NUL, on which some programs rely.
            guard path.count < room.count else { return false }
            room.copyBytes(from: path)
            return true
        }
        return fits ? address : nil
    }

    package func pass(
        to name: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt
    ) throws(SteeringError) {
        try systemCall(name) {
            withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, size) }
            }
        }
    }
}

extension timeval {
    fileprivate init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self.init(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
    }
}
