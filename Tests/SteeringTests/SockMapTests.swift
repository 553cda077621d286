import Glibc
import KernelTestSupport
import Steering
import Testing

/// Registering, replacing and unregistering sockets. Which sockets are refused: SockMapAdmissionTests.
@Suite(.kernel)
struct SockMapTests {
    /// A steering with the label "web" bound to ports of both routed prefixes.
    static func steeringBound() throws -> SocketSteering {
        let steering = try SocketSteering.attach()
        try steering.bind("web", .both, to: PrefixPool(parsing: Flow.prefixes), ports: [7000...7999])
        return steering
    }

    @Test("What bindings lead to and no socket serves is told: families, and protocols")
    func destinationsWithoutSocket() async throws {
        try await withNetworkNamespace {
            let steering = try Self.steeringBound()
            func missing() throws -> [String] {
                try steering.sockets.destinationsWithoutSocket(of: "web").map(\.description)
            }
            try verify(missing(), is: ["web tcp/IPv4", "web udp/IPv4", "web tcp/IPv6", "web udp/IPv6"])
            let listener = try TestSocket(.tcp, on: SocketAddress("127.0.0.1:0"))
            try steering.sockets.register(listener.socket, as: "web")
            try verify(missing(), is: ["web udp/IPv4", "web tcp/IPv6", "web udp/IPv6"])
            let both = try TestSocket(.udp, on: SocketAddress("[::]:0"), .dualStack)
            try steering.sockets.register(both.socket, as: "web")
            try verify(missing(), is: ["web tcp/IPv6"])
            try verify(steering.sockets.destinationsWithoutSocket(of: "other"), is: [])
        }
    }

    @Test("A dual-stack socket fills both families, a v6only one its own", arguments: TransportProtocol.allCases)
    func families(transport: TransportProtocol) async throws {
        try await withNetworkNamespace {
            let steering = try SocketSteering.attach()
            let both = try TestSocket(transport, on: SocketAddress("[::]:8008"), .dualStack)
            try steering.sockets.register(both.socket, as: "both")
            let only = try TestSocket(transport, on: SocketAddress("[::]:8009"))
            try steering.sockets.register(only.socket, as: "only")
            let list = try steering.sockets.list()
            try verify(
                list.map(\.destination),
                is: [
                    Destination("both", .ipv4, transport), Destination("both", .ipv6, transport),
                    Destination("only", .ipv6, transport),
                ])
            try verify(list.map(\.cookie.rawValue), is: [both.cookie, both.cookie, only.cookie], "cookies")
            try verify(
                list.map(\.boundAddress), is: [try both.address, try both.address, try only.address], "addresses")
            try verify(list.map(\.isStandIn), is: [false, false, false], "stand-ins")
        }
    }

    @Test("Registering the same socket again is no error and changes nothing", arguments: Flow.all)
    func again(flow: Flow) async throws {
        try await withNetworkNamespace {
            let steering = try SocketSteering.attach()
            let socket = try flow.socket()
            try steering.sockets.register(socket.socket, as: "web")
            let before = try steering.sockets.list()
            try steering.sockets.register(socket.socket, as: "web")
            let copy = try socket.socket.duplicate()
            try steering.sockets.register(copy, as: "web")
            try verify(try steering.sockets.list(), is: before)
            // Under another label too.
            try steering.sockets.register(socket.socket, as: "api")
            try verify(try steering.sockets.list().map(\.destination.label), is: ["api", "web"])
        }
    }

    @Test(
        "A socket for two families is registered for none when one is occupied", arguments: TransportProtocol.allCases,
        IPFamily.allCases)
    func occupied(transport: TransportProtocol, family: IPFamily) async throws {
        try await withNetworkNamespace {
            let steering = try SocketSteering.attach()
            let first = try Flow(transport, family).socket()
            try steering.sockets.register(first.socket, as: "web")
            let before = try steering.sockets.list()
            let both = try TestSocket(transport, on: SocketAddress("[::]:8008"), [.dualStack, .reusePort])
            try verifyThrows(.destinationOccupied) { try steering.sockets.register(both.socket, as: "web") }
            try verify(try steering.sockets.list(), is: before)
            // An error claims no label either.
            try verifyThrows(.socketConnected) {
                let peer = try Conversation(.udp, with: SocketAddress("127.0.0.1:9999"))
                try steering.sockets.register(peer.client, as: "new")
            }
            try verify(Set(try steering.metrics().destinations.keys.map(\.label)), is: ["web"])
        }
    }

    @Test("A socket of another group, or of none, at the same label is refused", arguments: Flow.all)
    func otherGroup(flow: Flow) async throws {
        try await withNetworkNamespace {
            let steering = try SocketSteering.attach()
            let group = try ReuseportTests.group(flow, of: 2)
            defer { withExtendedLifetime(group) {} }
            for member in group { try steering.sockets.register(member.socket, as: "web") }
            let before = try steering.sockets.list()
            let others = [try flow.socket(), try TestSocket(flow.transport, on: flow.loopback, .reusePort)]
            for other in others {
                try verifyThrows(.destinationOccupied) { try steering.sockets.register(other.socket, as: "web") }
            }
            try verify(try steering.sockets.list(), is: before)
        }
    }

    @Test("Two UDP sockets that share an address by SO_REUSEADDR are no group", arguments: IPFamily.allCases)
    func reuseAddressIsNoGroup(family: IPFamily) async throws {
        try await withNetworkNamespace {
            let flow = Flow(.udp, family)
            let steering = try SocketSteering.attach()
            let first = try TestSocket(.udp, on: flow.loopback, .reuseAddress)
            try steering.sockets.register(first.socket, as: "web")
            let second = try TestSocket(.udp, on: first.address, [.reuseAddress, .reusePort])
            try verifyThrows(.destinationOccupied) { try steering.sockets.register(second.socket, as: "web") }
        }
    }

    @Test("Twenty members of a group register without error, sixteen are remembered", arguments: Flow.all)
    func largeGroup(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try Self.steeringBound()
            var members = try ReuseportTests.group(flow, of: 20)
            for member in members { try steering.sockets.register(member.socket, as: "web") }
            let list = try steering.sockets.list()
            try verify(list.map(\.cookie.rawValue), is: members.prefix(16).map(\.cookie), "cookies")
            try verify(list.map(\.isStandIn), is: [false] + Array(repeating: true, count: 15), "stand-ins")
            try verify(Set(list.map(\.boundAddress)), is: [try members[0].address], "addresses")

            members.removeFirst(15)
            let delivery = try Traffic.deliver(flow.transport, to: flow.host(1, port: 7000), among: members)
            try verify(delivery != .refused && delivery != .lost, "the sixteenth stands in: \(delivery)")
            try verify(try steering.sockets.list().map(\.isStandIn), is: [false], "the only one left")
        }
    }

    @Test("Replacing takes the former socket and its stand-ins out", arguments: Flow.all)
    func replace(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try Self.steeringBound()
            let target = flow.host(1, port: 7000)
            let group = try ReuseportTests.group(flow, of: 3)
            for member in group { try steering.sockets.register(member.socket, as: "web") }
            let next = try flow.socket()
            try steering.sockets.replace(next.socket, as: "web")
            try verify(try steering.sockets.list().map(\.cookie.rawValue), is: [next.cookie])
            try verify(try Traffic.deliver(flow.transport, to: target, among: group + [next]), is: .to(3))
            // Nor does anyone stand in for it.
            try next.close()
            try verify(try Traffic.deliver(flow.transport, to: target, among: group), is: .refused, "closed")

            // Where there is nothing, it registers.
            try steering.sockets.replace(group[0].socket, as: "web")
            try steering.sockets.replace(group[0].socket, as: "web")
            try verify(try steering.sockets.list().map(\.cookie.rawValue), is: [group[0].cookie])
        }
    }

    @Test("While a socket is replaced again and again no packet is refused", arguments: Flow.all)
    func replaceInOneStep(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try Self.steeringBound()
            let sockets = [try flow.socket(), try flow.socket()]
            defer { withExtendedLifetime(sockets) {} }
            try steering.sockets.register(sockets[0].socket, as: "web")
            let done = ThreadResult<String?>()
            runOnThread {
                do {
                    for round in 1...2000 { try steering.sockets.replace(sockets[round % 2].socket, as: "web") }
                    done.finish(nil)
                } catch { done.finish("\(error)") }
            }
            let cookies = Set(sockets.map(\.cookie))
            var seen: [UInt64: Int] = [:]
            while !done.isFinished || seen.values.reduce(0, +) < 2000 {
                let (verdict, cookie) = try steering.testRun(flow.transport, to: flow.host(1, port: 7000))
                try verify(
                    verdict == 1 && cookies.contains(cookie?.rawValue ?? 0), "\(verdict) \(cookie?.description ?? "-")")
                seen[cookie!.rawValue, default: 0] += 1
            }
            try verify(done.wait(), is: nil)
            try verify(seen.count, is: 2, "sockets seen")
        }
    }

    @Test("Unregistering takes out a whole label, or one socket", arguments: Flow.all)
    func unregister(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try Self.steeringBound()
            let target = flow.host(1, port: 7000)
            let group = try ReuseportTests.group(flow, of: 3)
            for member in group { try steering.sockets.register(member.socket, as: "web") }
            let first = try steering.sockets.list()[0].cookie
            try steering.sockets.unregister(first, from: "web")
            try verify(try steering.sockets.list().map(\.cookie.rawValue), is: group.dropFirst().map(\.cookie))
            // The group is whole all the same: the kernel spreads over its members, registered or not.
            let delivery = try Traffic.deliver(flow.transport, to: target, among: group)
            try verify(delivery != .refused && delivery != .lost, "\(delivery)")
            try verifyThrows(.socketNotRegistered) { try steering.sockets.unregister(first, from: "web") }

            try steering.sockets.unregister("web")
            try verify(try steering.sockets.list(), is: [])
            try verify(try Traffic.deliver(flow.transport, to: target, among: group), is: .refused)
            try verifyThrows(.socketNotRegistered) { try steering.sockets.unregister("web") }
            try verifyThrows(.socketNotRegistered) { try steering.sockets.unregister("unheard-of") }
        }
    }

    @Test("A closed socket leaves its slot and is refused; while a duplicate is open it stays", arguments: Flow.all)
    func closing(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try Self.steeringBound()
            let target = flow.host(1, port: 7000)
            let socket = try flow.socket()
            do {
                let copy = try socket.socket.duplicate()
                try steering.sockets.register(copy, as: "web")
            }
            // Not the descriptor counts that was registered, but the socket.
            try verify(try Traffic.deliver(flow.transport, to: target, among: [socket]), is: .to(0), "still open")
            try verify(try steering.sockets.list().count, is: 1)
            try socket.close()
            try verify(try Traffic.deliver(flow.transport, to: target, among: []), is: .refused, "all are closed")
            try verify(try steering.sockets.list(), is: [])
            // The place is free again.
            let next = try flow.socket()
            try steering.sockets.register(next.socket, as: "web")
            try verify(try Traffic.deliver(flow.transport, to: target, among: [next]), is: .to(0), "the next")
        }
    }
}
