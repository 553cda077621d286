import Glibc
import KernelTestSupport
import Steering
import Testing

/// Groups of workers on plain sockets.
@Suite(.kernel)
struct WorkerSocketsTests {
    private static let processors = sysconf(CInt(_SC_NPROCESSORS_ONLN))

    /// A steering, and a group of workers behind it.
    private static func group(
        _ flow: Flow, of workers: Int, _ spread: LoadSpreading
    ) throws -> (SocketSteering, [WorkerSocket]) {
        let steering = try SocketSteering.attach()
        try steering.bind("web", .both, to: flow.pool, ports: [7000])
        let sockets =
            flow.transport == .tcp
            ? try steering.sockets.registerListeners(
                workers, as: "web", on: flow.loopback, .nonblocking, spread: spread)
            : try steering.sockets.registerReceivers(
                workers, as: "web", on: flow.loopback, .nonblocking, spread: spread)
        return (steering, sockets)
    }

    /// Who gets what a client on a processor sends, 20 times: indices of sockets.
    private static func receivers(_ flow: Flow, from processor: Int, _ sockets: [WorkerSocket]) throws -> [Int] {
        let target = flow.host(1, port: 7000)
        try shell(
            """
            taskset --cpu-list \(processor) bash -c '
                for i in $(seq 20); do echo hello >/dev/\(flow.transport)/\(target.address)/\(target.port); done'
            """)
        return sockets.indices.flatMap { index in
            var count = 0
            while takes(flow.transport, sockets[index]) { count += 1 }
            return Array(repeating: index, count: count)
        }
    }

    /// Takes a connection, or a datagram, if there is one.
    private static func takes(_ transport: TransportProtocol, _ socket: WorkerSocket) -> Bool {
        if transport == .udp {
            var byte: UInt8 = 0
            return recv(socket.socket.rawValue, &byte, 1, 0) >= 0
        }
        let accepted = accept(socket.socket.rawValue, nil, nil)
        if accepted >= 0 { close(accepted) }
        return accepted >= 0
    }

    @Test("Evenly, each worker's socket is registered, and takes part", arguments: Flow.all)
    func evenly(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let (steering, sockets) = try Self.group(flow, of: 2, .evenly)
            try verify(sockets.map(\.worker), is: [0, 1], "workers")
            try verify(try steering.sockets.list().count, is: 2, "registered")
            var counts = [0, 0]
            for _ in 0..<5 { for index in try Self.receivers(flow, from: 0, sockets) { counts[index] += 1 } }
            try verify(counts.reduce(0, +) == 100 && counts.allSatisfy { $0 > 10 }, "shares \(counts)")
        }
    }

    @Test(
        "By processor, each worker has what arrives on its own, until it is closed",
        .enabled(if: processors > 1 || KernelTests.areRequired, "needs two processors"), arguments: Flow.all)
    func byCPU(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let workers = Self.processors
            var (steering, sockets) = try Self.group(flow, of: workers, .byCPU)
            for processor in 0..<workers {
                let receivers = try Self.receivers(flow, from: processor, sockets)
                try verify(receivers, is: Array(repeating: processor, count: 20), "on processor \(processor)")
            }
            let registered = flow.transport == .udp ? [0, workers - 1] : Array(0..<workers)
            try verify(sockets.filter(\.isRegistered).map(\.worker), is: registered, "registered")
            try verify(try steering.sockets.list().count, is: registered.count, "in the map")

            // The others take what was the first worker's, and keep what is theirs.
            sockets.removeFirst()
            try verify(try Self.receivers(flow, from: 0, sockets).count, is: 20, "without the first worker")
            let second = try Self.receivers(flow, from: 1, sockets)
            try verify(second, is: Array(repeating: 0, count: 20), "of the second worker")

            // The first of those that are registered.
            sockets.remove(at: sockets.firstIndex(where: \.isRegistered)!)
            for processor in 0...1 where !sockets.isEmpty {
                let count = try Self.receivers(flow, from: processor, sockets).count
                try verify(count, is: 20, "without one that was registered, on \(processor)")
            }
        }
    }
}

/// What a group is made of.
@Suite
struct SpreadTests {
    @Test("A worker alone is registered, whatever the spread")
    func alone() {
        for spread in [LoadSpreading.evenly, .byCPU] {
            let members = spread.members(.udp, workers: 1, processors: 8)
            #expect(members == [GroupMember(worker: 0, processor: nil, isRegistered: true)])
        }
    }

    @Test("More workers than processors share processors")
    func manyWorkers() {
        let members = LoadSpreading.byCPU.members(.tcp, workers: 5, processors: 2)
        #expect(members.map(\.processor) == [0, 1, 0, 1, 0])
        #expect(members.filter(\.isRegistered) == members)
    }

    @Test("Of UDP workers by processor the first and the last have an anchor, and only anchors are registered")
    func anchors() {
        let members = LoadSpreading.byCPU.members(.udp, workers: 3, processors: 4)
        #expect(members.map(\.worker) == [0, 1, 2, 0, 2])
        #expect(members.map(\.processor) == [0, 1, 2, nil, nil])
        #expect(members.map(\.isRegistered) == [false, false, false, true, true])
    }
}
