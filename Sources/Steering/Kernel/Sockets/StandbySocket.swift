import CSteering
import Glibc

/// A socket that drops whatever comes, without an answer. Registered behind a label's sockets (``SockMap/standBy``) it
/// takes the label's packets in the moment in which the label has no other: a client that is not answered tries again,
/// by TCP after a second, where one that is refused gives up.
///
/// Over TCP it is a listener whose queue is full, with one connection of its own: the kernel drops what comes then
/// (`sk_acceptq_is_full`). A socket filter would do the same, but not every process may attach one.
final class StandbySocket: Sendable {
    let socket: OwnedDescriptor

    /// Makes one in the calling thread's network namespace. Nobody can reach it: it is bound to loopback.
    ///
    /// - Throws: `addressUnavailable` where the namespace has no such family, or steers its loopback address elsewhere;
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

    /// Leaves a connection in the listener's queue, which has room for one.
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
