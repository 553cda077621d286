import CSteering
import Glibc

/// A socket that silently drops all packets. Registered behind a label's sockets (``SockMap/standBy``), it receives the
/// label's packets while the label has no other socket: a client without an answer retries, by TCP after a second,
/// whereas a refused one gives up.
///
/// For TCP it is a listener with a full accept queue, which holds one connection of its own, so the kernel drops all
/// others (`sk_acceptq_is_full`). A socket filter would do the same, but not every process may attach one.
final class StandbySocket: Sendable {
    let socket: OwnedDescriptor

    /// Creates a socket in the calling thread's network namespace. It is bound to loopback, so that no other host
    /// reaches it.
    ///
    /// - Throws: `addressUnavailable` if the namespace lacks the family, or steers its loopback address elsewhere;
    ///   `systemCall`.
    init(_ transport: TransportProtocol, _ family: IPFamily) throws(SteeringError) {
        let loopback = family == .ipv4 ? IPAddress(ipv4: 0x7f00_0001) : IPAddress(ipv6: 1)
        let address = SocketAddress(loopback, port: 0)
        switch transport {
        case .udp: socket = try .receiver(on: address)
        case .tcp:
            socket = try .listener(on: address, .nonblocking, backlog: 0)
            try Self.fill(socket)
        }
    }

    /// Fills the listener's accept queue, which has room for one connection.
    private static func fill(_ listener: borrowing OwnedDescriptor) throws(SteeringError) {
        let address = try listener.localAddress()
        let kind = CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let client = OwnedDescriptor(
            owning: try systemCall("socket") {
                Glibc.socket(address.address.family == .ipv4 ? AF_INET : AF_INET6, kind, 0)
            })
        do throws(SteeringError) {
            try address.pass(to: "connect") { connect(client.rawValue, $0, $1) }
        } catch {
            guard error.errno == EINPROGRESS else { throw error }
        }
        var waiting = pollfd(fd: listener.rawValue, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, 100) == 1 else {
            throw SteeringError(
                .addressUnavailable,
                "connections to \(address) do not arrive there: leave a loopback port unsteered")
        }
    }
}
