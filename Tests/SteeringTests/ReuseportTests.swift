import Glibc
import KernelTestSupport
import Steering
import Testing

/// SO_REUSEPORT groups: whichever member is registered, the kernel spreads over all of them.
@Suite(.kernel)
struct ReuseportTests {
    /// Members of one group, the first on a port of the kernel's choice.
    static func group(_ flow: Flow, of count: Int) throws -> [TestSocket] {
        let first = try TestSocket(flow.transport, on: flow.loopback, .reusePort)
        let address = try first.address
        return [first] + (try (1..<count).map { _ in try TestSocket(flow.transport, on: address, .reusePort) })
    }

    /// How many of 200 packets from as many source ports each socket gets; throws when one goes elsewhere.
    static func spread(_ flow: Flow, over sockets: [TestSocket]) throws -> [Int] {
        var counts = sockets.map { _ in 0 }
        for port in 0..<200 {
            let source = SocketAddress(flow.loopback.address, port: UInt16(20_000 + port))
            let target = flow.host(UInt8(port % 100), port: UInt16(7000 + port % 7))
            let delivery = try Traffic.deliver(flow.transport, to: target, from: source, among: sockets)
            guard case .to(let index) = delivery else { throw Unmet(description: "packet \(port): \(delivery)") }
            counts[index] += 1
        }
        return counts
    }

    @Test("Every member of a registered group gets a share", arguments: Flow.all, [1, 4])
    func everyMember(flow: Flow, registered: Int) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            let members = try Self.group(flow, of: 4)
            for member in members.prefix(registered) { try steering.sockets.register(member.socket, as: "web") }
            try steering.bind("web", .both, to: flow.pool, ports: [7000...7999])
            let counts = try Self.spread(flow, over: members)
            try verify(counts.allSatisfy { $0 > 10 }, "shares \(counts)")
        }
    }

    @Test("When registered members are closed the others answer and nothing is refused", arguments: Flow.all)
    func membersClose(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            var members = try Self.group(flow, of: 4)
            for member in members { try steering.sockets.register(member.socket, as: "web") }
            try steering.bind("web", .both, to: flow.pool, ports: [7000...7999])
            while !members.isEmpty {
                let counts = try Self.spread(flow, over: members)
                try verify(counts.allSatisfy { $0 > 10 }, "shares \(counts)")
                members.removeFirst()
            }
            let delivery = try Traffic.deliver(flow.transport, to: flow.host(1, port: 7000), among: [])
            try verify(delivery, is: .refused, "after the last member")
            let metrics = try steering.metrics().destinations[flow.destination("web")]
            try verify(metrics?.lookups, is: 801)
            try verify(metrics?.misses, is: 1)
        }
    }

    @Test("A group's own program chooses among its members, whichever is registered", arguments: Flow.all)
    func programChooses(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            let members = try Self.group(flow, of: 3)
            try ReuseportProgram.choose(member: 2, for: members[0].descriptor)
            try steering.sockets.register(members[0].socket, as: "web")
            try steering.bind("web", .both, to: flow.pool, ports: [7000...7999])
            try verify(try Self.spread(flow, over: members), is: [0, 0, 200], "shares")
        }
    }

    @Test("What a group's own program drops is refused, though a server is bound there", arguments: Flow.all)
    func programDrops(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            let members = try Self.group(flow, of: 2)
            let behind = try TestSocket(flow.transport, on: flow.host(1, port: 7000), .freeBind)
            try ReuseportProgram.drop(for: members[0].descriptor)
            try steering.sockets.register(members[0].socket, as: "web")
            try steering.bind("web", .both, to: flow.pool, ports: [7000])
            let delivery = try Traffic.deliver(flow.transport, to: flow.host(1, port: 7000), among: members + [behind])
            try verify(delivery, is: .refused)
        }
    }

    @Test("A member that joins after another was closed takes its place", arguments: Flow.all)
    func memberJoins(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            var members = try Self.group(flow, of: 2)
            for member in members { try steering.sockets.register(member.socket, as: "web") }
            try steering.bind("web", .both, to: flow.pool, ports: [7000...7999])
            let address = try members[0].address
            for _ in 0..<20 {
                members.removeFirst()
                members.append(try TestSocket(flow.transport, on: address, .reusePort))
                try steering.sockets.register(members[1].socket, as: "web")
                try verify(
                    Set(try steering.sockets.list().map(\.cookie.rawValue)), is: Set(members.map(\.cookie)),
                    "registered")
                let delivery = try Traffic.deliver(flow.transport, to: flow.host(1, port: 7000), among: members)
                try verify(delivery != .refused && delivery != .lost, "\(delivery)")
            }
        }
    }

    @Test("Connected UDP members of the group get nothing and disturb nothing", arguments: IPFamily.allCases)
    func connectedMembers(family: IPFamily) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let flow = Flow(.udp, family)
            let steering = try SocketSteering.attach()
            var members = try Self.group(flow, of: 3)
            let address = try members[0].address
            // Bound like the others, then connected to a client of their own.
            let peers = try (0..<3).map { _ in try flow.socket() }
            let connected = try peers.map { peer in
                let member = try TestSocket(.udp, on: address, .reusePort)
                try Traffic.connect(member.descriptor, to: try peer.address)
                return member
            }
            for member in members { try steering.sockets.register(member.socket, as: "web") }
            try steering.bind("web", .udp, to: flow.pool, ports: [7000...7999])

            var counts = try Self.spread(flow, over: members + connected)
            try verify(counts.prefix(3).allSatisfy { $0 > 10 } && counts[3...] == [0, 0, 0], "shares \(counts)")
            members.removeFirst()
            counts = try Self.spread(flow, over: members + connected)
            try verify(counts.prefix(2).allSatisfy { $0 > 10 } && counts[2...] == [0, 0, 0], "shares \(counts)")
        }
    }
}
