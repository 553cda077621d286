import CSteering
import Glibc
import Steering

/// A listening Unix socket for ``MessageSocket`` connections.
package final class MessageListener: Sendable {
    /// The listening descriptor, nonblocking.
    package let socket: OwnedDescriptor

    /// Takes ownership of a socket that already listens, as a service manager passes it.
    ///
    /// - Throws: `invalidEnvironment` if it is another kind of socket.
    package init(_ socket: consuming OwnedDescriptor) throws(SteeringError) {
        self.socket = socket
        let descriptor = self.socket.rawValue
        func option(_ name: CInt) -> CInt {
            var value: CInt = -1
            var size = socklen_t(MemoryLayout<CInt>.size)
            return getsockopt(descriptor, SOL_SOCKET, name, &value, &size) == 0 ? value : -1
        }
        guard option(SO_DOMAIN) == AF_UNIX, option(CInt(SO_TYPE)) == CInt(SOCK_SEQPACKET.rawValue),
            option(SO_ACCEPTCONN) == 1
        else {
            throw SteeringError(
                .invalidEnvironment,
                "the socket that was passed is not a listening Unix socket of type SOCK_SEQPACKET: use ListenSequentialPacket="
            )
        }
        try OwnedDescriptor.setNonblocking(descriptor)
    }

    /// Listens at a path. Every user may connect: the service authorizes each client by its peer credentials.
    ///
    /// - Throws: `addressUnavailable`, also if another process listens there; `invalidAddress`, `systemCall`.
    package init(at path: String) throws(SteeringError) {
        let made = try MessageSocket.make()
        let descriptor = made.rawValue
        let address = try UnixPath(path)
        // A socket file left by a killed process makes bind fail, so remove it, unless a process still listens there.
        guard try !Self.isHeard(at: path) else {
            throw SteeringError(
                .addressUnavailable, "another process already listens at \(path): end it first, or choose another path")
        }
        var status = stat()
        if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK { unlink(path) }
        do throws(SteeringError) {
            try address.pass(to: "bind") { bind(descriptor, $0, $1) }
            try systemCall("chmod") { chmod(path, 0o666) }
            try systemCall("listen") { listen(descriptor, 256) }
            try OwnedDescriptor.setNonblocking(descriptor)
        } catch {
            throw SteeringError(
                .addressUnavailable, "cannot listen at \(path) (\(describe(errno: error.errno))): choose another path",
                cause: error.cause)
        }
        socket = made
    }

    /// Whether a process listens at a path.
    private static func isHeard(at path: String) throws(SteeringError) -> Bool {
        do throws(SteeringError) {
            _ = try MessageSocket(connectedTo: path, timeout: .seconds(1))
            return true
        } catch {
            switch error.errno {
            case ENOENT, ENOTDIR, ECONNREFUSED: return false
            // A full accept queue, or a socket of another type.
            case EAGAIN, EPROTOTYPE: return true
            default: throw error
            }
        }
    }

    /// Accepts the next connection; returns nil if none is waiting.
    ///
    /// - Parameter disposal: Closes the connection when its last reference is released, along with unread messages and
    ///   their descriptors; nil to close it directly.
    /// - Throws: `systemCall`, such as when the process has no descriptor left.
    package func accept(disposal: (any DescriptorDisposal)? = nil) throws(SteeringError) -> MessageSocket? {
        while true {
            let accepted = csteering_accept(socket.rawValue)
            if accepted >= 0 {
                return MessageSocket(SharedDescriptor(OwnedDescriptor(owning: accepted), disposal: disposal))
            }
            switch -accepted {
            case EAGAIN: return nil
            case EINTR, ECONNABORTED: continue
            default: throw .failed("accept4", -accepted)
            }
        }
    }
}
