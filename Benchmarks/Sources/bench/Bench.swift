import ArgumentParser
import CBench
import Glibc

@main
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measures steering against what else one could do, and the least that it could cost.",
        subcommands: measures + [Measures.self])

    /// In the order in which `scripts/bench all` runs them.
    static let measures: [any Measure.Type] = [
        ProgramMeasure.self, ControlMeasure.self, SetupMeasure.self, UDPMeasure.self, TCPMeasure.self,
        ServerMeasure.self, AnchorMeasure.self, TrainMeasure.self, LatencyMeasure.self,
    ]
}

/// For scripts/bench.
struct Measures: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "The names of all measures.", shouldDisplay: false)

    func run() { for measure in Bench.measures { print(measure.name) } }
}

/// Why a benchmark could not be run, or what it measured would be worthless.
struct BenchError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }

    /// The non-negative result of a call of CBench.
    static func check(_ operation: String, _ result: CInt) throws -> CInt {
        guard result >= 0 else { throw BenchError("\(operation) failed: \(String(cString: strerror(-result)))") }
        return result
    }
}
