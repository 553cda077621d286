import KernelTestSupport
import Steering
import Testing

/// Established TCP connections and connected UDP flows never meet the program.
@Suite(.kernel)
struct EstablishedFlowTests {
    @Test("Flows from before go on under a policy that refuses everything", arguments: Flow.all)
    func fromBefore(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let target = flow.host(1, port: 7007)
            let listener = flow.transport == .tcp ? try TestSocket(.tcp, on: target, .freeBind) : nil
            let conversation = try Conversation(flow.transport, with: target, accepting: listener?.descriptor)
            try conversation.verifyGoesOn("before")

            let steering = try SocketSteering.attach()
            let refusals = try IPFamily.allCases.map {
                try Binding(.both, to: Flow(flow.transport, $0).everywhere, ports: .all, .refuse)
            }
            try steering.apply(Policy(refusals))
            try conversation.verifyGoesOn("under a policy that refuses")
            if let listener {
                try verify(try Traffic.deliver(.tcp, to: target, among: [listener]), is: .refused, "a new connection")
            }
            steering.detach()
            try conversation.verifyGoesOn("after the end")
        }
    }

    @Test("Flows made through steering survive every change and its end", arguments: Flow.all)
    func throughSteering(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            let socket = try flow.socket(), next = try flow.socket()
            try steering.sockets.register(socket.socket, as: "web")
            try steering.bind("web", .both, to: flow.pool, ports: .all)
            // The upper half of the /24 (of the /64 in its last bits), which halving takes away.
            let low = try Conversation(flow.transport, with: flow.host(1, port: 7007), accepting: socket.descriptor)
            let high = try Conversation(flow.transport, with: flow.host(200, port: 7007), accepting: socket.descriptor)
            func goOn(_ when: String) throws {
                try low.verifyGoesOn(when)
                try high.verifyGoesOn(when)
            }
            try goOn("at first")

            let half = IPPrefix(
                masking: flow.prefix.first, length: flow.family.bitWidth - 7)
            try steering.apply(Policy([Binding(.both, to: half, ports: .all, .label("web"))]))
            try goOn("after halving the pool")
            let outside = try Traffic.deliver(flow.transport, to: flow.host(200, port: 7008), among: [socket])
            try verify(outside, is: .refused, "a new flow outside of the half")

            try steering.sockets.replace(next.socket, as: "web")
            try goOn("after replacing the socket")
            let replaced = try Traffic.deliver(flow.transport, to: flow.host(1, port: 7008), among: [socket, next])
            try verify(replaced, is: .to(1), "a new flow")

            try steering.bind(Binding(.both, to: flow.only(1), ports: [7007], .refuse))
            try goOn("after binding its address to refuse")
            try steering.sockets.unregister("web")
            try goOn("after unregistering")
            try steering.unbindAll()
            try goOn("after unbinding")
            steering.detach()
            try goOn("after detaching")
        }
    }
}
