import KernelTestSupport
import Testing

@testable import Steering

/// A policy that the tables have no room for: a program with larger ones takes the former one's place.
@Suite(.kernel, .serialized)
struct GrowthTests {
    @Test("An attached steering grows under traffic; sockets, counters and label numbers stay", arguments: Flow.all)
    func attached(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let steering = try SocketSteering.attach()
            let socket = try flow.socket()
            try steering.sockets.register(socket.socket, as: "web")
            try steering.bind("web", .both, to: flow.pool, ports: [7000])
            let policy = try steering.policy
            let count = try underTraffic(flow, socket) {
                try verify(steering.tables().memory, is: 2 * TableSize.smallest.bytes)
                try grow(steering, from: policy)
                // Once grown it stays so, and changes as before.
                try steering.apply(policy)
                try verify(steering.tables().memory, is: 2 * TableSize.small.bytes)
            }
            try verifyCounted(count, flow, steering)
            try verify(steering.metrics().destinations[flow.destination("web")]?.misses, is: 0)
            steering.detach()
            let delivery = try Traffic.deliver(flow.transport, to: flow.host(1, port: 7000), among: [socket])
            try verify(delivery, is: .refused, "after the end")
        }
    }

    @Test(
        "A loaded steering grows under traffic and shrinks by an upgrade; who has it open follows", arguments: Flow.all)
    func loaded(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let bpffs = try TestFileSystem()
            let steering = try SocketSteering.load(into: try .current(), bpffs: bpffs.path)
            let writer = try SocketSteering.open(try .current(), bpffs: bpffs.path)
            let reader = try SocketSteering.open(try .current(), bpffs: bpffs.path, for: .reading)
            let socket = try flow.socket()
            try steering.sockets.register(socket.socket, as: "web")
            try steering.bind("web", .both, to: flow.pool, ports: [7000])
            let policy = try steering.policy, files = try bpffs.listing()
            func verifyAll(have policy: Policy, _ size: TableSize) throws {
                for handle in [steering, writer, reader] {
                    try verify(handle.policy, is: policy)
                    try verify(handle.tables().memory, is: 2 * size.bytes)
                    try verify(handle.sockets.list().map(\.cookie.rawValue), is: [socket.cookie])
                }
                try verify(bpffs.listing(), is: files)
            }
            let count = try underTraffic(flow, socket) {
                for _ in 0..<2 {
                    let large = try grow(steering, from: policy)
                    try verifyAll(have: large, .small)
                    // Another one's change, in the larger tables; then an upgrade by a third.
                    try writer.apply(policy)
                    try verifyAll(have: policy, .small)
                    try SocketSteering.upgrade(in: try .current(), bpffs: bpffs.path)
                    try verifyAll(have: policy, .smallest)
                }
            }
            try verifyCounted(count, flow, reader)
            try SocketSteering.unload(from: try .current(), bpffs: bpffs.path)
            try verify(bpffs.listing(), is: ["steering/"])
        }
    }

    /// Each datagram is one lookup. Of a connection also what comes late, for a socket that is closed already, is one.
    private func verifyCounted(_ count: UInt64, _ flow: Flow, _ steering: SocketSteering) throws {
        let lookups = try steering.metrics().destinations[flow.destination("web")]?.lookups ?? 0
        let late = lookups >= count ? lookups - count : .max
        try verify(flow.transport == .udp ? late == 0 : late <= count / 100, "\(lookups) lookups for \(count)")
    }

    @Test("What is too large for the largest tables is refused, and nothing changes")
    func tooLarge() async throws {
        try await withNetworkNamespace {
            let steering = try SocketSteering.attach()
            try steering.bind("web", .tcp, to: PrefixPool("192.0.2.0/24"), ports: [80])
            let before = (try steering.policy, try steering.tables())
            // 16,000 rows times 16,000 classes, in the form that multiplies.
            let policy = Policy(hostsWithPorts(16_000, "far"))
            try verifyThrows(.tablesTooLarge) { try steering.apply(policy, as: .dense) }
            let after = (try steering.policy, try steering.tables())
            try verify(before == after, "\(before) became \(after)")
        }
    }

    /// Applies what outgrows the smallest tables, but not the next ones.
    @discardableResult
    private func grow(_ steering: SocketSteering, from policy: Policy) throws -> Policy {
        let large = Policy(policy.bindings + hostsWithPorts(600, "far"))
        try steering.apply(large)
        try verify(steering.tables().memory, is: 2 * TableSize.small.bytes)
        try verify(steering.testRun(.tcp, to: SocketAddress("10.1.0.7:10014")).verdict, is: 0, "no socket")
        try verify(steering.testRun(.tcp, to: SocketAddress("10.1.0.7:10016")).verdict, is: 1, "not bound")
        return large
    }

    /// Changes something while a client connects, or sends, without rest; how often it did. Each time it must
    /// reach the socket.
    private func underTraffic(_ flow: Flow, _ socket: TestSocket, _ change: () throws -> Void) throws -> UInt64 {
        let changed = ThreadResult<Void>(), watched = ThreadResult<Result<UInt64, any Error>>()
        runOnThread {
            watched.finish(
                Result {
                    var count: UInt64 = 0
                    while !changed.isFinished {
                        let host = flow.host(UInt8(truncatingIfNeeded: count) | 1, port: 7000)
                        let delivery = try Traffic.deliver(flow.transport, to: host, among: [socket])
                        try verify(delivery, is: .to(0), "packet \(count)")
                        count += 1
                    }
                    return count
                })
        }
        let result = Result { try change() }
        changed.finish(())
        let count = try watched.wait().get()
        try result.get()
        try verify(count > 10, "\(count) packets")
        return count
    }
}
