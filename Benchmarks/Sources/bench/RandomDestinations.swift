import CBench
import Steering

/// Many different packets, once each: what tables cost that are not in the nearest cache.
struct RandomDestinations {
    private struct Case {
        let name: String
        let traffic: Traffic
        let programs: [CInt]
        /// Which of the lists of packets.
        let list: Int
        /// Of each round, a call, for each load.
        var rounds: [Samples] = []

        var best: Double { rounds.map(\.best).min() ?? .nan }
    }

    let packets: Int
    private var lists: [[bench_packet]] = []
    private var cases: [Case] = []

    private static let prefix = "random destinations"

    /// TCP only: the protocol makes no difference that could be seen.
    init(_ programs: Programs, sizes: [Int], loads: Int, packets: Int) throws {
        self.packets = packets
        func load(_ one: () throws -> CInt) rethrows -> [CInt] { try (0..<loads).map { _ in try one() } }
        let kinds = IPFamily.allCases.map { Traffic(transport: .tcp, family: $0) }
        var random = SeededGenerator(seed: 20)
        for size in sizes {
            let bindings = RuleSets.scattered.bindings(size, labels: min(size, 300))
            let loaded: [(ProgramMeasure.Program, [CInt])] = [
                (.steering, try load { try programs.steering(bindings) }),
                (.lpm, try load { try programs.lpm(bindings) }),
            ]
            for traffic in kinds {
                let possible = bindings.filter { $0.prefix.family == traffic.family }
                lists.append(
                    (0..<packets).map { _ in
                        traffic.packet(to: possible.randomElement(using: &random)!.packet(using: &random))
                    })
                for (program, descriptors) in loaded {
                    let name = "\(Self.prefix), \(size.text) bindings: \(program.rawValue)"
                    cases.append(Case(name: name, traffic: traffic, programs: descriptors, list: lists.count - 1))
                }
                try Self.verify(loaded.flatMap { $0.1 }, lists.last!, "\(size.text) bindings, \(traffic)")
            }
        }
        // Both look at no address: any packets will do.
        for (number, traffic) in kinds.enumerated() {
            for (name, program) in [(ProgramMeasure.empty, "empty"), (ProgramMeasure.floor, "assign")] {
                let loaded = try load { try programs.floor(program, traffic) }
                let list = lists.count - kinds.count + number
                cases.append(Case(name: "\(Self.prefix): \(name)", traffic: traffic, programs: loaded, list: list))
            }
        }
    }

    /// Every program steers every packet, and all to the same socket.
    private static func verify(_ programs: [CInt], _ packets: [bench_packet], _ what: String) throws {
        var wanted: [UInt64] = []
        for program in programs {
            var decisions = Array(repeating: bench_decision(), count: packets.count)
            var nanoseconds = 0.0
            _ = try BenchError.check(
                "BPF_PROG_TEST_RUN",
                bench_run_each(program, packets, UInt32(packets.count), &nanoseconds, &decisions))
            let cookies = decisions.map(\.cookie)
            if wanted.isEmpty { wanted = cookies }
            guard decisions.allSatisfy({ $0.verdict == 1 && $0.cookie != 0 }), cookies == wanted else {
                throw BenchError("\(what): the programs disagree, or do not steer")
            }
        }
    }

    /// So many packets for one program, then for the next: what a call of the kernel costs changes within a second, by
    /// more than what is looked for.
    private static let slice = 500

    mutating func measure(rounds: Int) throws {
        let slices = lists.map { list in
            stride(from: 0, to: list.count, by: Self.slice).map { Array(list[$0..<min($0 + Self.slice, list.count)]) }
        }
        for _ in 0..<rounds {
            var sums = cases.map { Array(repeating: 0.0, count: $0.programs.count) }
            for slice in slices[0].indices {
                for (index, each) in cases.enumerated() {
                    let packets = slices[each.list][slice]
                    for (load, program) in each.programs.enumerated() {
                        var nanoseconds = 0.0
                        _ = try BenchError.check(
                            "BPF_PROG_TEST_RUN",
                            bench_run_each(program, packets, UInt32(packets.count), &nanoseconds, nil))
                        sums[index][load] += nanoseconds
                    }
                }
            }
            for index in cases.indices { cases[index].rounds.append(Samples(sums[index].map { $0 / Double(packets) })) }
        }
    }

    /// The median is of each round's difference to the empty program.
    var figures: [Figure] {
        func spread(_ measured: Case) -> Spread {
            let empty = first(ProgramMeasure.empty, measured.traffic)
            let differences = zip(measured.rounds, empty.rounds).map { $0.median - $1.median }
            return Spread(best: measured.best - empty.best, median: Samples(differences).median)
        }
        return cases.filter { !$0.name.hasSuffix(ProgramMeasure.empty) }.map { measured in
            let floor = first(ProgramMeasure.floor, measured.traffic)
            return Figure(
                ProgramMeasure.name, measured.name, measured.traffic.description, unit: ProgramMeasure.unit,
                spread(measured), to: (floor.name, spread(floor)))
        }
    }

    private func first(_ name: String, _ traffic: Traffic) -> Case {
        cases.first { $0.name == "\(Self.prefix): \(name)" && $0.traffic == traffic }!
    }
}
