import KernelTestSupport
import Steering

/// Compares the program with the reference matcher, packet by packet.
struct Agreement: Sendable {
    let steering: SocketSteering
    private(set) var pairs = 0
    /// How often each kind of outcome was met.
    private(set) var outcomes: [String: Int] = [:]
    private let servers: Servers
    private var cookies: [Destination: SocketCookie] = [:]

    /// - Parameters:
    ///   - object: A build of the program; nil for the one that is shipped.
    ///   - size: Of its tables.
    init(withSockets labels: some Sequence<Label>, object: [UInt8]? = nil, size: TableSize = .smallest) throws {
        steering = try SocketSteering(try .current(), object: object, size: size)
        servers = try Servers(labels)
        for server in servers.all { try steering.sockets.register(server.socket, as: server.destination.label) }
        for socket in try steering.sockets.list() { cookies[socket.destination] = socket.cookie }
    }

    mutating func check(_ packet: Packet, _ policy: Policy, _ matcher: ReferenceMatcher) throws {
        let winner = matcher.winner(for: packet)
        let (verdict, cookie) = try steering.testRun(packet.transport, from: packet.source, to: packet.destination)
        var wanted: (verdict: UInt32, cookie: SocketCookie?) = (1, nil)
        var outcome = "none"
        switch winner?.outcome {
        case .label(let label):
            wanted.cookie = cookies[Destination(label, packet.destination.address.family, packet.transport)]
            if wanted.cookie == nil, policy[label].withoutSocket == .refuse { wanted.verdict = 0 }
            outcome = "label"
        case .refuse:
            wanted.verdict = 0
            outcome = "refuse"
        case .pass: outcome = "pass"
        case nil: break
        }
        if let winner, winner.source != nil || winner.interface != nil { outcome += ", conditional" }
        try verify(
            verdict == wanted.verdict && cookie == wanted.cookie,
            """
            \(packet): the program says \(verdict) \(cookie.map(\.description) ?? "-"), the matcher \
            \(wanted.verdict) \(wanted.cookie.map(\.description) ?? "-") by \(winner.map(\.description) ?? "no binding"), \
            of policy \(policy.bindings.prefix(50).map(\.description))
            """)
        outcomes[outcome, default: 0] += 1
        pairs += 1
    }
}

/// A socket of each protocol and family for every label.
final class Servers: Sendable {
    final class Server: Sendable {
        let destination: Destination
        let socket: OwnedDescriptor
        init(_ destination: Destination, _ socket: consuming OwnedDescriptor) {
            self.destination = destination
            self.socket = socket
        }
    }
    let all: [Server]

    init(_ labels: some Sequence<Label>) throws {
        var all: [Server] = []
        for label in labels {
            for family in IPFamily.allCases {
                let loopback = SocketAddress(
                    family == .ipv4 ? IPAddress(ipv4: 0x7f00_0001) : IPAddress(ipv6: 1), port: 0)
                all.append(Server(Destination(label, family, .tcp), try .listener(on: loopback)))
                all.append(Server(Destination(label, family, .udp), try .receiver(on: loopback)))
            }
        }
        self.all = all
    }
}
