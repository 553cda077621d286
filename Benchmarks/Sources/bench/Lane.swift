import CBench
import Steering

/// One way of serving one kind of traffic, in namespaces of its own, and where to send.
final class Lane {
    let way: Way
    let traffic: Traffic
    let wire: Wire
    private let addresses: [IPAddress]
    private let objects: String
    let targets: [bench_packet]
    private(set) var service: Service!

    init(_ way: Way, _ traffic: Traffic, _ addresses: [IPAddress], objects: String) throws {
        self.way = way
        self.traffic = traffic
        self.addresses = addresses
        self.objects = objects
        wire = try Wire()
        targets = addresses.map { traffic.packet(to: SocketAddress($0, port: Way.port)) }
    }

    var name: String { "\(way.rawValue) \(traffic)" }

    func open() throws {
        service = try wire.asServer { try way.serve(traffic, addresses, objects: objects) }
    }

    /// Ends the sockets, not the namespaces.
    func close() { service = nil }

    /// Where the next slice goes: anywhere.
    func aim(_ count: Int, _ random: inout SeededGenerator) throws {
        try aim((0..<count).map { _ in targets.randomElement(using: &random)! })
    }

    func aim(_ targets: some Collection<bench_packet>) throws {
        _ = try BenchError.check("aiming", bench_aim(Array(targets), UInt32(targets.count)))
    }
}

extension Traffic {
    /// 4,096 addresses that are sent to: all of a /20, or as many of a /44, anywhere in it.
    func addresses(_ random: inout SeededGenerator) -> [IPAddress] {
        let first = Wire.prefixes[family]!.address
        return (0..<4096).map { index in
            if family == .ipv4 { return IPAddress(ipv4: UInt32(first.bits) + UInt32(index)) }
            let host = UInt128(random.next()) << 64 | UInt128(random.next())
            return IPAddress(ipv6: first.bits | host >> 44)
        }
    }
}
