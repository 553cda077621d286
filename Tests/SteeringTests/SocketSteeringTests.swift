import Glibc
import KernelTestSupport
import Steering
import Testing

/// Attaching, detaching, and changes that must not happen by halves.
@Suite(.kernel)
struct SocketSteeringTests {
    /// A steering whose label "web" has a socket and some ports of the flow's prefix.
    struct Setting {
        let steering: SocketSteering
        let socket: TestSocket

        init(_ flow: Flow) throws {
            steering = try SocketSteering.attach()
            socket = try flow.socket()
            try steering.sockets.register(socket.socket, as: "web")
            try steering.bind("web", .both, to: flow.pool, ports: [7000...7999])
        }

        func verifySteers(_ flow: Flow, port: UInt16 = 7000, _ what: String, line: UInt = #line) throws {
            let delivery = try Traffic.deliver(flow.transport, to: flow.host(1, port: port), among: [socket])
            try verify(delivery, is: .to(0), what, line: line)
        }
    }

    @Test("After detaching every call says so, and traffic takes the ordinary way", arguments: Flow.all)
    func detach(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let setting = try Setting(flow)
            let steering = setting.steering
            let ordinary = try TestSocket(flow.transport, on: flow.host(1, port: 7000), .freeBind)
            try setting.verifySteers(flow, "attached")
            steering.detach()
            let delivery = try Traffic.deliver(
                flow.transport, to: flow.host(1, port: 7000), among: [setting.socket, ordinary])
            try verify(delivery, is: .to(1), "detached")

            let binding = try Binding(.both, to: flow.prefix, ports: [80], .refuse)
            let calls: [() throws -> Void] = [
                { try steering.apply(Policy([binding])) }, { try steering.bind(binding) },
                { try steering.unbind(binding) }, { try steering.unbindAll() }, { _ = try steering.metrics() },
                { try steering.update { _ in } }, { _ = try steering.sockets.list() },
                { try steering.sockets.register(setting.socket.socket, as: "web") },
                { try steering.sockets.replace(setting.socket.socket, as: "web") },
                { try steering.sockets.unregister("web") },
            ]
            for call in calls { try verifyThrows(.detached) { try call() } }
            steering.detach()
        }
    }

    @Test("Dropping the last reference detaches", arguments: Flow.all)
    func lastReference(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let socket = try flow.socket()
            var steering: SocketSteering? = try SocketSteering.attach()
            // The view of the sockets keeps the steering, too.
            var sockets: SockMap? = steering!.sockets
            try sockets!.register(socket.socket, as: "web")
            try steering!.bind("web", .both, to: flow.pool, ports: [7000])
            steering = nil
            let target = flow.host(1, port: 7000)
            try verify(try Traffic.deliver(flow.transport, to: target, among: [socket]), is: .to(0), "one is left")
            try verify(try sockets!.list().count, is: 1)
            sockets = nil
            try verify(try Traffic.deliver(flow.transport, to: target, among: [socket]), is: .refused, "none is left")
        }
    }

    @Test("A copy of the descriptors in a child process does not keep the steering attached")
    func detachIsImmediate() async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let flow = Flow(.tcp, .ipv4)
            let setting = try Setting(flow)
            // What any child has between fork and exec. (Of links of other tests too: they do not mind.)
            let copies = (3..<1024).filter(isLink).map { fcntl($0, F_DUPFD_CLOEXEC, 3) }
            defer { for copy in copies { close(copy) } }
            try verify(!copies.isEmpty, "no link is open")
            setting.steering.detach()
            try verify(
                try Traffic.deliver(.tcp, to: flow.host(1, port: 7000), among: [setting.socket]), is: .refused,
                "with \(copies.count) copies")
        }
    }

    @Test("The 65th program of a namespace is refused by name, and the 64 go on")
    func tooManyPrograms() async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let flow = Flow(.tcp, .ipv4)
            let socket = try flow.socket()
            var steerings: [SocketSteering] = []
            for number in 0..<64 {
                let steering = try SocketSteering.attach()
                try steering.sockets.register(socket.socket, as: "web")
                try steering.bind("web", .tcp, to: flow.pool, ports: [PortRange(UInt16(7000 + number))])
                steerings.append(steering)
            }
            try verifyThrows(.tooManyPrograms) { _ = try SocketSteering.attach() }
            for number in 0..<64 {
                let target = flow.host(1, port: UInt16(7000 + number))
                try verify(try Traffic.deliver(.tcp, to: target, among: [socket]), is: .to(0), "number \(number)")
            }
            // One leaves, one can come.
            steerings.remove(at: 31).detach()
            _ = try SocketSteering.attach()
            let target = flow.host(1, port: 7031)
            try verify(try Traffic.deliver(.tcp, to: target, among: [socket]), is: .refused, "the one that left")
        }
    }

    @Test("An empty policy and an unknown binding are refused by name, and nothing changes", arguments: Flow.all)
    func refusedChanges(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let setting = try Setting(flow)
            let before = try setting.steering.policy
            try verifyThrows(.emptyPolicy) { try setting.steering.apply(Policy()) }
            try verifyThrows(.emptyPolicy) {
                try setting.steering.apply(Policy(options: ["web": LabelOptions(withoutSocket: .pass)]))
            }
            try verifyThrows(.unknownBinding) {
                try setting.steering.unbind(Binding(.tcp, to: flow.prefix, ports: [7000...7999], .label("web")))
            }
            try verifyThrows(.invalidBinding) {
                try setting.steering.bind("web", .both, to: PrefixPool(), ports: [80])
            }
            try verify(setting.steering.policy, is: before)
            try setting.verifySteers(flow, "afterwards")
            try setting.steering.unbind(before.bindings[0])
            try verify(setting.steering.policy.isEmpty, "the only binding is gone")
        }
    }

    @Test("Conflicting bindings leave the policy in force as it was", arguments: Flow.all)
    func conflict(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let setting = try Setting(flow)
            let before = try setting.steering.policy
            // As many ports, so of equal precedence.
            let conflicting = try Binding(.both, to: flow.prefix, ports: [7500...8499], .refuse)
            try verifyThrows(.conflictingBindings) { try setting.steering.bind(conflicting) }
            try verifyThrows(.conflictingBindings) {
                try setting.steering.apply(Policy(before.bindings + [conflicting]))
            }
            try verifyThrows(.conflictingBindings) {
                try setting.steering.bind("api", .both, to: flow.pool, ports: [7500...8499])
            }
            try verify(setting.steering.policy, is: before)
            try verify(Set(try setting.steering.metrics().destinations.keys.map(\.label)), is: ["web"])
            try setting.verifySteers(flow, "a port of one")
            try setting.verifySteers(flow, port: 7600, "a port of both")
            let delivery = try Traffic.deliver(flow.transport, to: flow.host(1, port: 8400), among: [])
            try verify(delivery, is: .refused, "a port of the other")
            try verify(try setting.steering.metrics().refused, is: 0, "refused by a binding")
        }
    }

    @Test("What a change throws, it throws, and nothing changes")
    func throwingChange() async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let flow = Flow(.tcp, .ipv6)
            let setting = try Setting(flow)
            try verifyThrows(.invalidLabel) {
                try setting.steering.update { policy throws(SteeringError) in
                    policy = Policy()
                    _ = try Label(["not a label"][0])
                }
            }
            try setting.verifySteers(flow, "afterwards")
        }
    }

    @Test("Binding and unbinding from eight threads loses nothing")
    func manyThreads() async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let setting = try Setting(Flow(.tcp, .ipv4))
            let steering = setting.steering
            let before = try steering.policy
            let threads = (0..<8).map { thread in
                let done = ThreadResult<String?>()
                runOnThread {
                    do {
                        let label = try Label("thread\(thread)")
                        func binding(_ number: Int) throws -> Binding {
                            try Binding(.both, to: IPPrefix("10.\(thread).\(number).0/24"), ports: [80], .label(label))
                        }
                        for number in 0..<20 {
                            try steering.bind(binding(number))
                            let twin = try Binding(.udp, to: binding(number).prefix, ports: [81], .refuse)
                            try steering.update { $0.bind(twin) }
                            if number % 2 == 1 { try steering.unbind(binding(number)) }
                        }
                        done.finish(nil)
                    } catch { done.finish("\(error)") }
                }
                return done
            }
            for thread in threads { try verify(thread.wait(), is: nil) }

            try verify(steering.policy.bindings.count, is: before.bindings.count + 8 * 30, "bindings")
            for thread in 0..<8 {
                for number in 0..<20 {
                    let address = try IPAddress("10.\(thread).\(number).1")
                    let tcp = try steering.testRun(.tcp, to: SocketAddress(address, port: 80))
                    try verify(tcp.verdict, is: number % 2 == 1 ? 1 : 0, "tcp to \(address)")
                    let udp = try steering.testRun(.udp, to: SocketAddress(address, port: 81))
                    try verify(udp.verdict, is: 0, "udp to \(address)")
                }
            }
            try verify(try steering.metrics().destinations.count, is: 4 * 9, "destinations")
        }
    }
}

/// Whether a descriptor is a BPF link.
private func isLink(_ descriptor: CInt) -> Bool {
    var buffer = [UInt8](repeating: 0, count: 64)
    let count = readlink("/proc/self/fd/\(descriptor)", &buffer, buffer.count)
    return String(decoding: buffer[..<max(0, count)], as: UTF8.self).contains("bpf_link")
}
