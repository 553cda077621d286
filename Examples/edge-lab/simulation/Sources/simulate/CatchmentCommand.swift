import ArgumentParser
import Simulation

/// `simulate catchment`: detection of route leaks by foreign traffic.
struct CatchmentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "catchment",
        abstract: "Measure how soon a route leak is detected and drained if each site answers from its own prefix.")

    @Option(help: "Connections per second, at both sites together.")
    var requestsPerSecond: Double

    @Option(help: ArgumentHelp("The TTL of answers, for which resolvers cache them.", valueName: "seconds"))
    var ttl: Int

    @Option(help: ArgumentHelp("The share of clients that always arrive at the other site.", valueName: "share"))
    var baseline: Double

    @Option(
        help: ArgumentHelp(
            "The share of A's clients that arrive at B in a leak; if repeated, each is tried in turn.",
            valueName: "share")
    )
    var leak: [Double]

    @Option(help: ArgumentHelp("The time without a leak, to count false alarms.", valueName: "seconds"))
    var seconds: Int

    @Option(help: "The number of leaks of each size.")
    var trials = 100

    @Option(help: "The sum at which the alarm is raised, in standard deviations.")
    var threshold = 15.0

    @Option(help: ArgumentHelp("The time for which the baseline is learned.", valueName: "seconds"))
    var learn = 600

    @Option(help: ArgumentHelp("The time after which a leak counts as missed.", valueName: "seconds"))
    var limit = 600

    @Option(help: "The number of names.")
    var names = 100_000

    @Option(help: "The number of resolvers.")
    var resolvers = 1_000

    @Option(help: "The seed of all random numbers.")
    var seed: UInt64 = 1

    func run() throws {
        var parameters = Catchment.Parameters(
            requestsPerSecond: requestsPerSecond, ttl: ttl, baseline: baseline, leaks: leak, seconds: seconds)
        (parameters.trials, parameters.threshold, parameters.seed) = (trials, threshold, seed)
        (parameters.learnSeconds, parameters.limitSeconds) = (learn, limit)
        (parameters.names, parameters.resolvers) = (names, resolvers)
        try output(try Catchment(parameters).run())
    }
}
