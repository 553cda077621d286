import ArgumentParser
import CBench
import Glibc

struct UDPMeasure: Measure {
    static let name = "udp"
    static let title = "What a datagram costs, sent over a veth pair to a random address"

    @OptionGroup var options: MeasureOptions

    @Option(help: "How often all is set up anew: where in memory things come to lie is worth one in a hundred.")
    var setups = 5

    @Option(help: "How many slices each case has after each.")
    var rounds = 600

    @Option(help: "Datagrams in a slice, at most \(BENCH_BURST).")
    var datagrams = 256

    /// What becomes of the datagrams.
    enum Receiver: String, CaseIterable {
        case full, drained
    }

    func measure() throws -> (figures: [Figure], notes: [String]) {
        _ = try BenchError.check("setrlimit", bench_allow_descriptors(1 << 16))
        var random = SeededGenerator(seed: 1)
        var figures: [Figure] = []
        for traffic in Traffic.allCases where traffic.transport == .udp {
            let addresses = traffic.addresses(&random)
            var results = Receiver.allCases.map { _ in Rounds(Way.allCases.count) }
            for _ in 0..<(options.quick ? 1 : setups) {
                let lanes = try Way.allCases.map { way in
                    try UDPLane(Lane(way, traffic, addresses, objects: options.objects))
                }
                for (index, state) in Receiver.allCases.enumerated() {
                    try measure(lanes, state, &results[index], &random)
                }
            }
            for (state, rounds) in zip(Receiver.allCases, results) {
                figures += rounds.figures(
                    Self.name, Way.allCases.map(\.rawValue), "\(state.rawValue)/\(traffic.family)",
                    unit: "ns/datagram", to: Way.floor.rawValue)
            }
        }
        return (figures, Self.notes)
    }

    private func measure(
        _ lanes: [UDPLane], _ state: Receiver, _ results: inout Rounds, _ random: inout SeededGenerator
    ) throws {
        for lane in lanes { try lane.prepare(state) }
        try results.run(options.quick ? 3 : rounds, of: lanes.indices, random: &random) {
            // What the others have driven out of the caches comes back first.
            _ = try lanes[$0].slice(datagrams / 4, state, &$1)
            return try lanes[$0].slice(datagrams, state, &$1)
        }
        for lane in lanes { try lane.check(state) }
    }

    private static let notes = [
        "Each case has two network namespaces of its own, joined by a veth pair; one thread sends (sendmmsg) and "
            + "the kernel delivers within the call.",
        "full: no receive buffer has room, so a datagram costs sending, the lookup and the refusal. drained: the "
            + "same thread receives after each 64 (epoll_wait, recvmmsg), and that is counted too.",
        Figure.pairedNote,
    ]
}

private final class UDPLane {
    private let lane: Lane
    private let sender: CInt
    /// How many datagrams have been sent, to be refused, since the receivers were full.
    private var sent: Int64 = 0
    private var dropsBefore: Int64 = 0

    init(_ lane: Lane) throws {
        self.lane = lane
        sender = try lane.wire.asClient { try BenchError.check("socket", bench_sender(lane.targets[0].family)) }
        try lane.open()
    }

    deinit { close(sender) }

    /// Leaves the receivers full, or empty and with room.
    func prepare(_ state: UDPMeasure.Receiver) throws {
        let bytes: CInt = state == .full ? 0 : 1 << 20
        for socket in lane.service.sockets {
            _ = try BenchError.check("setsockopt", bench_set_receive_buffer(socket, bytes))
        }
        switch state {
        case .full:
            var burst = bench_burst()
            for start in stride(from: 0, to: lane.targets.count, by: Int(BENCH_BURST)) {
                try lane.aim(lane.targets[start..<start + Int(BENCH_BURST)])
                for _ in 0..<8 { _ = try BenchError.check("sendmmsg", bench_flood(sender, &burst)) }
            }
            (sent, dropsBefore) = (0, try drops())
        case .drained:
            _ = try BenchError.check("recvmmsg", bench_drain(lane.service.poller))
        }
    }

    func slice(_ count: Int, _ state: UDPMeasure.Receiver, _ random: inout SeededGenerator) throws -> bench_burst {
        try lane.aim(count, &random)
        var burst = bench_burst()
        switch state {
        case .full:
            _ = try BenchError.check("sendmmsg", bench_flood(sender, &burst))
            sent += Int64(burst.completed)
        case .drained:
            // Fails when not all of them come back.
            _ = try BenchError.check(
                "\(lane.name): receiving", bench_exchange(sender, lane.service.poller, 64, &burst))
        }
        return burst
    }

    /// Whether the datagrams went where they were meant to.
    func check(_ state: UDPMeasure.Receiver) throws {
        guard state == .full else { return }
        let refused = try drops() - dropsBefore
        guard refused == sent, sent > 0 else {
            throw BenchError("\(lane.name): \(sent) datagrams were sent to full receivers, which refused \(refused)")
        }
    }

    private func drops() throws -> Int64 {
        try lane.service.sockets.reduce(0) { sum, socket in
            let drops = bench_drops(socket)
            guard drops >= 0 else { throw BenchError("SO_MEMINFO failed") }
            return sum + drops
        }
    }
}
