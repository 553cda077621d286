import Glibc
import KernelTestSupport
import Steering
import Testing

/// The program against the definition: random policies, random packets, BPF_PROG_TEST_RUN.
@Suite(.kernel)
struct ClassifierAgreementTests {
    /// 100,000 pairs here; `scripts/test --pairs 5000000` asks for more.
    static let pairs = getenv("STEERING_PAIRS").flatMap { Int(String(cString: $0)) } ?? 100_000  // of each form

    @Test(
        "The program agrees with the reference matcher on random policies and packets", arguments: Tables.Form.allCases)
    func agreement(form: Tables.Form) async throws {
        let seed: UInt64 = form == .dense ? 1 : 2
        let checked = try await withNetworkNamespace { try compare(pairs: Self.pairs, seed: seed, form) }
        #expect(checked.pairs >= Self.pairs)
        // Every kind of outcome was met, or the comparison shows nothing.
        #expect(checked.outcomes.count == 4, "met only \(checked.outcomes)")
    }
}

struct Agreement: Sendable {
    var pairs = 0
    var outcomes: [String: Int] = [:]
}

private func compare(pairs: Int, seed: UInt64, _ form: Tables.Form) throws -> Agreement {
    let steering = try SocketSteering.attach()
    let labels: [Label] = ["a", "b", "c", "d", "without"]
    var expected: [Destination: SocketCookie] = [:]
    let servers = try Servers(labels.dropLast())
    for server in servers.all { try steering.sockets.register(server.socket, as: server.destination.label) }
    for socket in try steering.sockets.list() { expected[socket.destination] = socket.cookie }

    var policies = RandomPolicies(seed: seed, labels: labels)
    var result = Agreement()
    while result.pairs < pairs {
        let policy = policies.policy(bindings: Int.random(in: 1...24, using: &policies.random))
        try steering.apply(policy, as: form)
        let matcher = ReferenceMatcher(policy)
        for _ in 0..<500 {
            let packet = policies.packet(near: policy)
            let winner = matcher.winner(for: packet)
            let (verdict, cookie) = try steering.testRun(packet.transport, to: packet.destination)
            var wanted: (verdict: UInt32, cookie: SocketCookie?) = (1, nil)
            var outcome = "none"
            switch winner?.outcome {
            case .label(let label):
                wanted.cookie = expected[Destination(label, packet.destination.address.family, packet.transport)]
                if wanted.cookie == nil, policy[label].withoutSocket == .refuse { wanted.verdict = 0 }
                outcome = "label"
            case .refuse:
                wanted.verdict = 0
                outcome = "refuse"
            case .pass: outcome = "pass"
            case nil: break
            }
            try verify(
                verdict == wanted.verdict && cookie == wanted.cookie,
                """
                \(packet.transport) \(packet.destination): the program says \(verdict) \(cookie.map(\.description) ?? "-"), the matcher \
                \(wanted.verdict) \(wanted.cookie.map(\.description) ?? "-") by \(winner.map(\.description) ?? "no binding"), \
                of policy \(policy.bindings.map(\.description))
                """)
            result.outcomes[outcome, default: 0] += 1
            result.pairs += 1
        }
    }
    return result
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
