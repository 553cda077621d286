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

    func packet(to address: IPAddress, port: UInt16) -> bench_packet {
        let bits = family == .ipv4 ? address.bits << 96 : address.bits
        func word(_ shift: UInt128) -> UInt32 { UInt32(truncatingIfNeeded: bits >> shift).bigEndian }
        return bench_packet(
            family: UInt32(family == .ipv4 ? AF_INET : AF_INET6),
            protocol: UInt32(transport == .tcp ? IPPROTO_TCP : IPPROTO_UDP), port: UInt32(port),
            address: (word(96), word(64), word(32), word(0)))
    }

    /// A socket that may receive this traffic.
    func socket() throws -> OwnedDescriptor {
        let loopback = SocketAddress(family == .ipv4 ? IPAddress(ipv4: 0x7f00_0001) : IPAddress(ipv6: 1), port: 0)
        return try transport == .tcp ? .listener(on: loopback) : .receiver(on: loopback)
    }
}

/// A policy to measure, and an address and a port that it steers.
struct Scenario {
    let name: String
    let policy: Policy
    let steered: [IPFamily: IPAddress]
    let port: UInt16

    static func all() throws -> [Scenario] {
        let ports: PortSet = [80...92]
        let two: [IPFamily: [IPPrefix]] = [
            .ipv4: [try IPPrefix("192.0.0.0/20")], .ipv6: [try IPPrefix("2001:db8::/44")],
        ]
        let many: [IPFamily: [IPPrefix]] = [
            .ipv4: (0..<500).map { IPPrefix(masking: IPAddress(ipv4: 0x0a00_0000 | scattered($0) << 8), length: 24) },
            .ipv6: (0..<500).map {
                IPPrefix(masking: IPAddress(ipv6: 0x2001_0db8 << 96 | UInt128(scattered($0)) << 80), length: 48)
            },
        ]
        return [
            try Scenario("2 prefixes x 13 ports", two) { _ in ("one", ports) },
            try Scenario("1,000 prefixes x 13 ports", many) { _ in ("one", ports) },
            // The sets overlap, so that no port decides alone.
            try Scenario("1,000 prefixes, 10 labels", many) {
                ("label-\($0 % 10)", [.init(UInt16(80 + $0 % 10)...UInt16(92 + $0 % 10))])
            },
        ]
    }

    private init(
        _ name: String, _ prefixes: [IPFamily: [IPPrefix]], _ binding: (Int) -> (label: String, ports: PortSet)
    ) throws {
        var bindings: [Binding] = []
        for (index, prefix) in prefixes.values.flatMap({ $0.enumerated() }) {
            let (label, ports) = binding(index)
            bindings.append(try Binding(.both, to: prefix, ports: ports, .label(Label(label))))
        }
        self.name = name
        policy = Policy(bindings)
        steered = prefixes.mapValues { IPAddress(inside: $0[$0.count / 2]) }
        port = 90
    }

    /// Numbers of 16 bits, each once, in no order: neighbours do not share nodes.
    private static func scattered(_ index: Int) -> UInt32 { UInt32(index) &* 40_503 & 0xffff }

    /// Two addresses and ports that no scenario steers.
    static let strangers: [IPFamily: IPAddress] = [
        .ipv4: IPAddress(ipv4: 0xcb00_7107), .ipv6: IPAddress(ipv6: 0x2a00_0001 << 96 | 7),
    ]
    static let closedPort: UInt16 = 70
}

extension IPAddress {
    /// The seventh address of a prefix.
    fileprivate init(inside prefix: IPPrefix) {
        let first = prefix.address
        self = first.family == .ipv4 ? IPAddress(ipv4: UInt32(first.bits) + 7) : IPAddress(ipv6: first.bits + 7)
    }
}
