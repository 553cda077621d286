import CSteering
import Glibc
import KernelTestSupport
import Testing

@testable import Steering

/// What `observe` tells is what happened; it changes nothing, and nothing of it is left.
@Suite(.kernel)
struct PacketTraceTests {
    @Test("A packet is told with its binding, interface, source and outcome; traffic goes on", arguments: Flow.all)
    func told(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            let socket = try flow.socket()
            try steering.sockets.register(socket.socket, as: "web")
            try steering.bind("web", .both, to: flow.pool, ports: [80])
            let source = SocketAddress(flow.loopback.address, port: 4711)
            let sender = IPPrefix(masking: source.address, length: flow.family.bitWidth)
            try steering.bind(Binding(.both, to: flow.only(2), ports: .all, from: sender, on: "lo", .refuse))
            try steering.bind(Binding(.both, to: flow.only(3), ports: .all, .pass))
            var trace = try steering.observe(in: try .current())

            let expected: [(SocketAddress, Delivery, Outcome)] = [
                (flow.host(1, port: 80), .to(0), .label("web")), (flow.host(2, port: 9), .refused, .refuse),
                (flow.host(3, port: 9), .refused, .pass),
            ]
            let bindings = try steering.policy.bindings
            for (target, delivery, outcome) in expected {
                let found = try Traffic.deliver(flow.transport, to: target, from: source, among: [socket])
                try verify(found, is: delivery, "\(target)")
                guard let seen = try trace.next(within: Patience.duration) else { throw Unmet(description: "not told") }
                try verify(seen.packet, is: Packet(flow.transport, to: target, from: source, on: "lo"))
                try verify(seen.outcome, is: outcome)
                try verify(seen.binding, is: bindings.first { $0.outcome == outcome })
                try verify(
                    seen.destination, is: outcome == .label("web") ? flow.destination("web") : nil, "destination")
                let now = monotonic()
                try verify(seen.nanoseconds <= now && now - seen.nanoseconds < 10_000_000_000, "its time")
            }
            // What no binding matches is not told.
            _ = try Traffic.deliver(flow.transport, to: flow.host(1, port: 81), from: source, among: [socket])
            try verify(try trace.next(within: .milliseconds(200)), is: nil)
            let counts = try trace.counts()
            try verify(counts.seen == 3 && counts.lost == 0, "\(counts)")
        }
    }

    @Test("It agrees with the reference matcher on random policies and packets, also of sources and interfaces")
    func agreement() async throws {
        let met = try await withNetworkNamespace { () throws -> [String: Int] in
            try shell("ip link add eth0 type veth peer name eth1")
            let steering = try SocketSteering.attach()
            let labels: [Label] = ["a", "b", "c", "without"]
            var policies = RandomPolicies(
                seed: 7, labels: labels, conditions: true, interfaces: ["lo", "eth0", "eth1"])
            try steering.apply(policies.policy(bindings: 5))
            var trace = try steering.observe(in: try .current())
            var met: [String: Int] = [:]
            for _ in 0..<40 {
                let policy = policies.policy(bindings: Int.random(in: 1...24, using: &policies.random))
                try steering.apply(policy)
                let matcher = ReferenceMatcher(policy)
                for _ in 0..<25 {
                    let packet = policies.packet(near: policy).asItArrives
                    _ = try steering.explain(packet, in: try .current())
                    let winner = matcher.winner(for: packet)
                    let seen = try trace.next(within: winner == nil ? .zero : Patience.duration)
                    try verify(seen?.packet, is: winner == nil ? nil : packet)
                    try verify(seen?.outcome, is: winner?.outcome, "\(packet) of \(policy.bindings)")
                    // Of two that overlap, and mean the same, either.
                    try verify(seen?.binding?.precedence, is: winner?.precedence, "\(packet) of \(policy.bindings)")
                    if let binding = seen?.binding { try verify(binding.matches(packet), "\(binding): \(packet)") }
                    met[winner?.outcome.description.prefix(5).description ?? "none", default: 0] += 1
                }
            }
            return met
        }
        #expect(met.count == 4 && met.values.allSatisfy { $0 > 20 }, "\(met)")
    }

    @Test("Of a label only its packets are told, whatever becomes of its number")
    func label() async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            let flow = Flow(.udp, .ipv6)
            try steering.bind("web", .udp, to: flow.pool, ports: [80])
            try steering.bind("dns", .both, to: PrefixPool("192.0.2.0/24", "2001:db8::/64"), ports: [53])
            try steering.bind(Binding(.udp, to: flow.prefix, ports: [54], .refuse))
            try verifyThrows(.unknownLabel) { _ = try steering.observe(in: try .current(), label: "other") }
            var trace = try steering.observe(in: try .current(), label: "dns")
            func ports() throws -> [UInt16] {
                for port: UInt16 in [80, 53, 54] { try send(1, to: flow.host(1, port: port)) }
                try send(1, to: Flow(.udp, .ipv4).host(1, port: 53))
                var ports: [UInt16] = []
                while let seen = try trace.next(within: .milliseconds(300)) {
                    try verify(seen.outcome, is: .label("dns"))
                    ports.append(seen.packet.destination.port)
                }
                return ports
            }
            try verify(try ports(), is: [53, 53])
            // Without bindings it gives its number back; another label takes it.
            let dns = try steering.policy.bindings.filter { $0.outcome == .label("dns") }
            try steering.update { (policy: inout Policy) throws(SteeringError) in try policy.unbind(each: dns) }
            try steering.bind("other", .udp, to: flow.pool, ports: [55])
            try verify(try trace.next(within: .milliseconds(300)), is: nil)
            try send(1, to: flow.host(1, port: 55))
            try verify(try ports(), is: [])
            try steering.bind("dns", .udp, to: flow.pool, ports: [53])
            try verify(try trace.next(within: .milliseconds(300)), is: nil)
            try verify(try ports(), is: [53])
        }
    }

    @Test("One in ten is about a tenth")
    func sampling() async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            let flow = Flow(.udp, .ipv4)
            try steering.bind("web", .udp, to: flow.pool, ports: [80])
            var trace = try steering.observe(in: try .current(), oneIn: 10)
            try send(20_000, to: flow.host(1, port: 80))
            try untilCounted(20_000) { try trace.counts().seen }
            var shown = 0
            while try trace.next(within: .milliseconds(200)) != nil { shown += 1 }
            // Six standard deviations are 255.
            try verify((1_700...2_300).contains(shown), "\(shown) of 20,000")
            try verify(try trace.counts().lost, is: 0, "lost")
        }
    }

    @Test("What finds no room is counted, and the packets themselves are not held up")
    func lost() async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            let flow = Flow(.udp, .ipv4)
            try steering.bind("web", .udp, to: flow.pool, ports: [80])
            var trace = try steering.observe(in: try .current())
            try send(10_000, to: flow.host(1, port: 80))
            try untilCounted(10_000) { try trace.counts().seen }
            let lost = try trace.counts().lost
            try verify(lost > 5_000, "\(lost) lost")
            var shown: UInt64 = 0
            while try trace.next(within: .milliseconds(200)) != nil { shown += 1 }
            try verify(shown + lost, is: 10_000)
            try verify(try steering.metrics().destinations[flow.destination("web")]?.lookups, is: 10_000)
            // There is room again.
            try send(1, to: flow.host(2, port: 80))
            try verify(try trace.next(within: Patience.duration)?.packet.destination, is: flow.host(2, port: 80))
        }
    }

    @Test(
        "It follows changes and growing tables, loaded or attached, of this process or another",
        arguments: [true, false])
    func growth(loaded: Bool) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let bpffs = try TestFileSystem()
            let steering =
                loaded ? try SocketSteering.load(into: try .current(), bpffs: bpffs.path) : try SocketSteering.attach()
            // As another process has it.
            let other = loaded ? try SocketSteering.open(try .current(), bpffs: bpffs.path) : steering
            let observed =
                loaded ? try SocketSteering.open(try .current(), bpffs: bpffs.path, for: .reading) : steering
            let flow = Flow(.udp, .ipv4)
            try steering.bind("web", .udp, to: flow.pool, ports: [80])
            var trace = try observed.observe(in: try .current())
            let attached = try NetworkNamespace.current().attachedPrograms().count
            func outcome() throws -> Outcome? {
                try verify(try trace.next(within: .milliseconds(300)), is: nil, "before")
                try send(1, to: flow.host(1, port: 80))
                guard let seen = try trace.next(within: Patience.duration) else { return nil }
                try verify(seen.binding?.outcome, is: seen.outcome)
                return seen.outcome
            }
            try verify(try outcome(), is: .label("web"))
            try other.apply(Policy([Binding(.udp, to: flow.prefix, ports: [80], .refuse)]))
            // At once: the event names the policy.
            try send(1, to: flow.host(1, port: 80))
            try verify(try trace.next(within: Patience.duration)?.binding?.outcome, is: .refuse)

            let size = try steering.tables().memory
            let many = RuleSets.hostLists.bindings(60_000, labels: 10)
            try other.apply(Policy(many + [Binding(.udp, to: flow.only(1), ports: [80], .label("large"))]))
            try verify(try steering.tables().memory > size, "the tables grew")
            try verify(try outcome(), is: .label("large"))
            try other.apply(Policy([Binding(.udp, to: flow.prefix, ports: [80], .label("again"))]))
            try verify(try outcome(), is: .label("again"))
            if loaded {
                try SocketSteering.upgrade(in: try .current(), bpffs: bpffs.path)
                try verify(try outcome(), is: .label("again"))
            }
            let counts = try trace.counts()
            try verify(counts.seen, is: loaded ? 5 : 4)
            try verify(try NetworkNamespace.current().attachedPrograms().count, is: attached)
            if loaded { try SocketSteering.unload(from: try .current(), bpffs: bpffs.path) } else { steering.detach() }
            try verifyThrows(loaded ? .notLoaded : .detached) { _ = try trace.next(within: .milliseconds(300)) }
        }
    }

    @Test("When it ends nothing is left; several may observe at once")
    func ends() async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            let flow = Flow(.udp, .ipv4)
            try steering.bind("web", .udp, to: flow.pool, ports: [80])
            func attached() throws -> Int { try NetworkNamespace.current().attachedPrograms().count }
            try verify(try attached(), is: 1)
            do {
                var one = try steering.observe(in: try .current()), other = try steering.observe(in: try .current())
                let counter = try steering.countBindings(in: try .current())
                try verify(try attached(), is: 4)
                try send(1, to: flow.host(1, port: 80))
                try verify(try one.next(within: Patience.duration) != nil, "one")
                try verify(try other.next(within: Patience.duration) != nil, "other")
                try verify(try counter.counts().map(\.packets), is: [1])
            }
            try verify(try attached(), is: 1)
            try inAnotherNetworkNamespace {
                try verifyThrows(.networkNamespaceUnavailable) { _ = try steering.observe(in: try .current()) }
                try verifyThrows(.networkNamespaceUnavailable) { _ = try steering.countBindings(in: try .current()) }
            }
        }
    }

    @Test("Built by other compilers the programs load, in every size", arguments: ObjectTests.compilers)
    func compilers(clang: String) throws {
        let bytes = try BPFObject.compiled(by: clang)
        for size in TableSize.allCases {
            let tables = LoadedProgram.Map(name: MapName.policy.inObject(size))
            for (program, map) in [("observe", "events"), ("count", "counts")] {
                let maps =
                    [tables, LoadedProgram.Map(name: map)] + (program == "observe" ? [.init(name: "observed")] : [])
                _ = try LoadedProgram("\(program)_\(size.name)", maps: maps, tables: size, object: bytes)
            }
        }
    }
}

/// Sends datagrams from an unconnected socket, which takes no notice of refusals.
func send(_ count: Int, to target: SocketAddress, from source: SocketAddress? = nil) throws {
    let family = target.address.family == .ipv4 ? AF_INET : AF_INET6
    let client = OwnedDescriptor(owning: socket(family, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0))
    if let source { try Traffic.bind(client.rawValue, to: source) }
    for _ in 0..<count {
        try target.pass(to: "sendto") { CInt(sendto(client.rawValue, [7], 1, 0, $0, $1)) }
    }
}

/// Waits until a counter is there, for as long as five seconds.
func untilCounted(_ count: UInt64, _ current: () throws -> UInt64) throws {
    for _ in 0..<500 {
        if try current() >= count { break }
        usleep(10_000)
    }
    try verify(try current(), is: count)
}

private func monotonic() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}
