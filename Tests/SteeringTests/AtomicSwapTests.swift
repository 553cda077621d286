import Glibc
import KernelTestSupport
import Synchronization
import Testing

@testable import Steering

/// A policy is swapped in one step: every packet is judged by one of the two, wholly.
@Suite(.kernel, .serialized)
struct AtomicSwapTests {
    /// A swap takes some milliseconds, the grace period.
    static let swaps = getenv("STEERING_SWAPS").flatMap { Int(String(cString: $0)) } ?? 200

    /// Also from one form of tables to another: then the program takes another way through itself.
    @Test(
        "While policies that disagree everywhere are swapped, no packet meets a third outcome",
        arguments: [[Tables.Form.dense, .dense], [.dense, .sparse], [.sparse, .sparse]])
    func onlyOneOrTheOther(forms: [Tables.Form]) async throws {
        let seen = try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            let policies = try policies()
            // Not by the steering itself, which lets its callers take turns.
            let plane = steering.state.withLock { $0.plane }
            return try swapAndWatch(
                steering, Self.swaps, run: { try plane.testRun($0, from: nil, to: $1) },
                apply: { try steering.apply(policies[$0], as: forms[$0]) })
        }
        check(seen, Self.swaps)
    }

    /// From one program to a larger one, and by an upgrade back.
    @Test("While a policy outgrows its tables again and again, no packet meets a third outcome")
    func growing() async throws {
        let swaps = Self.swaps / 10
        let seen = try await withNetworkNamespace(routing: Flow.prefixes) {
            let bpffs = try TestFileSystem()
            let steering = try SocketSteering.load(into: try .current(), bpffs: bpffs.path)
            let reader = try SocketSteering.open(try .current(), bpffs: bpffs.path, for: .reading)
            var policies = try policies()
            policies[1] = Policy(policies[1].bindings + hostsWithPorts(600, "b"))
            let small = policies[0], large = policies[1]
            return try swapAndWatch(
                steering, swaps,
                run: { transport, packet in
                    let plane = try reader.reading { $0.plane }
                    return try plane.testRun(transport, from: nil, to: packet)
                },
                apply: { policy in
                    try steering.apply(policy == 0 ? small : large)
                    if policy == 0 { try SocketSteering.upgrade(in: try .current(), bpffs: bpffs.path) }
                    let size = policy == 0 ? TableSize.smallest : .small
                    try verify(steering.tables().memory, is: 2 * size.bytes)
                })
        }
        check(seen, swaps)
    }

    private func check(_ seen: [Seen], _ swaps: Int) {
        for watcher in seen { #expect(watcher.isEnough(of: swaps), "\(watcher)") }
    }
}

/// How often a watcher met each policy, and the other one than the time before.
private struct Seen: Sendable {
    var outcomes = [0, 0]
    var changes = 0
    private var last = 0

    init() {}

    mutating func note(_ policy: Int) {
        outcomes[policy] += 1
        if policy != last { changes += 1 }
        last = policy
    }

    /// Both policies often, or nothing was shown.
    func isEnough(of swaps: Int) -> Bool { min(outcomes[0], outcomes[1], changes) > swaps / 20 }
}

/// What a watcher has seen until now.
private final class Notes: Sendable {
    let seen = Mutex(Seen())
}

/// What both policies bind, and all packets are of. (Not everything: unoptimised, filling large tables
/// would take longer than the grace period.)
private enum Area {
    static let prefixes = try! (Flow.prefixes + ["10.0.0.0/16"]).map { try IPPrefix($0) }
    static let ports: ClosedRange<UInt16> = 7000...7063
}

/// Two policies which lead every packet of the area to one label or the other.
///
/// Their tables do not mix: the area's ports have another class in each, and where one has that class the
/// other refuses. A packet that met parts of both would be refused, or steered nowhere.
private func policies() throws -> [Policy] {
    let ports = PortSet(PortRange(Area.ports))
    func area(_ label: Label) throws -> [Binding] {
        try Area.prefixes.map { try Binding(.both, to: $0, ports: ports, .label(label)) }
    }
    func trap(port: UInt16) throws -> [Binding] {
        try Area.prefixes.map { try Binding(.both, to: $0, ports: [PortRange(port)], .refuse) }
    }
    // The second has more rows, nodes and port classes, all leading to the same label.
    var random = SeededGenerator(seed: 7)
    let details = try (0..<100).map { number in
        let within = Area.prefixes[number % Area.prefixes.count]
        let address = PrefixPool([within]).randomAddress(using: &random)!
        let length = Int.random(in: within.length...address.family.bitWidth, using: &random)
        let port = UInt16.random(in: Area.ports, using: &random)
        return try Binding(.both, to: IPPrefix(masking: address, length: length), ports: [PortRange(port)], .label("b"))
    }
    return [Policy(try area("a") + trap(port: 1)), Policy(try area("b") + trap(port: 65_000) + details)]
}

/// Runs the program that is attached, once.
private typealias Run =
    @Sendable (TransportProtocol, SocketAddress) throws -> (verdict: UInt32, cookie: SocketCookie?)

private func swapAndWatch(
    _ steering: SocketSteering, _ swaps: Int, run: @escaping Run, apply: (_ policy: Int) throws -> Void
) throws -> [Seen] {
    let servers = try Servers(["a", "b"])
    for server in servers.all { try steering.sockets.register(server.socket, as: server.destination.label) }
    let listeners = try (0..<2).map { _ in try TestSocket(.tcp, on: SocketAddress("[::]:0"), .dualStack) }
    for (listener, label) in zip(listeners, ["a", "b"] as [Label]) {
        try steering.sockets.replace(listener.socket, as: label)
    }
    // Which policy a socket belongs to.
    let owners = Dictionary(
        try steering.sockets.list().map { ($0.cookie, $0.destination.label == "a" ? 0 : 1) }, uniquingKeysWith: { $1 })
    try apply(0)

    let writer = ThreadResult<String?>()
    var watchers: [ThreadResult<Result<Seen, any Error>>] = [], notes: [Notes] = []
    func watch(_ look: @escaping @Sendable () throws -> Int) {
        let done = ThreadResult<Result<Seen, any Error>>(), own = Notes()
        runOnThread {
            // The calling thread alone: on few CPUs the writer must get on.
            setpriority(.init(PRIO_PROCESS.rawValue), 0, 10)
            done.finish(
                Result {
                    while !writer.isFinished {
                        let policy = try look()
                        own.seen.withLock { $0.note(policy) }
                    }
                    return own.seen.withLock { $0 }
                })
        }
        watchers.append(done)
        notes.append(own)
    }
    for seed in 1...2 {
        let packets = Packets(seed: UInt64(seed))
        watch {
            let (transport, packet) = packets.next()
            let (verdict, cookie) = try run(transport, packet)
            guard verdict == 1, let cookie, let owner = owners[cookie] else {
                throw Unmet(
                    description: "\(transport) \(packet): verdict \(verdict), socket \(cookie?.description ?? "-")")
            }
            return owner
        }
    }
    let connections = Packets(seed: 3)
    watch {
        let packet = connections.nextRouted()
        guard case .to(let index) = try Traffic.deliver(.tcp, to: packet, among: listeners) else {
            throw Unmet(description: "a connection to \(packet) reached nobody")
        }
        return index
    }

    // The writer is this thread: what it has applied, the very next packet meets.
    do {
        let packets = Packets(seed: 4)
        var swap = 0
        // On a crowded machine watchers come rarely: more swaps, until each has seen enough or one has failed.
        while swap < swaps
            || swap < 100 * swaps && !watchers.contains(where: \.isFinished)
                && !notes.allSatisfy({ $0.seen.withLock { $0.isEnough(of: swaps) } })
        {
            swap += 1
            try apply(swap % 2)
            let (transport, packet) = packets.next()
            let (verdict, cookie) = try steering.testRun(transport, to: packet)
            let owner = cookie.flatMap { owners[$0] }
            try verify(
                verdict == 1 && owner == swap % 2,
                "swap \(swap), \(transport) \(packet): \(verdict), policy \(owner ?? -1)")
        }
        writer.finish(nil)
    } catch {
        writer.finish("\(error)")
        for watcher in watchers { _ = watcher.wait() }
        throw error
    }
    // Optimised code would let go of the sockets while watchers still look.
    return try withExtendedLifetime((servers, listeners)) { try watchers.map { try $0.wait().get() } }
}

/// Random packets of the area; for one thread.
private final class Packets: @unchecked Sendable {
    private var random: SeededGenerator

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    func next() -> (TransportProtocol, SocketAddress) {
        (TransportProtocol.allCases.randomElement(using: &random)!, nextAddress(in: Area.prefixes))
    }

    /// One that reaches this host, so that a connection can be made to it.
    func nextRouted() -> SocketAddress { nextAddress(in: Area.prefixes.filter { $0.first.bits >> 24 != 10 }) }

    private func nextAddress(in prefixes: [IPPrefix]) -> SocketAddress {
        let pool = PrefixPool([prefixes.randomElement(using: &random)!])
        return SocketAddress(pool.randomAddress(using: &random)!, port: .random(in: Area.ports, using: &random))
    }
}
