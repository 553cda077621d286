import KernelTestSupport
import Steering
import Testing

/// Several steerings attached to one namespace: a selection beats a refusal, the last selection wins,
/// and which of the sockets it was is looked at.
@Suite(.kernel)
struct SeveralProgramsTests {
    /// A steering that does one thing with every packet to the flow's prefix.
    private struct Actor {
        let steering: SocketSteering
        let socket: TestSocket

        init(_ outcome: Outcome, _ flow: Flow) throws {
            steering = try SocketSteering.attach()
            socket = try flow.socket()
            try steering.sockets.register(socket.socket, as: "web")
            try steering.bind(Binding(.both, to: flow.prefix, ports: [7007], outcome))
        }
    }

    @Test("Of two selections the one attached last wins, and after its end the other", arguments: Flow.all)
    func lastSelection(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let target = flow.host(1, port: 7007)
            let actors = [try Actor(.label("web"), flow), try Actor(.label("web"), flow)]
            let sockets = actors.map(\.socket)
            try verify(try Traffic.deliver(flow.transport, to: target, among: sockets), is: .to(1), "both")
            // What counts is the order of attaching, not of binding.
            try actors[0].steering.bind("web", .both, to: PrefixPool([flow.only(1)]), ports: [7007])
            try verify(try Traffic.deliver(flow.transport, to: target, among: sockets), is: .to(1), "first bound again")
            actors[1].steering.detach()
            try verify(try Traffic.deliver(flow.transport, to: target, among: sockets), is: .to(0), "first alone")
            actors[0].steering.detach()
            try verify(try Traffic.deliver(flow.transport, to: target, among: sockets), is: .refused, "none")
        }
    }

    @Test("When the steering attached first ends, the second goes on", arguments: Flow.all)
    func firstEnds(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let target = flow.host(1, port: 7007)
            let actors = [try Actor(.label("web"), flow), try Actor(.label("web"), flow)]
            // Optimised code lets go of what is used no more, and a steering ends with its last reference.
            defer { withExtendedLifetime(actors) {} }
            actors[0].steering.detach()
            let delivery = try Traffic.deliver(flow.transport, to: target, among: actors.map(\.socket))
            try verify(delivery, is: .to(1))
        }
    }

    /// Two outcomes in the order of attaching; the expected winner, an index or nil for refused, of both
    /// together and of each when the other is detached. Behind them a socket listens at index 2.
    struct Case: Sendable, CustomTestStringConvertible {
        let outcomes: [Outcome]
        let both: Int?
        let firstAlone: Int?
        let secondAlone: Int?
        var testDescription: String { outcomes.map(\.description).joined(separator: ", ") }
    }

    static let cases = [
        Case(outcomes: [.refuse, .refuse], both: nil, firstAlone: nil, secondAlone: nil),
        Case(outcomes: [.pass, .pass], both: 2, firstAlone: 2, secondAlone: 2),
        Case(outcomes: [.pass, .refuse], both: nil, firstAlone: 2, secondAlone: nil),
        Case(outcomes: [.refuse, .pass], both: nil, firstAlone: nil, secondAlone: 2),
        Case(outcomes: [.refuse, .label("web")], both: 1, firstAlone: nil, secondAlone: 1),
        Case(outcomes: [.label("web"), .refuse], both: 0, firstAlone: 0, secondAlone: nil),
        Case(outcomes: [.pass, .label("web")], both: 1, firstAlone: 2, secondAlone: 1),
        Case(outcomes: [.label("web"), .pass], both: 0, firstAlone: 0, secondAlone: 2),
        Case(outcomes: [.label("web"), .label("empty")], both: 0, firstAlone: 0, secondAlone: nil),
    ]

    @Test("A selection beats a refusal, a refusal beats a pass, in either order", arguments: cases, Flow.all)
    func combined(of expected: Case, flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let target = flow.host(1, port: 7007)
            func check(_ winner: Int?, _ sockets: [TestSocket], _ what: String) throws {
                let delivery = try Traffic.deliver(flow.transport, to: target, among: sockets)
                try verify(delivery, is: winner.map { .to($0) } ?? .refused, what)
            }
            for detached in 0...1 {
                let ordinary = try TestSocket(flow.transport, on: target, .freeBind)
                let actors = try expected.outcomes.map { try Actor($0, flow) }
                defer { withExtendedLifetime(actors) {} }
                let sockets = actors.map(\.socket) + [ordinary]
                try check(expected.both, sockets, "both")
                actors[detached].steering.detach()
                try check(detached == 1 ? expected.firstAlone : expected.secondAlone, sockets, "without \(detached)")
            }
        }
    }
}
