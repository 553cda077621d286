import KernelTestSupport
import Testing

@testable import Steering

/// What the doctor finds about ports, clients of the host itself and groups of sockets.
@Suite(.kernel)
struct DoctorPortsTests {
    @Test("What takes the answers to this host's own clients is noted, and port 0 is no wildcard")
    func notes() async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            try shell("ip addr add 192.0.2.1/32 dev lo")
            let all = try doctorFindings(["192.0.2.0/24"], ports: .all, .refuse, .both)
            try verify(all.map(\.subject) == ["clients"] && all[0].severity == .note, "\(all)")
            try verify(doctorFindings(["192.0.2.0/24"], ports: .all, .refuse, .tcp), is: [])
            try verify(doctorFindings(["192.0.2.128/25"], ports: .all, .refuse, .both), is: [])
            try verify(doctorFindings(["192.0.2.0/24"], ports: [53], .refuse, .both), is: [])
            let zero = try doctorFindings(["192.0.2.0/24"], ports: [0], .refuse)
            try verify(zero.map(\.subject) == ["ports"] && zero[0].message.contains("`all`"), "\(zero)")
        }
    }

    @Test("Ports are reserved for all bindings at once, and never so many that few are left")
    func reserving() async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            try shell("ip addr add 192.0.2.1/32 dev lo; sysctl -q -w net.ipv4.ip_local_port_range='40000 41000'")
            let bpffs = try TestFileSystem()
            let steering = try SocketSteering.load(into: try .current(), bpffs: bpffs.path)
            func found(_ ports: PortSet...) throws -> [Finding] {
                try steering.apply(
                    Policy(ports.map { try Binding(.udp, to: IPPrefix("192.0.2.1/32"), ports: $0, .refuse) }))
                return try Doctor(try .current(), bpffs: bpffs.path).examine().filter { $0.subject == "clients" }
            }
            for ports: PortSet in [.all, [40000...41000], [40000...40600]] {
                let all = try found(ports)
                try verify(all.map(\.remedy), is: [nil], "\(ports)")
                try verify(all[0].message.hasSuffix(": let them connect"), all[0].message)
            }
            let two = try found([40000...40009], [7, 40500])
            let setting = "net.ipv4.ip_local_reserved_ports=40000-40009,40500"
            try verify(two.map(\.remedy?.description), is: Array(repeating: "sysctl -w \(setting)", count: 2))
            try shell(two[1].remedy!.description)
            try verify(found([40000...40009], [7, 40500]), is: [])
            // The finding covers all bindings together, and counts the ports that are reserved already.
            let added = try Policy([Binding(.udp, to: IPPrefix("192.0.2.1/32"), ports: [40700], .refuse)])
            try steering.update { $0.bind(added.bindings[0]) }
            try steering.update { $0.bind(try! Binding(.udp, to: IPPrefix("192.0.2.0/30"), ports: [40800], .refuse)) }
            let remarks = Doctor(try .current(), bpffs: bpffs.path).remarks(on: added, inForceIn: steering)
            try verify(remarks.map(\.remedy?.description), is: ["sysctl -w \(setting),40700,40800"])
            try shell("sysctl -q -w net.ipv4.ip_local_reserved_ports=40000-40480")
            try verify(found([40481...40520]).map(\.remedy), is: [nil])
        }
    }

    @Test("A group of twenty: those that find no place are not missed; more than ten findings are counted")
    func counts() async throws {
        try await withNetworkNamespace {
            let prefixes = (0..<14).map { "198.51.\($0 * 2).0/24" }
            let routes = try doctorFindings(prefixes).filter { $0.subject == "routes" }
            try verify(routes.count, is: 11)
            try verify(routes[10].message, is: "the same applies to 4 more, 14 in all")

            let bpffs = try TestFileSystem()
            let steering = try SocketSteering.load(into: try .current(), bpffs: bpffs.path)
            let first = try TestSocket(.tcp, on: SocketAddress("127.0.0.1:0"), .reusePort)
            let others = try (0..<19).map { _ in try TestSocket(.tcp, on: first.address, .reusePort) }
            try steering.sockets.register(([first] + others).map { ($0.descriptor, "web") })
            try shell("sysctl -q -w net.ipv4.tcp_migrate_req=1")
            try verify(Doctor(try .current(), bpffs: bpffs.path).examine(), is: [])
            // A follower's standby socket has a slot, too.
            let standby = try StandbySocket(.tcp, .ipv4)
            try steering.sockets.standBy(standby.socket.rawValue, for: "web")
            try verify(steering.sockets.list().count, is: 15)
            try verify(Doctor(try .current(), bpffs: bpffs.path).examine(), is: [])
            let last = try steering.sockets.list().last!
            try steering.sockets.unregister(last.cookie, from: "web")
            try verify(Doctor(try .current(), bpffs: bpffs.path).examine().map(\.subject), is: ["groups"])
        }
    }
}
