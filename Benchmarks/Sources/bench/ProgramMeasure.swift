import ArgumentParser
import CBench
import Steering

/// A packet's way through the program: one packet over and over, and many different ones.
struct ProgramMeasure: Measure {
    static let name = "program"
    static let title = "What the BPF program costs a packet, by BPF_PROG_TEST_RUN"

    @OptionGroup var options: MeasureOptions

    @Option(help: "How often each case is measured with the same packet.")
    var rounds = 40

    @Option(help: "Calls in one measurement.")
    var repeats: UInt32 = 10_000

    @Option(help: "How often each program is loaded: where its code comes to lie is worth a nanosecond.")
    var loads = 5

    @Option(help: "How often each case is measured with random destinations.")
    var randomRounds = 25

    @Flag(help: "Load all programs without CAP_PERFMON, with the verifier's mitigations.")
    var withoutPerfmon = false

    /// In the order in which tables show them.
    enum Program: String, CaseIterable {
        case steering, lpm = "LPM trie"
    }

    static let empty = "empty", floor = "floor", unit = "ns above empty"

    func measure() throws -> (figures: [Figure], notes: [String]) {
        let quick = options.quick
        let programs = try Programs(objects: options.objects, trusted: !withoutPerfmon)
        var same = try SamePacket(programs, loads: quick ? 1 : loads, quick: quick)
        try same.measure(rounds: quick ? 2 : rounds, repeats: quick ? 1000 : repeats)
        var random = try RandomDestinations(
            programs, sizes: quick ? [20, 1000] : [10, 100, 1000, 10_000, 100_000], loads: quick ? 1 : min(loads, 3),
            packets: quick ? 1000 : 20_000)
        try random.measure(rounds: quick ? 2 : randomRounds)
        return (
            same.figures + random.figures,
            [
                "floor: one socket looked up, assigned and released. LPM trie: the design of cloudflare/tubular.",
                "best: best of all loads of a program; median: median of the loads' bests, or of all rounds.",
                "The same packet over and over: every table is in the nearest cache, every branch predicted.",
                "random destinations: \(random.packets.text) packets, each asked once by a system call of its own.",
            ]
        )
    }
}

/// One packet over and over: for comparing programs.
struct SamePacket {
    private struct Case {
        let name: String
        let traffic: Traffic
        /// The same program, loaded several times.
        let programs: [CInt]
        let packet: bench_packet
        let isHit: Bool
        /// Of each load, a call.
        var best: [Double]

        init(_ name: String, _ traffic: Traffic, _ programs: [CInt], to destination: SocketAddress, isHit: Bool) {
            self.name = name
            self.traffic = traffic
            self.programs = programs
            packet = traffic.packet(to: destination)
            self.isHit = isHit
            best = Array(repeating: .infinity, count: programs.count)
        }
    }

    private var cases: [Case] = []

    init(_ programs: Programs, loads: Int, quick: Bool) throws {
        func load(_ one: () throws -> CInt) rethrows -> [CInt] { try (0..<loads).map { _ in try one() } }
        for traffic in Traffic.allCases {
            let stranger = SocketAddress(Scenario.strangers[traffic.family]!, port: 80)
            for (name, program) in [(ProgramMeasure.empty, "empty"), (ProgramMeasure.floor, "assign")] {
                let loaded = try load { try programs.floor(program, traffic) }
                cases.append(Case(name, traffic, loaded, to: stranger, isHit: name == ProgramMeasure.floor))
            }
        }
        for scenario in try Scenario.all(quick: quick) {
            let loaded: [(ProgramMeasure.Program, [CInt])] = [
                (.steering, try load { try programs.steering(scenario.bindings) }),
                (.lpm, try load { try programs.lpm(scenario.bindings) }),
            ]
            for traffic in Traffic.allCases {
                guard let steered = scenario.steered[traffic.family] else {
                    throw BenchError("\(scenario.name): no \(traffic.family) packet to measure with")
                }
                let closed = SocketAddress(steered.address, port: Scenario.closedPort)
                let stranger = SocketAddress(Scenario.strangers[traffic.family]!, port: steered.port)
                let packets = [("hit", steered), ("port not steered", closed), ("address not steered", stranger)]
                for (what, packet) in packets {
                    for (program, descriptors) in loaded {
                        let name = "\(scenario.name), \(what): \(program.rawValue)"
                        cases.append(Case(name, traffic, descriptors, to: packet, isHit: what == "hit"))
                    }
                }
            }
        }
    }

    /// Interleaved: each round has a slice of every case, so that a slow moment of the machine hits all.
    mutating func measure(rounds: Int, repeats: UInt32) throws {
        for _ in 0..<rounds {
            for index in cases.indices {
                for (load, program) in cases[index].programs.enumerated() {
                    var packet = cases[index].packet
                    var nanoseconds = 0.0
                    var decision = bench_decision()
                    _ = try BenchError.check(
                        "BPF_PROG_TEST_RUN", bench_run_same(program, &packet, repeats, &nanoseconds, &decision))
                    guard decision.verdict == 1, (decision.cookie != 0) == cases[index].isHit else {
                        throw BenchError(
                            "\(cases[index].name) \(cases[index].traffic): verdict \(decision.verdict), socket "
                                + "\(decision.cookie): not what was to be measured")
                    }
                    cases[index].best[load] = min(cases[index].best[load], nanoseconds / Double(repeats))
                }
            }
        }
    }

    var figures: [Figure] {
        var spreads: [String: Spread] = [:]
        for each in cases { spreads["\(each.name) \(each.traffic)"] = Samples(each.best).spread }
        return cases.filter { $0.name != ProgramMeasure.empty }.map { measured in
            func spread(_ name: String) -> Spread { spreads["\(name) \(measured.traffic)"]! }
            let empty = Spread(best: spread(ProgramMeasure.empty).best, median: spread(ProgramMeasure.empty).best)
            return Figure(
                ProgramMeasure.name, measured.name, measured.traffic.description, unit: ProgramMeasure.unit,
                spread(measured.name) - empty, to: (ProgramMeasure.floor, spread(ProgramMeasure.floor) - empty))
        }
    }
}
