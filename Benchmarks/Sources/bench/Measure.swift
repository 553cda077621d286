import ArgumentParser
import CBench

/// Something that can be measured: a subcommand of its own.
///
/// Each figure comes out of one run, in which the cases took turns, so that a slow moment of the machine
/// hits all of them. `--quick` makes few and short rounds: it only sees whether all runs, and whether what
/// is measured is what was meant; that is never left to the reader of figures.
protocol Measure: ParsableCommand {
    /// Its name on the command line and in reports.
    static var name: String { get }

    /// What it compares, in one sentence.
    static var title: String { get }

    /// Whether it has one processor, and no other thread's time, for itself. Not for what needs two sides at work.
    static var isAlone: Bool { get }

    var options: MeasureOptions { get }

    func measure() throws -> (figures: [Figure], notes: [String])
}

/// What every measure understands.
struct MeasureOptions: ParsableArguments {
    @Flag(help: "Only see whether it runs, in seconds.")
    var quick = false

    @Flag(help: "Print the report as one line of JSON.")
    var json = false

    @Option(help: ArgumentHelp("The directory of the compiled programs of Benchmarks/bpf.", visibility: .hidden))
    var objects = "Benchmarks/.build/bpf"
}

extension Measure {
    static var configuration: CommandConfiguration { CommandConfiguration(commandName: name, abstract: title + ".") }

    static var isAlone: Bool { true }

    func run() throws {
        let isRealTime = Self.isAlone && bench_run_alone() == 0
        let (figures, notes) = try measure()
        let report = Report(
            measure: Self.name, title: Self.title, command: "scripts/bench " + Self.typed,
            environment: Environment(isRealTime: isRealTime), figures: figures, notes: notes)
        if options.json { print(try report.json()) } else { report.printTable() }
    }

    /// The arguments but for what scripts/bench adds.
    private static var typed: String {
        var typed: [String] = []
        var arguments = CommandLine.arguments.dropFirst()
        while let argument = arguments.popFirst() {
            if argument == "--objects" { arguments = arguments.dropFirst() } else { typed.append(argument) }
        }
        return typed.joined(separator: " ")
    }
}
