import CSteering
import Glibc

/// A socket that drops whatever comes, without an answer. Registered behind a label's sockets (``SockMap/standBy``) it
/// takes the label's packets in the moment in which the label has no other: a client that is not answered tries again,
/// by TCP after a second, where one that is refused gives up.
final class StandbySocket: Sendable {
    let socket: OwnedDescriptor

    /// Makes one in the calling thread's network namespace. Nobody can reach it: it is bound to loopback.
    ///
    /// - Throws: `addressUnavailable` where the namespace has no such family; `systemCall`.
    init(_ transport: TransportProtocol, _ family: IPFamily) throws(SteeringError) {
        let loopback = family == .ipv4 ? IPAddress(ipv4: 0x7f00_0001) : IPAddress(ipv6: 1)
        let address = SocketAddress(loopback, port: 0)
        switch transport {
        case .tcp: socket = try .listener(on: address, backlog: 1)
        case .udp: socket = try .receiver(on: address)
        }
        try call("setsockopt(SO_ATTACH_FILTER)", csteering_drop_all(socket.rawValue))
    }
}
