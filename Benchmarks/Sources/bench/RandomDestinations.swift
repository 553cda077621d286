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
            let labels = Policy(bindings).labels.sorted()
            let steering = try load { try programs.steering(bindings) }, lpm = try load { try programs.lpm(bindings) }
            for traffic in kinds {
                let possible = bindings.filter { $0.prefix.family == traffic.family }
                var list = (0..<packets).map { _ in
                    traffic.packet(to: possible.randomElement(using: &random)!.packet(using: &random))
                }
                let numbers = try programs.cookies(labels, traffic)
                for (index, decision) in try Self.decisions(steering[0], list).enumerated() {
                    list[index].source_port = UInt32(numbers[decision.cookie] ?? 0)
                }
                lists.append(list)
                // Told which socket it is: as many sockets as the others have, and nothing else.
                let floor = try load { try programs.floor("assign_told", traffic, labels) }
                let loaded = [
                    (ProgramMeasure.floor, floor), (ProgramMeasure.Program.steering.rawValue, steering),
                    (ProgramMeasure.Program.lpm.rawValue, lpm),
                ]
                for (name, descriptors) in loaded {
                    cases.append(
                        Case(
                            name: "\(Self.prefix), \(size.text) bindings: \(name)", traffic: traffic,
                            programs: descriptors, list: lists.count - 1))
                }
                try Self.verify(loaded.flatMap { $0.1 }, lists.last!, "\(size.text) bindings, \(traffic)")
            }
        }
        // It looks at nothing: any packets will do.
        for (number, traffic) in kinds.enumerated() {
            let loaded = try load { try programs.floor("empty", traffic) }
            let list = lists.count - kinds.count + number
            cases.append(
                Case(name: "\(Self.prefix): \(ProgramMeasure.empty)", traffic: traffic, programs: loaded, list: list))
        }
    }

    /// Every program steers every packet, and all to the same socket.
    private static func verify(_ programs: [CInt], _ packets: [bench_packet], _ what: String) throws {
        let wanted = try decisions(programs[0], packets).map(\.cookie)
        for program in programs {
            let decisions = try decisions(program, packets)
            guard decisions.allSatisfy({ $0.verdict == 1 && $0.cookie != 0 }), decisions.map(\.cookie) == wanted else {
                throw BenchError("\(what): the programs disagree, or do not steer")
            }
        }
    }

    private static func decisions(_ program: CInt, _ packets: [bench_packet]) throws -> [bench_decision] {
        var decisions = Array(repeating: bench_decision(), count: packets.count)
        var nanoseconds = 0.0
        _ = try BenchError.check(
            "BPF_PROG_TEST_RUN",
            bench_run_each(program, packets, UInt32(packets.count), &nanoseconds, &decisions))
        return decisions
    }

    /// So many packets for one program, then for the next: what a call of the kernel costs changes within a second, by
    /// more than what is looked for. Before them others, which are not timed, so that caches have of each program what
    /// they would have in a server that has nothing else to do.
    private static let slice = 2000, warming = 1000

    mutating func measure(rounds: Int) throws {
        let slices = lists.map { list in
            stride(from: 0, to: list.count, by: Self.slice).map { start in
                let end = min(start + Self.slice, list.count)
                let before = (0..<Self.warming).map { (start + list.count - 1 - $0) % list.count }
                return (warming: before.map { list[$0] }, timed: Array(list[start..<end]))
            }
        }
        for _ in 0..<rounds {
            var sums = cases.map { Array(repeating: 0.0, count: $0.programs.count) }
            for slice in slices[0].indices {
                for (index, each) in cases.enumerated() {
                    let (warming, packets) = slices[each.list][slice]
                    for (load, program) in each.programs.enumerated() {
                        var nanoseconds = 0.0
                        _ = try BenchError.check(
                            "BPF_PROG_TEST_RUN",
                            bench_run_each(program, warming, UInt32(warming.count), &nanoseconds, nil))
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
            let empty = first("\(Self.prefix): \(ProgramMeasure.empty)", measured.traffic)
            let differences = zip(measured.rounds, empty.rounds).map { $0.median - $1.median }
            return Spread(best: measured.best - empty.best, median: Samples(differences).median)
        }
        return cases.filter { !$0.name.hasSuffix(ProgramMeasure.empty) }.map { measured in
            let size = measured.name.prefix { $0 != ":" }
            let floor = first("\(size): \(ProgramMeasure.floor)", measured.traffic)
            return Figure(
                ProgramMeasure.name, measured.name, measured.traffic.description, unit: ProgramMeasure.unit,
                spread(measured), to: (floor.name, spread(floor)))
        }
    }

    private func first(_ name: String, _ traffic: Traffic) -> Case {
        cases.first { $0.name == name && $0.traffic == traffic }!
    }
}
