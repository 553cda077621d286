import ArgumentParser
import CBench
import Glibc
import Steering

struct UDPMeasure: Measure {
    static let name = "udp"
    static let title = "What a datagram costs, sent over a veth pair to a random address"

    @OptionGroup var options: MeasureOptions

    @Option(help: "How many slices of \(BENCH_BURST) datagrams each case has.")
    var rounds = 400

    func measure() throws -> (figures: [Figure], notes: [String]) {
        _ = try BenchError.check("setrlimit", bench_allow_descriptors())
        var random = RepeatableRandom(seed: 1)
        let traffics = Traffic.allCases.filter { $0.transport == .udp }
        let lanes = try traffics.flatMap { traffic in
            let addresses = traffic.addresses(&random)
            return try Way.allCases.map { try Lane($0, traffic, addresses, objects: options.objects) }
        }
        let rounds = options.quick ? 3 : rounds
        var figures: [Figure] = []
        for state in Receiver.allCases {
            for lane in lanes { try lane.prepare(state) }
            let results = try Rounds(lanes.count, rounds: rounds) {
                try lanes[$0].slice(state, &random)
            }
            for lane in lanes { try lane.check(state) }
            for (lane, samples) in zip(lanes, results.samples) {
                let floor = lanes.firstIndex { $0.way == .floor && $0.traffic == lane.traffic }!
                figures.append(
                    Figure(
                        paired: Self.name, lane.way.rawValue, "\(state.rawValue) \(lane.traffic.family)",
                        unit: "ns/datagram", samples,
                        to: lane.way == .floor ? nil : (Way.floor.rawValue, results.samples[floor])))
            }
        }
        return (figures, Self.notes)
    }

    private static let notes = [
        "Each case has two network namespaces of its own, joined by a veth pair; one thread sends (sendmmsg) and "
            + "the kernel delivers within the call.",
        "full: the receive buffer is full, so a datagram costs sending, the lookup and the refusal. drained: the "
            + "same thread receives after each 64 (epoll_wait, recvmmsg), and that is counted too.",
        "The second ratio is the median over all rounds of the ratio within a round.",
    ]

    /// What becomes of the datagrams.
    enum Receiver: String, CaseIterable {
        case full, drained
    }
}

/// One way of serving, ready to be sent to.
private final class Lane {
    let way: Way
    let traffic: Traffic
    private let wire: Wire
    private let service: Service
    private let sender: CInt
    private let targets: [bench_packet]
    /// How many datagrams have been sent, to be refused, since the receivers were full.
    private var sent: Int64 = 0
    private var dropsBefore: Int64 = 0

    init(_ way: Way, _ traffic: Traffic, _ addresses: [IPAddress], objects: String) throws {
        self.way = way
        self.traffic = traffic
        let wire = try Wire()
        self.wire = wire
        service = try wire.asServer { try way.serve(traffic, addresses, objects: objects) }
        sender = try wire.asClient {
            try BenchError.check("socket", bench_sender(traffic.packet(to: addresses[0], port: 0).family))
        }
        targets = addresses.map { traffic.packet(to: $0, port: Way.port) }
    }

    deinit { close(sender) }

    func prepare(_ state: UDPMeasure.Receiver) throws {
        let bytes: CInt = state == .full ? 0 : 1 << 20
        for socket in service.sockets {
            _ = try BenchError.check("setsockopt", bench_set_receive_buffer(socket, bytes))
        }
        var burst = bench_burst()
        switch state {
        case .full:
            for start in stride(from: 0, to: targets.count, by: Int(BENCH_BURST)) {
                try aim(targets[start..<start + Int(BENCH_BURST)])
                for _ in 0..<8 { _ = try BenchError.check("sendmmsg", bench_flood(sender, &burst)) }
            }
            dropsBefore = try drops()
        case .drained:
            _ = try BenchError.check("recvmmsg", bench_drain(service.poller))
        }
    }

    /// Returns nanoseconds a datagram.
    func slice(_ state: UDPMeasure.Receiver, _ random: inout some RandomNumberGenerator) throws -> Double {
        try aim((0..<Int(BENCH_BURST)).map { _ in targets.randomElement(using: &random)! })
        var burst = bench_burst()
        switch state {
        case .full:
            _ = try BenchError.check("sendmmsg", bench_flood(sender, &burst))
            sent += Int64(burst.completed)
        case .drained:
            // Fails when not all of them come back.
            _ = try BenchError.check("\(name): receiving", bench_exchange(sender, service.poller, 64, &burst))
        }
        return burst.nanoseconds / Double(burst.completed)
    }

    /// Whether the datagrams went where they were meant to.
    func check(_ state: UDPMeasure.Receiver) throws {
        guard state == .full else { return }
        let refused = try drops() - dropsBefore
        guard refused == sent, sent > 0 else {
            throw BenchError("\(name): \(sent) datagrams were sent to full receivers, which refused \(refused)")
        }
    }

    private var name: String { "\(way.rawValue) \(traffic)" }

    private func drops() throws -> Int64 {
        try service.sockets.reduce(0) { sum, socket in
            let drops = bench_drops(socket)
            guard drops >= 0 else { throw BenchError("SO_MEMINFO failed") }
            return sum + drops
        }
    }

    private func aim(_ targets: some Collection<bench_packet>) throws {
        _ = try BenchError.check("aiming", bench_aim(Array(targets), UInt32(targets.count)))
    }
}
