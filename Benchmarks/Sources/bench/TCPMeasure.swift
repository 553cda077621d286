import ArgumentParser
import CBench

struct TCPMeasure: Measure {
    static let name = "tcp"
    static let title = "What a connection costs, made over a veth pair to a random address"

    @OptionGroup var options: MeasureOptions

    @Option(help: "How often all is set up anew: where in memory things come to lie is worth one in a hundred.")
    var setups = 5

    @Option(help: "How often in each a socket an address is there, to be measured after a part of the others' rounds.")
    var blocks = 4

    @Option(help: "How many slices each case has in a block.")
    var rounds = 20

    @Option(help: "Connections in a slice, at most \(BENCH_BURST).")
    var connections = 128

    func measure() throws -> (figures: [Figure], notes: [String]) {
        _ = try BenchError.check("setrlimit", bench_allow_descriptors(1 << 16))
        var random = SeededGenerator(seed: 1)
        var figures: [Figure] = []
        for traffic in Traffic.allCases where traffic.transport == .tcp {
            let addresses = traffic.addresses(&random)
            var results = Rounds(Way.allCases.count)
            for _ in 0..<(options.quick ? 1 : setups) {
                let lanes = try Way.allCases.map { try Lane($0, traffic, addresses, objects: options.objects) }
                try measure(lanes, &results, &random)
            }
            for (unit, part) in [("ns/connection", \bench_burst.nanoseconds), ("CPU ns/connection", \.processor)] {
                figures += results.figures(
                    Self.name, Way.allCases.map(\.rawValue), traffic.family.description, unit: unit, part,
                    to: Way.wildcard.rawValue)
            }
        }
        return (figures, Self.notes)
    }

    private func measure(_ lanes: [Lane], _ results: inout Rounds, _ random: inout SeededGenerator) throws {
        // The kernel has one table of listeners for all namespaces: tens of thousands of one case make the
        // searches of all others longer, so they are there for their own rounds only.
        let apart = lanes.firstIndex { $0.way == .socketAnAddress }!
        let together = [0..<apart, apart + 1..<lanes.count]
        for lane in together.joined() { try open(lanes[lane], &random) }
        for _ in 0..<(options.quick ? 2 : blocks) {
            let rounds = options.quick ? 2 : rounds
            try results.run(rounds, of: together.flatMap { $0 }, random: &random) { try visit(lanes[$0], &$1) }
            try open(lanes[apart], &random)
            try results.run(rounds, of: [apart], random: &random) { try visit(lanes[$0], &$1) }
            lanes[apart].close()
        }
    }

    /// The first connections see whether they arrive where they were aimed at.
    private func open(_ lane: Lane, _ random: inout SeededGenerator) throws {
        try lane.open()
        _ = try visit(lane, &random, check: true)
    }

    private func visit(_ lane: Lane, _ random: inout SeededGenerator, check: Bool = false) throws -> bench_burst {
        try lane.aim(connections, &random)
        var burst = bench_burst()
        try lane.wire.asClient {
            _ = try BenchError.check("\(lane.name): connecting", bench_visit(lane.service.poller, check, &burst))
        }
        return burst
    }

    private static let notes = [
        "Each case has two network namespaces of its own, joined by a veth pair. One thread connects, sends a byte, "
            + "waits (epoll_wait), accepts, receives, sends the byte back, receives it and closes both ends; the "
            + "kernel's part of both sides runs within its calls. 1e9 / ns are the connections a second.",
        "\(Way.socketAnAddress.rawValue): 53,248 listeners, which are there only while they are measured, after "
            + "each block of the others' rounds.",
        Figure.pairedNote,
    ]
}
