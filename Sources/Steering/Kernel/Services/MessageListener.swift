import CSteering
import Glibc

/// A Unix socket at which clients connect to exchange messages.
package final class MessageListener: Sendable {
    /// The descriptor, non-blocking.
    package let socket: OwnedDescriptor

    /// Takes a socket that listens already, as a service manager passes it.
    ///
    /// - Throws: `invalidEnvironment` for another kind of socket.
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
                "the socket that was passed is not a Unix socket of messages that listens: use ListenSequentialPacket=")
        }
        try OwnedDescriptor.setNonblocking(descriptor)
    }

    /// Listens at a path, to which every user may connect: who may do what is found out by asking who it is.
    ///
    /// - Throws: `addressUnavailable`, also where somebody listens already.
    package init(at path: String) throws(SteeringError) {
        let made = try MessageSocket.make()
        let descriptor = made.rawValue
        let address = try UnixPath(path)
        // What a killed process left at the path is in the way of bind; whoever still listens there is not removed.
        guard try !Self.isHeard(at: path) else {
            throw SteeringError(
                .addressUnavailable, "somebody listens at \(path) already: end it first, or choose another path")
        }
        var status = stat()
        if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK { unlink(path) }
        do throws(SteeringError) {
            try address.pass(to: "bind") { bind(descriptor, $0, $1) }
            try systemCall("chmod") { chmod(path, 0o666) }
            try systemCall("listen") { listen(descriptor, 1024) }
            try OwnedDescriptor.setNonblocking(descriptor)
        } catch {
            throw SteeringError(
                .addressUnavailable, "cannot listen at \(path) (\(describe(errno: error.errno))): choose another path",
                cause: error.cause)
        }
        socket = made
    }

    /// Whether somebody listens at a path. That it could not be found out is an error.
    private static func isHeard(at path: String) throws(SteeringError) -> Bool {
        do throws(SteeringError) {
            _ = try MessageSocket(connectedTo: path, timeout: .seconds(1))
            return true
        } catch {
            switch error.errno {
            case ENOENT, ENOTDIR, ECONNREFUSED: return false
            // A queue that is full, or a socket of another type.
            case EAGAIN, EPROTOTYPE: return true
            default: throw error
            }
        }
    }

    /// The next client; nil when none waits.
    ///
    /// - Parameter disposal: What takes the connection when it is let go of, with all that the client has sent over it
    ///   and nobody has received; nil to close it.
    /// - Throws: `systemCall` when there is no room for another descriptor.
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
