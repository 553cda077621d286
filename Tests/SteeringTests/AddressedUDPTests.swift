import Glibc
import KernelTestSupport
import Steering
import Testing

/// Replies from the address and port that were asked, seen by a connected client, to which any other
/// source is silence.
@Suite(.kernel)
struct AddressedUDPTests {
    @Test("Replies come from every address and port asked, both families, one socket", arguments: [false, true])
    func everySource(dualStack: Bool) async throws {
        let wrong = try await withNetworkNamespace(routing: ["192.0.2.0/24", "2001:db8:7::/64"]) {
            let pool = try PrefixPool("192.0.2.0/24", "2001:db8:7::/64")
            let steering = try SocketSteering.attach()
            try steering.bind("echo", .udp, to: pool, ports: .all)
            var random = SeededGenerator(seed: 3)
            var wrong: [String] = []
            for family in IPFamily.allCases {
                let loopback = dualStack ? "[::]:0" : family == .ipv4 ? "127.0.0.1:0" : "[::1]:0"
                var server = try TestServer(.udp, on: SocketAddress(loopback), dualStack ? .dualStack : [])
                try steering.sockets.replace(server.descriptor, as: "echo")
                // More ports than there may be senders: the least recently used are closed on the way.
                for _ in 0..<1500 {
                    let address = pool.restricted(to: family).randomAddress(using: &random)!
                    // Not from the range of ephemeral ports: a client that gets the port it asks for talks to
                    // itself, since here it also has the address.
                    let ports: PortSet = [1...32_767, 61_000...65_535]
                    let port = ports.ranges.randomElement(using: &random)!
                    let asked = SocketAddress(address, port: .random(in: port.lower...port.upper, using: &random))
                    let reply = try server.exchange(with: asked)
                    if reply != .answered(Array("ping \(asked)".utf8), from: asked) {
                        wrong.append("\(asked): \(reply)")
                    }
                }
            }
            return wrong
        }
        #expect(wrong == [])
    }

    @Test("The receiver's own port needs no sender socket", arguments: IPFamily.allCases)
    func ownPort(family: IPFamily) async throws {
        try await withNetworkNamespace(routing: ["192.0.2.0/24", "2001:db8:7::/64"]) {
            let pool = try PrefixPool("192.0.2.0/24", "2001:db8:7::/64").restricted(to: family)
            let steering = try SocketSteering.attach()
            let loopback = try SocketAddress(family == .ipv4 ? "127.0.0.1:0" : "[::1]:0")
            var server = try TestServer(.udp, on: loopback)
            let port = try server.address.port
            try steering.sockets.register(server.descriptor, as: "echo")
            try steering.bind("echo", .udp, to: pool, ports: [port...port])
            for _ in 0..<100 {
                let asked = SocketAddress(pool.randomAddress()!, port: port)
                // From loopback: otherwise the client would have the address that it asks, too.
                let reply = try server.exchange(with: asked, from: loopback)
                try verify(reply, is: .answered(Array("ping \(asked)".utf8), from: asked), "\(asked)")
            }
            try verify(server.socket.senderCount, is: 0, "the open sender sockets")
        }
    }

    @Test("A sender socket receives nothing once its address is steered no more")
    func sendersReceiveNothing() async throws {
        let replies = try await withNetworkNamespace(routing: ["192.0.2.0/24"]) {
            let steering = try SocketSteering.attach()
            var server = try TestServer(.udp, on: SocketAddress("127.0.0.1:0"))
            try steering.sockets.register(server.descriptor, as: "echo")
            try steering.bind("echo", .udp, to: PrefixPool("192.0.2.0/24"), ports: [7000...7999])
            let asked = try SocketAddress("192.0.2.200:7123")
            let before = try server.exchange(with: asked)
            try steering.update { policy throws(SteeringError) in
                policy = Policy()
                try policy.bind("echo", .udp, to: try! PrefixPool("192.0.2.0/25"), ports: [7000...7999])
            }
            return [before, try server.exchange(with: asked)]
        }
        #expect(
            replies[0] == .answered(Array("ping 192.0.2.200:7123".utf8), from: try SocketAddress("192.0.2.200:7123")))
        #expect(replies[1] == .refused)
    }

    @Test("One call receives all that is there, each with its own ends; none on an empty socket")
    func batches() async throws {
        try await withNetworkNamespace(routing: ["192.0.2.0/24"]) {
            let steering = try SocketSteering.attach()
            let receiver = try OwnedDescriptor.receiver(on: SocketAddress("127.0.0.1:0"), .nonblocking)
            try steering.sockets.register(receiver, as: "echo")
            try steering.bind("echo", .udp, to: PrefixPool("192.0.2.0/24"), ports: .all)
            var socket = try AddressedUDPSocket(receiver, senders: 2)
            try verify(try socket.receive(upTo: 32), is: [], "what an empty socket gives")
            let asked = try (1...40).map { try SocketAddress("192.0.2.\($0):\(7000 + $0)") }
            let client = try OwnedDescriptor.receiver(on: SocketAddress("127.0.0.1:0"))
            // The first is empty, and no end of anything.
            for (size, address) in asked.enumerated() {
                let bytes = [UInt8](repeating: 7, count: size)
                try address.pass(to: "sendto") { CInt(sendto(client.rawValue, bytes, size, 0, $0, $1)) }
            }
            let datagrams = try socket.receive(upTo: 32) + socket.receive(upTo: 3) + socket.receive(upTo: 32)
            try verify(datagrams.map(\.destination), is: asked, "the original destinations")
            try verify(datagrams.map(\.payload.count), is: Array(0..<40), "the lengths")
            try verify(try socket.receive() == nil, "the socket is empty")
            for datagram in datagrams { try verify(try socket.reply(datagram.payload, to: datagram), "sent") }
            try verify(socket.senderCount, is: 2, "the open sender sockets")
        }
    }

    @Test(
        "A train of datagrams is received as each of them, with the ends of all, in one piece or not",
        arguments: IPFamily.allCases, [true, false])
    func receivedTrain(family: IPFamily, coalescing: Bool) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let flow = Flow(.udp, family)
            let steering = try SocketSteering.attach()
            let receiver = try OwnedDescriptor.receiver(on: flow.loopback, .nonblocking)
            try steering.sockets.register(receiver, as: "echo")
            try steering.bind("echo", .udp, to: flow.pool, ports: .all)
            var socket = try AddressedUDPSocket(receiver, coalescing: coalescing)
            let asked = flow.host(7, port: 7007)
            // UDP_SEGMENT: ten times 100 bytes, and 37.
            let port = try shell(
                """
                python3 -c '
                import socket
                client = socket.socket(socket.\(family == .ipv4 ? "AF_INET" : "AF_INET6"), socket.SOCK_DGRAM)
                client.connect(("\(asked.address)", \(asked.port)))
                client.setsockopt(17, 103, 100)
                for _ in range(3): client.send(bytes(i // 100 for i in range(1037)))
                print(client.getsockname()[1])'
                """
            ).filter(\.isNumber)

            var datagrams = try socket.receive(upTo: 1)
            try verify(datagrams.count, is: coalescing ? 11 : 1, "datagrams of the first piece")
            // One by one, and then the rest.
            while datagrams.count < 13, let next = try socket.receive() { datagrams.append(next) }
            while case let rest = try socket.receive(upTo: 32), !rest.isEmpty { datagrams += rest }
            let train = (0..<11).map { [UInt8](repeating: $0, count: $0 < 10 ? 100 : 37) }
            try verify(datagrams.map(\.payload), is: train + train + train, "payloads")
            try verify(Set(datagrams.map(\.destination)), is: [asked], "destinations")
            try verify(Set(datagrams.map { "\($0.source.port)" }), is: [port], "sources")
        }
    }

    @Test(
        "A train is sent from the address and port asked, also where it cannot be cut on the way",
        arguments: IPFamily.allCases, [1400, 65_536])
    func sentTrain(family: IPFamily, mtu: Int) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let flow = Flow(.udp, family)
            try shell("ip link set lo mtu \(mtu)")
            var socket = try AddressedUDPSocket(.receiver(on: flow.loopback))
            let own = try socket.receiver.localAddress().port
            // From its own port, and from a sender socket's.
            for port in [own, 7007] {
                let source = flow.host(7, port: port)
                let client = try OwnedDescriptor.receiver(on: flow.loopback)
                try Traffic.connect(client.rawValue, to: source)
                Traffic.limit(client.rawValue)
                // For all of them at once.
                var room: CInt = 1 << 22
                setsockopt(client.rawValue, SOL_SOCKET, SO_RCVBUFFORCE, &room, socklen_t(MemoryLayout<CInt>.size))
                // More than one call takes: 65,507 bytes, or 64 datagrams.
                let payload = (0..<100_001).map { UInt8(truncatingIfNeeded: $0 / 2000) }
                let isWhole = try socket.send(
                    payload, inDatagramsOf: 2000, from: source, to: try client.localAddress())
                try verify(isWhole, "sent")
                for number in 0...50 {
                    let size = number < 50 ? 2000 : 1
                    let expected = Reply.answered([UInt8](repeating: UInt8(number), count: size), from: source)
                    try verify(Traffic.receive(on: client) == expected, "datagram \(number) of port \(port)")
                }
            }
        }
    }

    @Test("A process without descriptors left closes a sender socket for the next")
    func fewDescriptors() async throws {
        let output = try Programs.run(
            """
            \(try Programs.path(of: "echo-server")) --prefix 192.0.2.0/24 --ports all --add-routes >/dev/null & sleep 1
            prlimit --pid $! --nofile=$(($(ls /proc/$!/fd | wc -l) + 12))
            for port in $(seq 7000 7030); do
                echo $port | timeout $PATIENCE socat -t $PATIENCE - UDP:192.0.2.9:$port,shut-none,readbytes=5
            done
            kill $!
            """
        ).output
        let ports = (7000...7030).map { "\($0)\n" }.joined()
        #expect(output == ports)
    }

    @Test("A source that is not routed here is named with the remedy")
    func sourceNotRouted() async throws {
        let error = try await withNetworkNamespace {
            var socket = try AddressedUDPSocket(.receiver(on: SocketAddress("127.0.0.1:0")))
            return try verifyThrows(.addressUnavailable) {
                try socket.send([1], from: SocketAddress("192.0.2.1:9"), to: SocketAddress("127.0.0.1:9"))
            }.message
        }
        #expect(error.contains("192.0.2.1:9"))
    }
}

@Suite(.kernel)
struct LocalRoutesTests {
    @Test("The kernel says which prefixes are delivered here")
    func undelivered() async throws {
        let missing = try await withNetworkNamespace(routing: ["192.0.2.0/24", "2001:db8:7::/48"]) {
            try LocalRoutes().undelivered(
                in: PrefixPool("192.0.2.0/24", "198.51.100.0/24", "192.0.2.0/23", "2001:db8:7::/48", "2001:db8:8::/48"))
        }
        #expect(missing.map(\.description) == ["192.0.2.0/23", "198.51.100.0/24", "2001:db8:8::/48"])
    }
}
