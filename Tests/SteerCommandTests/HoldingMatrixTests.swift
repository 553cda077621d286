import Foundation
import KernelTestSupport
import Steering
import Testing

/// Servers are asked in both families and by both protocols, however their sockets are bound, steered to and held: what
/// works in one way only is found here.
@Suite(.kernel)
struct HoldingMatrixTests {
    /// A server, and the line that runs it on sockets of its own or on those that it is passed.
    enum Server: String, CaseIterable {
        case dns, echo

        func command(_ place: Place, on hosts: [String]) throws -> String {
            switch self {
            case .dns:
                let listen = hosts.map { "--listen \($0):\(place.port)" }.joined(separator: " ")
                return
                    "\(try Programs.path(of: "steer-dns")) serve --policy \(place.names) --workers 1 --no-response-limit \(listen)"
            case .echo:
                let sockets = hosts.flatMap { ["tcp=\($0):\(place.port)", "udp=\($0):\(place.port)"] }
                return "\(try Programs.path(of: "steering-probe")) serve \(sockets.joined(separator: " "))"
            }
        }
    }

    /// How the sockets come to their packets.
    enum Way: String, CaseIterable {
        /// Bound to any address, and not steered to.
        case unsteered
        /// Registered from outside in what is loaded.
        case loadedLoopback, loadedAny
        /// Registered from outside in what the test has attached.
        case attachedLoopback, attachedAny
        /// Made and handed to steerd by steerd-run, and passed ($LISTEN_FDS) to an unprivileged server.
        case passedLoopback, passedAny
        /// A dual-stack socket for each protocol, sent to steerd by a program of its own, and passed.
        case passedDualStack

        /// Where the sockets are bound.
        var hosts: [String] {
            switch self {
            case .loadedLoopback, .attachedLoopback, .passedLoopback: ["127.0.0.1", "[::1]"]
            default: ["0.0.0.0", "[::]"]
            }
        }
    }

    struct Place: Sendable {
        let steerd: SteerdBed
        let names: String
        let asker: String
        var bed: Bed { steerd.bed }
        var port = 5300
        static let ownAddresses = ["127.0.0.1", "::1", "198.51.100.7", "2001:db8:99::7"]
        static let routedAddresses = ["192.0.2.9", "192.0.2.200", "2001:db8::9", "2001:db8::ffff:1"]
    }

    private static let policy = """
        labels: { all: { allow: { users: 65534 } } }
        bindings:
          - { label: all, protocols: tcp+udp, prefixes: [192.0.2.0/24, "2001:db8::/64"], ports: 5300 }

        """

    private static let names = """
        { "pools": { "web": ["203.0.113.7/32", "2001:db8:1::7/128"] },
          "names": { "zones": ["zone"], "policies": [{ "name": "default", "pool": "web" }] } }
        """

    /// Asks each address by UDP and by TCP with a query that an echo is an answer to, too; prints what is wrong.
    private static let asker = """
        import socket, struct, sys
        port = int(sys.argv[1])
        name = b'\\3www\\7example\\3com\\0'
        query = struct.pack('!HHHHHH', 0x1234, 0x100, 1, 0, 0, 0) + name + struct.pack('!HH', 1, 1)
        for address in sys.argv[2:]:
            family = socket.AF_INET6 if ':' in address else socket.AF_INET
            try:
                with socket.socket(family, socket.SOCK_DGRAM) as client:
                    client.settimeout(5)
                    client.sendto(query, (address, port))
                    answer, source = client.recvfrom(4096)
                    if answer[:2] != query[:2] or len(answer) < len(query): print(address, 'udp', answer)
                    if source[:2] != (address, port): print(address, 'udp is answered from', source)
            except OSError as error: print(address, 'udp', error)
            try:
                with socket.create_connection((address, port), 5) as client:
                    client.sendall(struct.pack('!H', len(query)) + query)
                    answer = client.recv(4096)
                    if answer[2:4] != query[:2] or len(answer) < 2 + len(query): print(address, 'tcp', answer)
            except OSError as error: print(address, 'tcp', error)
        """

    private func withPlace(_ body: @escaping @Sendable (Place) throws -> Void) async throws {
        try await withSteerdBed { steerd in
            let bed = steerd.bed
            try shell("ip addr add 198.51.100.7/32 dev lo; ip addr add 2001:db8:99::7/128 dev lo nodad")
            _ = try bed.write(Self.policy, to: "policy.yaml")
            _ = try bed.write(
                "$ORIGIN example.com.\n$TTL 60\n@ SOA ns1 host 1 2h 1h 2w 300\n@ NS ns1\nns1 A 192.0.2.53\n", to: "zone"
            )
            try body(
                Place(
                    steerd: steerd, names: bed.write(Self.names, to: "names.json"),
                    asker: bed.write(Self.asker, to: "asker.py")))
        }
    }

    private static func start(_ command: String, _ place: Place) throws -> Background {
        let server = try Background(command, in: place.bed)
        try eventually("\(command) serves") {
            if try server.output.contains("serving") { return true }
            let error = try server.error
            if error.contains("cannot") { throw Unmet(description: "\(command): \(error)") }
            return false
        }
        return server
    }

    /// Starts the server in a way, asks it, ends it; what was wrong.
    private static func ask(_ server: Server, _ way: Way, _ place: Place) throws -> String {
        var place = place
        var addresses = Place.routedAddresses
        if !way.hosts[0].hasPrefix("127") { addresses += Place.ownAddresses }
        var attached: SocketSteering?
        let running: Background
        switch way {
        case .unsteered:
            place.port = 5301
            running = try start(server.command(place, on: way.hosts), place)
        case .loadedLoopback, .loadedAny:
            running = try start(server.command(place, on: way.hosts), place)
            for host in way.hosts {
                for transport in ["tcp", "udp"] {
                    try place.bed.steer("register all --pid \(running.pid) \(transport) \(host):\(place.port)")
                }
            }
        case .attachedLoopback, .attachedAny:
            running = try start(server.command(place, on: way.hosts), place)
            let steering = try SocketSteering.attach()
            attached = steering
            for host in way.hosts {
                for transport in TransportProtocol.allCases {
                    let selector = SocketSelector(transport, try SocketAddress("\(host):\(place.port)"))
                    let sockets = try ProcessSocket.onlySocket(of: running.pid, matching: selector)
                    for socket in sockets { try steering.sockets.register(socket.socket.rawValue, as: "all") }
                }
            }
            for flow in Flow.all {
                try steering.bind("all", flow.transport == .tcp ? .tcp : .udp, to: flow.pool, ports: [5300])
            }
        case .passedLoopback, .passedAny:
            let sockets = way.hosts.flatMap { host in ["tcp", "udp"].map { "--listen \($0):\(host):\(place.port)" } }
            running = try start(
                "\(SteerdBed.webUser) \(try Programs.path(of: "steerd-run")) all --steerd \(place.steerd.socket) "
                    + "\(sockets.joined(separator: " ")) -- \(server.command(place, on: []))", place)
        case .passedDualStack:
            let program = try place.bed.write(
                SteerdBed.helpers.replacing("PATH", with: place.steerd.socket) + """

                    import sys
                    made = []
                    for kind in SOCK_STREAM, SOCK_DGRAM:
                        s = socket(AF_INET6, kind)
                        s.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 0)
                        # Connections of the server before may wait in TIME_WAIT.
                        if kind == SOCK_STREAM: s.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
                        s.bind(('::', \(place.port)))
                        if kind == SOCK_STREAM: s.listen()
                        made.append(s)
                    client = connected()
                    send_fds(client, [b'steering/1 register all replacing'], [s.fileno() for s in made])
                    assert client.recv(4096).startswith(b'ok')
                    for number, s in enumerate(made): os.dup2(s.fileno(), 103 + number)
                    for number in range(2): os.dup2(103 + number, 3 + number, True)
                    os.environ['LISTEN_PID'], os.environ['LISTEN_FDS'] = str(os.getpid()), '2'
                    os.execv(sys.argv[1], sys.argv[1:])
                    """, to: "dual-\(server).py")
            running = try start(
                "\(SteerdBed.webUser) \(Bed.python) \(program) \(server.command(place, on: []))", place)
        }
        defer { withExtendedLifetime(attached) {} }
        let wrong = try shell("\(Bed.python) \(place.asker) \(place.port) \(addresses.joined(separator: " "))")
        let said = try running.output.split(separator: "\n").filter { $0.contains("not sent") }.joined(separator: "\n")
        attached?.detach()
        if way.rawValue.hasPrefix("passed") { try place.steerd.client.unregister("all") }
        running.end()
        try eventually("its sockets are closed") {
            try shell("ss -Hltun 'sport = :\(place.port)' | wc -l") == "0\n"
        }
        return wrong + said
    }

    @Test(
        "UDP and TCP of both families are answered, whoever holds the sockets, wherever they are bound",
        arguments: Server.allCases)
    func everyWay(server: Server) async throws {
        try await withPlace { place in
            let steerd = try place.steerd.start()
            var wrong: [String] = []
            for way in Way.allCases {
                let result = try Self.ask(server, way, place)
                if !result.isEmpty { wrong.append("\(way):\n\(result)") }
            }
            try verify(wrong.isEmpty, wrong.joined(separator: "\n"))
            withExtendedLifetime(steerd) {}
        }
    }

    @Test("An answer that cannot be sent is counted as that, and as no answer")
    func unsent() async throws {
        try await withPlace { place in
            let server = try Self.start(
                "\(try Server.dns.command(place, on: ["[::]"])) --metrics 127.0.0.1:9153", place)
            // The query comes from where no route leads to.
            let program = try place.bed.write(
                """
                import socket, struct
                source, destination = (socket.inet_pton(socket.AF_INET6, a) for a in ('2001:db8:ffff::1', '2001:db8::9'))
                query = struct.pack('!HHHHHH', 7, 0, 1, 0, 0, 0) + b'\\3www\\7example\\3com\\0' + struct.pack('!HH', 28, 1)
                size = 8 + len(query)
                def udp(sum): return struct.pack('!HHHH', 4711, \(place.port), size, sum) + query
                data = source + destination + struct.pack('!IHBB', size, 0, 0, 17) + udp(0) + b'\\0' * (size % 2)
                total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
                while total >> 16: total = (total & 0xffff) + (total >> 16)
                packet = struct.pack('!IHBB', 6 << 28, size, 17, 64) + source + destination + udp(~total & 0xffff or 0xffff)
                with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
                    raw.sendto(packet, ('2001:db8::9', 0))
                """, to: "spoof.py")
            try shell("\(Bed.python) \(program)")
            func metrics() throws -> String { try shell("curl -s --max-time 10 http://127.0.0.1:9153/metrics") }
            try eventually("it is counted") { try metrics().contains("steer_dns_unsent_total 1\n") }
            let none = try metrics()
            try verify(none.contains("steer_dns_answers_total{kind=\"address\"} 0\n"), none)
            try verify(none.contains("steer_dns_pool_answers_total{pool=\"web\"} 0\n"), none)
            let wrong = try shell("\(Bed.python) \(place.asker) \(place.port) 2001:db8::9")
            try verify(wrong, is: "")
            let some = try metrics()
            try verify(some.contains("steer_dns_answers_total{kind=\"address\"} 2\n"), some)
            try verify(some.contains("steer_dns_unsent_total 1\n"), some)
            withExtendedLifetime(server) {}
        }
    }
}
