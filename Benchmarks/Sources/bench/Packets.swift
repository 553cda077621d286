import CBench
import Glibc
import Steering

/// A kind of packet: each has its own way through the program, and its own floor.
struct Traffic: Hashable, CaseIterable, CustomStringConvertible {
    let transport: TransportProtocol
    let family: IPFamily

    static let allCases = IPFamily.allCases.flatMap { family in
        TransportProtocol.allCases.map { Traffic(transport: $0, family: family) }
    }

    var description: String { "\(transport)/\(family)" }

    var protocolNumber: UInt32 { UInt32(transport == .tcp ? IPPROTO_TCP : IPPROTO_UDP) }

    func packet(to destination: SocketAddress, from port: UInt16 = 1) -> bench_packet {
        let address = destination.address
        let bits = family == .ipv4 ? address.bits << 96 : address.bits
        func word(_ shift: UInt128) -> UInt32 { UInt32(truncatingIfNeeded: bits >> shift).bigEndian }
        return bench_packet(
            family: UInt32(family == .ipv4 ? AF_INET : AF_INET6),
            protocol: protocolNumber, port: UInt32(destination.port), source_port: UInt32(port),
            address: (word(96), word(64), word(32), word(0)))
    }

    /// A socket that may receive this traffic.
    func socket() throws -> OwnedDescriptor {
        let loopback = SocketAddress(family == .ipv4 ? IPAddress(ipv4: 0x7f00_0001) : IPAddress(ipv6: 1), port: 0)
        return try transport == .tcp ? .listener(on: loopback) : .receiver(on: loopback)
    }
}
