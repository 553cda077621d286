import Glibc
import KernelTestSupport
import Testing

@testable import Steering

/// What the doctor finds about routes and interfaces, against what packets meet.
@Suite(.kernel)
struct DoctorRoutesTests {
    /// Makes a link with an address of a subnet.
    private static func addSubnet(_ address: String) throws {
        try shell("ip link add d0 type veth peer name e0; ip link set d0 up; ip link set e0 up")
        try shell("ip addr add \(address) brd + dev d0")
    }

    @Test("Loopback's /8, a subnet that is routed here whole, and one of IPv6 are clean, broadcast addresses and all")
    func clean() async throws {
        try await withNetworkNamespace(routing: ["192.0.2.0/24", "2001:db8::/64"]) {
            try verify(doctorFindings(["127.0.0.0/8"]), is: [])
            try Self.addSubnet("192.0.2.1/24")
            try shell("ip addr add 2001:db8::1/64 dev d0 nodad")
            try verify(LocalRoutes().kind(of: IPAddress("192.0.2.255")), is: .broadcast)
            try verify(doctorFindings(["192.0.2.0/24", "2001:db8::/64"]), is: [])
        }
    }

    @Test(
        "A subnet on a link of which the host has one address is noted, and no route is advised that would cut it off")
    func onLink() async throws {
        try await withNetworkNamespace {
            try Self.addSubnet("192.0.2.1/24")
            let note = try doctorFindings(["192.0.2.0/24"])
            try verify(
                note.map(\.severity) == [.note] && note[0].subject == "routes" && note[0].remedy == nil, "\(note)")
            try verify(note[0].message.hasPrefix("of 192.0.2.0/24, which is bound, 25"), note[0].message)
            try verify(doctorFindings(["192.0.2.1/32"]), is: [])
            let broadcast = try doctorFindings(["192.0.2.255/32"])
            try verify(
                broadcast.map(\.subject) == ["addresses"] && broadcast[0].message.contains("broadcast"), "\(broadcast)")

            // Wider than the subnet, and within another one's route.
            try shell("ip route add 10.0.0.0/8 via 192.0.2.7; ip route add default via 192.0.2.7")
            for prefix in ["192.0.0.0/16", "10.1.2.0/24"] {
                let finding = try doctorFindings([prefix]).filter { $0.subject == "routes" }
                try verify(finding.count == 1 && finding[0].remedy == nil, "\(finding)")
                try verify(finding[0].message.contains("would hide the route"), finding[0].message)
            }
            // What goes by the default route may be routed here.
            let free = try doctorFindings(["198.51.100.0/24"]).filter { $0.subject == "routes" }
            try verify(free.map(\.remedy?.description), is: ["ip route add local 198.51.100.0/24 dev lo"])
        }
    }

    @Test("Rules have their say: a table of its own, a mark, an exception, an end")
    func rules() async throws {
        try await withNetworkNamespace {
            try shell("ip route add local 192.0.2.0/24 dev lo table 100; ip rule add to 192.0.2.0/25 lookup 100")
            let half = try PrefixPool("192.0.2.0/24")
            func missing(_ pool: PrefixPool) throws -> [String] {
                let delivery = try LocalRoutes().delivery(of: pool)
                return pool.prefixes.flatMap { delivery.undelivered(in: $0)?.prefixes ?? [] }.map(\.description)
            }
            try verify(missing(half), is: ["192.0.2.128/25"])
            try shell("ip rule add fwmark 1 lookup 100")
            try verify(missing(half), is: [], "with a mark")
            try shell(
                "ip rule add to 192.0.2.64/26 priority 50 prohibit; ip rule add priority 40 to 192.0.2.64/27 lookup local"
            )
            try verify(missing(PrefixPool("192.0.2.0/25")), is: ["192.0.2.64/26"])
            try shell(
                "ip -6 route add local 2001:db8::/48 dev lo; ip -6 route add unreachable 2001:db8:0:7::/64 table local")
            let wide = try PrefixPool("2001:db8::/48")
            let kinds = try [0, 7, 9].map { try LocalRoutes().kind(of: IPAddress("2001:db8:0:\($0)::1")) == .local }
            try verify(kinds, is: [true, false, true], "the kernel's word")
            try verify(missing(wide), is: ["2001:db8:0:7::/64"])
        }
    }

    /// Random routes and rules, and what the kernel says of each address near them.
    @Test("It is what the kernel says, address by address")
    func exact() async throws {
        try await withNetworkNamespace {
            var random = SeededGenerator(seed: 16)
            try Self.addSubnet("192.0.2.129/26")
            var addresses: [IPAddress] = []
            let kinds = ["local", "unicast", "throw", "unreachable", "blackhole"]
            for _ in 0..<40 {
                let prefix = IPPrefix(
                    masking: IPAddress(ipv4: 0xc000_0200 | .random(in: 0...255, using: &random)),
                    length: .random(in: 24...32, using: &random))
                let kind = kinds.randomElement(using: &random)!
                let device = kind == "local" ? "dev lo" : kind == "unicast" ? "dev d0" : ""
                let table = ["local", "main", "100"].randomElement(using: &random)!
                _ = try? shell("ip route add \(kind) \(prefix) \(device) table \(table)")
                addresses += [prefix.first, prefix.last]
            }
            try shell("ip rule add priority 10 to 192.0.2.0/26 lookup 100")
            let delivery = try LocalRoutes().delivery(of: PrefixPool("192.0.2.0/24"))
            for address in Set(addresses + (0...255).map { IPAddress(ipv4: 0xc000_0200 + $0) }) {
                let kind = try LocalRoutes().kind(of: address)
                let pool: PrefixPool =
                    switch kind {
                    case .local: delivery.local
                    case .broadcast, .multicast: delivery.broadcast
                    case .link: delivery.link
                    case .gateway: delivery.gateway
                    case .none, .throw: delivery.unreachable
                    }
                try verify(pool.contains(address), "\(address) is \(kind), and not so here: \(delivery)")
            }
        }
    }

    @Test("A million addresses take no question each")
    func many() async throws {
        try await withNetworkNamespace(routing: ["10.0.0.0/9"]) {
            // Every other address, so that none can be joined.
            let pool = PrefixPool(
                (0..<500_000).map { IPPrefix(masking: IPAddress(ipv4: 0x0a00_0000 + 2 * $0), length: 32) }
                    + [try IPPrefix("10.128.0.0/24")])
            try verify(LocalRoutes().undelivered(in: pool).map(\.description), is: ["10.128.0.0/24"])
        }
    }

    @Test(
        "Groups and the broadcast address are said, and explained as what the kernel does",
        arguments: [
            ("224.0.0.0/24", "224.0.0.9"), ("255.255.255.255/32", "255.255.255.255"), ("ff02::/16", "ff02::9"),
        ])
    func groups(prefix: String, address: String) async throws {
        try await withNetworkNamespace {
            let found = try doctorFindings([prefix]).filter { $0.subject == "addresses" }
            try verify(found.map(\.severity) == [.warning] && found[0].message.contains("matches nothing"), "\(found)")
            try verify(doctorFindings(["\(prefix.contains(":") ? "::" : "0.0.0.0")/0"]), is: [], "everything")

            let steering = try SocketSteering.attach()
            let family = try IPAddress(address).family
            let flow = Flow(.udp, family)
            let socket = try flow.socket()
            try steering.sockets.register(socket.socket, as: "web")
            try steering.bind("web", .udp, to: PrefixPool(prefix), ports: [7000])
            let explained = try steering.explain(
                Packet(.udp, to: SocketAddress(IPAddress(address), port: 7000)), in: .current())
            guard case .unknown(let reason) = explained.kernel else {
                throw Unmet(description: "\(explained.kernel)")
            }
            try verify(reason.contains("steering does not run"), reason)
        }
    }

    @Test("A datagram to a group comes to who joined it, whatever is steered")
    func groupTraffic() async throws {
        try await withNetworkNamespace {
            try shell("ip route add 224.0.0.0/4 dev lo")
            let steering = try SocketSteering.attach()
            try steering.bind(Binding(.udp, to: IPPrefix("224.0.0.0/4"), ports: .all, .refuse))
            let heard = try shell(
                """
                python3 -c '
                from socket import *
                r = socket(AF_INET, SOCK_DGRAM); r.bind(("224.1.2.3", 7000)); r.settimeout(60)
                r.setsockopt(IPPROTO_IP, IP_ADD_MEMBERSHIP, inet_aton("224.1.2.3") + inet_aton("127.0.0.1"))
                s = socket(AF_INET, SOCK_DGRAM); s.sendto(b"x", ("224.1.2.3", 7000))
                print(r.recv(9))'
                """)
            try verify(heard, is: "b'x'\n")
            steering.detach()
        }
    }

    @Test("A renamed interface: packets, explain and the doctor agree")
    func renamed() async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let bpffs = try TestFileSystem()
            let steering = try SocketSteering.load(into: try .current(), bpffs: bpffs.path)
            let flow = Flow(.tcp, .ipv4)
            var server = try flow.server()
            let neighbour = try Neighbour("in0", number: 1)
            try steering.sockets.register(server.descriptor, as: "web")
            try steering.bind("web", .tcp, to: flow.pool, ports: [7000], on: "in0")
            let target = flow.host(1, port: 7000)
            try shell("ip link set in0 down; ip link set in0 name in9; ip link set in9 up")
            try shell("ip addr replace fd00:1::1/64 dev in9 nodad")
            guard case .answered = try server.exchange(with: target, by: neighbour) else {
                throw Unmet(description: "no answer on in9")
            }
            let explained = try steering.explain(Packet(.tcp, to: target, on: "in9"), in: .current())
            try verify(explained.winner?.interface, is: "in0")
            try verify(explained.agrees && explained.caveats.isEmpty, "\(explained)")
            let findings = try Doctor(try .current(), bpffs: bpffs.path).examine()
            try verify(findings.map(\.subject), is: ["interfaces"])
            try verify(findings[0].message.hasPrefix("in0 is now named in9: "), findings[0].message)

            // No change but applying it again takes it from the interface.
            let other4 = try Binding(.both, to: IPPrefix("203.0.113.0/24"), ports: .all, .refuse)
            let onIt = try Binding(.tcp, to: IPPrefix("203.0.113.0/24"), ports: [9], on: "in0", .label("web"))
            let changes: [(String, () throws -> Void)] = [
                ("bind", { try steering.bind(other4) }), ("bind on it", { try steering.bind(onIt) }),
                ("unbind on it", { try steering.unbind(onIt) }), ("unbind", { try steering.unbind(other4) }),
                ("label", { try steering.update { $0["web"] = LabelOptions(withoutSocket: .pass) } }),
                ("register", { try steering.sockets.register(server.descriptor, as: "new") }),
                ("upgrade", { try SocketSteering.upgrade(in: .current(), bpffs: bpffs.path) }),
            ]
            for (name, change) in changes {
                try change()
                let answer = try server.exchange(with: target, by: neighbour)
                guard case .answered = answer else { throw Unmet(description: "\(answer) after \(name)") }
            }
            let remarks = Doctor(try .current(), bpffs: bpffs.path).remarks(on: Policy([onIt]), inForceIn: steering)
            try verify(remarks.map(\.message), is: findings.map(\.message))

            // Another one takes the name.
            try shell("ip link add in0 type veth peer name e0; ip link set in0 up")
            let other = try steering.explain(Packet(.tcp, to: target, on: "in0"), in: .current())
            try verify(other.decision, is: .notSteered)
            let swapped = try Doctor(try .current(), bpffs: bpffs.path).examine()
            try verify(
                swapped.map(\.message.description).filter { $0.contains("another interface is in0") }.count, is: 1)
            try SocketSteering.upgrade(in: .current(), bpffs: bpffs.path)
            try verify(try server.exchange(with: target, by: neighbour), is: .refused)
        }
    }

    @Test("A VRF's member is told from a bridge's port")
    func domains() {
        let link = NetworkLink(index: 7, names: ["red"], master: 0, kind: "vrf")
        #expect(link.taking("p0") == "it is a member of the VRF red, on which its packets arrive; bind on red")
    }

    @Test("A bridge's port is said: its packets arrive on the bridge")
    func members() async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let bpffs = try TestFileSystem()
            let steering = try SocketSteering.load(into: try .current(), bpffs: bpffs.path)
            try shell("ip link add m0 type bridge; ip link set m0 up; ip link add p0 type veth peer name p1")
            try shell("ip link set p0 master m0 && ip link set p0 up")
            let socket = try Flow(.tcp, .ipv4).socket()
            try steering.sockets.register(socket.socket, as: "web")
            try steering.bind("web", .tcp, to: PrefixPool("192.0.2.0/24"), ports: [7000], on: "p0")
            let findings = try Doctor(try .current(), bpffs: bpffs.path).examine()
            try verify(findings.map(\.subject), is: ["interfaces"])
            try verify(
                findings[0].severity == .warning && findings[0].message.contains("bind on m0"), findings[0].message)
            let explained = try steering.explain(
                Packet(.tcp, to: SocketAddress("192.0.2.7:7000"), on: "p0"), in: .current())
            try verify(explained.caveats.contains { $0.hasPrefix("no packet arrives on p0: ") }, "\(explained.caveats)")
            try steering.unbindAll()
            try steering.bind("web", .tcp, to: PrefixPool("192.0.2.0/24"), ports: [7000], on: "m0")
            try verify(Doctor(try .current(), bpffs: bpffs.path).examine(), is: [])
        }
    }
}

/// Loads a steering whose label has a socket of TCP for both families, and returns the findings once the prefixes are bound.
func doctorFindings(
    _ prefixes: [String], ports: PortSet = [7000], _ outcome: Outcome = .label("web"),
    _ protocols: ProtocolMatch = .tcp
) throws -> [Finding] {
    let bpffs = try TestFileSystem()
    let steering = try SocketSteering.load(into: try .current(), bpffs: bpffs.path)
    defer { _ = try? SocketSteering.unload(from: .current(), bpffs: bpffs.path) }
    let socket = try TestSocket(.tcp, on: SocketAddress("[::]:0"), .dualStack)
    try steering.sockets.register(socket.socket, as: "web")
    try steering.apply(Policy(try prefixes.map { try Binding(protocols, to: IPPrefix($0), ports: ports, outcome) }))
    return try Doctor(try .current(), bpffs: bpffs.path).examine()
}
