import CBench
import Glibc
import Steering

/// How one server can be made to answer on every address of a prefix, on 13 ports.
enum Way: String, CaseIterable {
    /// A program that gives everything to one socket, and nothing else: the least that steering can cost.
    case floor
    /// This library.
    case steered
    /// The design of cloudflare/tubular.
    case lpm = "LPM trie"
    /// Wildcard sockets, one a port; every other address and program of the host loses these ports.
    case wildcard = "INADDR_ANY"
    /// The same where a program looks at each packet and passes it: what the hook itself costs.
    case emptyProgram = "INADDR_ANY + empty program"
    case socketAnAddress = "socket an address"
    case tproxy = "TPROXY"

    static let ports: ClosedRange<UInt16> = 80...92
    /// The one that is sent to.
    static let port: UInt16 = 90
    /// Where a socket is bound that gets other addresses' packets.
    private static let elsewhere: UInt16 = 8080
    private static let label: Label = "served"

    /// How many sk_lookup programs there are.
    private var programs: Int {
        switch self {
        case .floor, .steered, .lpm, .emptyProgram: 1
        case .wildcard, .socketAnAddress, .tproxy: 0
        }
    }

    /// Sets the calling thread's namespace up as a server. Returns what must be kept.
    func serve(_ traffic: Traffic, _ addresses: [IPAddress], objects: String) throws -> Service {
        let prefix = Wire.prefixes[traffic.family]!
        if self != .tproxy { try shell("ip route replace local \(prefix) dev lo") }
        let bindings = try Wire.prefixes.values.map {
            try Binding(.both, to: $0, ports: PortSet(PortRange(Self.ports)), .label(Self.label))
        }
        let elsewhere = traffic.packet(to: SocketAddress(traffic.loopback, port: Self.elsewhere))
        func everywhere(_ address: IPAddress) -> [bench_packet] {
            Self.ports.map { traffic.packet(to: SocketAddress(address, port: $0)) }
        }
        let service: Service
        func minimal(_ program: String) throws -> CInt {
            try BenchError.check(
                "loading \(program)", bench_load("\(objects)/floor.bpf.o", program, [service.sockets[0]], 1))
        }
        switch self {
        case .floor:
            service = try Service([elsewhere])
            try attach(minimal("assign"))
        case .steered:
            service = try Service([elsewhere])
            let steering = try SocketSteering.attach()
            try steering.sockets.register(service.sockets[0], as: Self.label)
            try steering.apply(Policy(bindings))
            service.steering = steering
        case .lpm:
            let programs = try Programs(objects: objects)
            let program = try programs.lpm(bindings)
            service = try Service(taking: programs.socket(Self.label, traffic))
            try attach(program)
        case .wildcard, .emptyProgram:
            service = try Service(everywhere(traffic.wildcard))
            if self == .emptyProgram { try attach(minimal("empty")) }
        case .socketAnAddress:
            func sockets(_ port: UInt16) -> [bench_packet] {
                addresses.map { traffic.packet(to: SocketAddress($0, port: port)) }
            }
            service = try Service(sockets(Self.port))
            for port in Self.ports where port != Self.port { try service.hold(sockets(port)) }
        case .tproxy:
            service = try Service([elsewhere], transparent: true)
            try redirect(traffic, prefix)
        }
        guard try NetworkNamespace.current().attachedPrograms().count == programs else {
            throw BenchError("\(rawValue): not \(programs) programs are attached")
        }
        return service
    }

    private func attach(_ program: CInt) throws {
        _ = try BenchError.check("attaching", bench_attach(program))
    }

    /// The recipe of the kernel's documentation, in its quickest form: one rule, a range of ports, and a
    /// socket that is found without a wildcard.
    private func redirect(_ traffic: Traffic, _ prefix: IPPrefix) throws {
        let (table, ip) = traffic.family == .ipv4 ? ("ip", "ip") : ("ip6", "ip -6")
        let target = SocketAddress(traffic.loopback, port: Self.elsewhere)
        try shell(
            """
            \(ip) rule add fwmark 1 lookup 100
            \(ip) route add local default dev lo table 100
            nft -f - <<END
            table \(table) steering {
              chain prerouting {
                type filter hook prerouting priority mangle
                \(table) daddr \(prefix) \(traffic.transport) dport \(Self.ports.lowerBound)-\(Self.ports.upperBound) \
                  tproxy to \(target) meta mark set 1 accept
              }
            }
            END
            """)
    }
}

/// The sockets of a server, and what leads to them.
final class Service {
    /// Those that are sent to.
    let sockets: [CInt]
    /// The processes of the others.
    private var holders: [CInt] = []
    var steering: SocketSteering?
    /// Waits for all the sockets.
    let poller: CInt

    convenience init(_ addresses: [bench_packet], transparent: Bool = false) throws {
        try self.init(
            try addresses.map { address in
                try withUnsafePointer(to: address) { try BenchError.check("bind", bench_receiver($0, transparent)) }
            })
    }

    /// With a socket that someone else has made.
    convenience init(taking socket: CInt) throws { try self.init([try BenchError.check("dup", dup(socket))]) }

    private init(_ sockets: [CInt]) throws {
        self.sockets = sockets
        poller = try BenchError.check("epoll_create", bench_poller())
        for socket in sockets { _ = try BenchError.check("epoll_ctl", bench_watch(poller, socket)) }
    }

    func hold(_ addresses: [bench_packet]) throws {
        holders.append(try BenchError.check("bind", bench_hold(addresses, UInt32(addresses.count))))
    }

    deinit {
        for holder in holders { _ = bench_stop(holder) }
        close(poller)
        for socket in sockets { close(socket) }
    }
}

extension Traffic {
    var loopback: IPAddress { family == .ipv4 ? IPAddress(ipv4: 0x7f00_0001) : IPAddress(ipv6: 1) }
    var wildcard: IPAddress { family == .ipv4 ? IPAddress(ipv4: 0) : IPAddress(ipv6: 0) }
}
