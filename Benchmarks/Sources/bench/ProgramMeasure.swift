import ArgumentParser
import CBench
import FoundationEssentials
import Steering

struct ProgramMeasure: Measure {
    static let name = "program"
    static let title = "What the BPF program costs a packet, by BPF_PROG_TEST_RUN"

    @OptionGroup var options: MeasureOptions

    @Option(help: "How often each case is measured. The best counts.")
    var rounds = 60

    @Option(help: "Calls in one measurement.")
    var repeats: UInt32 = 20_000

    @Option(help: "How often each program is loaded: where its code comes to lie is worth a nanosecond.")
    var loads = 5

    @Flag(help: "Load all programs without CAP_PERFMON, with the verifier's mitigations.")
    var withoutPerfmon = false

    func measure() throws -> (figures: [Figure], notes: [String]) {
        if withoutPerfmon { _ = try BenchError.check("capset", bench_trust(false)) }
        let bench = try ProgramBench(objects: options.objects, loads: options.quick ? 1 : loads) {
            // To find our program by its number takes CAP_SYS_ADMIN.
            _ = try BenchError.check("capset", bench_trust(true))
            defer { if withoutPerfmon { _ = bench_trust(false) } }
            return try BenchError.check("bpf_prog_get_fd_by_id", bench_newest_program())
        }
        let figures = try bench.measure(rounds: options.quick ? 2 : rounds, repeats: options.quick ? 1000 : repeats)
        return (figures, ["The same packet over and over: every table is in the nearest cache."])
    }
}

/// The programs to measure, loaded, and the packets to measure them with.
final class ProgramBench {
    /// One program, one packet, over and over.
    private struct Case {
        let name: String
        let traffic: Traffic
        /// The same program, loaded several times.
        let programs: [CInt]
        let packet: bench_packet
        let isHit: Bool
        /// Of each load.
        var best: [Double]

        init(_ name: String, _ traffic: Traffic, _ programs: [CInt], _ packet: bench_packet, isHit: Bool) {
            self.name = name
            self.traffic = traffic
            self.programs = programs
            self.packet = packet
            self.isHit = isHit
            best = Array(repeating: .infinity, count: programs.count)
        }
    }

    private var cases: [Case] = []
    // The kernel's maps keep no socket open, and a steering ends with its last reference.
    private var sockets: [OwnedSocket] = []
    private var steerings: [SocketSteering] = []

    private final class OwnedSocket {
        let descriptor: OwnedDescriptor
        init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
    }

    static let empty = "empty", floor = "floor"

    init(objects: String, loads: Int, newestProgram: () throws -> CInt) throws {
        for traffic in Traffic.allCases {
            let socket = OwnedSocket(try traffic.socket())
            sockets.append(socket)
            for (name, program) in [(Self.empty, "empty"), (Self.floor, "assign")] {
                let programs = try (0..<loads).map { _ in
                    try BenchError.check(
                        "loading \(name)", bench_load("\(objects)/floor.bpf.o", program, socket.descriptor.rawValue))
                }
                add(name, traffic, programs, Scenario.strangers[traffic.family]!, 80, isHit: name == Self.floor)
            }
        }
        for scenario in try Scenario.all() {
            let programs = try (0..<loads).map { _ in
                try attach(scenario.policy)
                return try newestProgram()
            }
            for traffic in Traffic.allCases {
                let steered = scenario.steered[traffic.family]!, stranger = Scenario.strangers[traffic.family]!
                let port = scenario.port
                add("\(scenario.name): hit", traffic, programs, steered, port, isHit: true)
                add("\(scenario.name): port not steered", traffic, programs, steered, Scenario.closedPort, isHit: false)
                add("\(scenario.name): address not steered", traffic, programs, stranger, port, isHit: false)
            }
        }
    }

    private func add(
        _ name: String, _ traffic: Traffic, _ programs: [CInt], _ address: IPAddress, _ port: UInt16, isHit: Bool
    ) {
        cases.append(Case(name, traffic, programs, traffic.packet(to: address, port: port), isHit: isHit))
    }

    /// As a server does it: attach, register a socket of each kind for every label, bind.
    private func attach(_ policy: Policy) throws {
        let steering = try SocketSteering.attach()
        for label in policy.labels {
            for traffic in Traffic.allCases {
                let socket = OwnedSocket(try traffic.socket())
                try steering.sockets.register(socket.descriptor, as: label)
                sockets.append(socket)
            }
        }
        try steering.apply(policy)
        steerings.append(steering)
    }

    /// Interleaved: each round has a slice of every case, so that a slow moment of the machine hits all.
    func measure(rounds: Int, repeats: UInt32) throws -> [Figure] {
        for _ in 0..<rounds {
            for index in cases.indices {
                for (load, program) in cases[index].programs.enumerated() {
                    var packet = cases[index].packet
                    var run = bench_run()
                    _ = try BenchError.check("BPF_PROG_TEST_RUN", bench_measure(program, &packet, repeats, &run))
                    guard run.verdict == 1, (run.cookie != 0) == cases[index].isHit else {
                        throw BenchError(
                            "\(cases[index].name) \(cases[index].traffic): verdict \(run.verdict), socket \(run.cookie): not what was to be measured"
                        )
                    }
                    cases[index].best[load] = min(cases[index].best[load], run.nanoseconds / Double(repeats))
                }
            }
        }
        return cases.map { measured in
            func samples(_ name: String) -> Samples {
                let empty = cases.first { $0.name == Self.empty && $0.traffic == measured.traffic }!.best.min()!
                return Samples(cases.first { $0.name == name && $0.traffic == measured.traffic }!.best).above(empty)
            }
            return Figure(
                ProgramMeasure.name, measured.name, measured.traffic.description, unit: "ns above empty",
                samples(measured.name), to: (Self.floor, samples(Self.floor)))
        }
    }
}
