public import AddressPools
import Glibc
public import NIOCore

extension AddressPools.SocketAddress {
    /// Creates a socket address from NIO's; `nil` for a Unix domain socket.
    ///
    /// An IPv4-mapped IPv6 address becomes IPv4.
    ///
    /// - Parameter address: The address to convert.
    public init?(_ address: NIOCore.SocketAddress) {
        switch address {
        case .v4(let inet):
            let bits = UInt32(bigEndian: inet.address.sin_addr.s_addr)
            self.init(IPAddress(ipv4: bits), port: UInt16(bigEndian: inet.address.sin_port))
        case .v6(let inet):
            let words = inet.address.sin6_addr.__in6_u.__u6_addr32
            let bits = [words.0, words.1, words.2, words.3].reduce(UInt128(0)) { $0 << 32 | UInt128($1.bigEndian) }
            self.init(IPAddress(ipv6: bits).unmapped, port: UInt16(bigEndian: inet.address.sin6_port))
        case .unixDomainSocket: return nil
        }
    }
}

extension NIOCore.SocketAddress {
    /// Creates NIO's socket address for an address and port.
    ///
    /// - Parameter address: The address to convert.
    public init(_ address: AddressPools.SocketAddress) {
        switch address.address.family {
        case .ipv4:
            var inet = sockaddr_in()
            inet.sin_family = sa_family_t(AF_INET)
            inet.sin_port = address.port.bigEndian
            inet.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.address.bits).bigEndian
            self.init(inet)
        case .ipv6:
            var inet = sockaddr_in6()
            inet.sin6_family = sa_family_t(AF_INET6)
            inet.sin6_port = address.port.bigEndian
            let words = (0..<4).map { UInt32(truncatingIfNeeded: address.address.bits >> (96 - 32 * $0)).bigEndian }
            inet.sin6_addr.__in6_u.__u6_addr32 = (words[0], words[1], words[2], words[3])
            self.init(inet)
        }
    }
}

extension Channel {
    /// The original destination of an accepted connection: the address and port to which the client connected,
    /// regardless of where the listener is bound.
    ///
    /// For a listener, its bound address. `nil` if the channel is closed or not IPv4 or IPv6.
    public var originalDestination: AddressPools.SocketAddress? {
        localAddress.flatMap { AddressPools.SocketAddress($0) }
    }

    /// The client's address and port of an accepted connection; `nil` if the channel has no IPv4 or IPv6 peer.
    public var clientAddress: AddressPools.SocketAddress? { remoteAddress.flatMap { AddressPools.SocketAddress($0) } }
}
