import ArgumentParser
import Simulation

/// `simulate catchment`: detection of route leaks by foreign traffic.
struct CatchmentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "catchment",
        abstract: "Tell how soon a leak of routes is seen and drained, where each site answers from its own prefix.")

    @Option(help: "Connections a second, at both sites together.")
    var requestsPerSecond: Double

    @Option(help: ArgumentHelp("For how long answers are remembered.", valueName: "seconds"))
    var ttl: Int

    @Option(help: ArgumentHelp("The share of clients that always arrive at the other site.", valueName: "share"))
    var baseline: Double

    @Option(
        help: ArgumentHelp(
            "The share of A's clients that arrive at B in a leak; more than one are tried in turn.", valueName: "share")
    )
    var leak: [Double]

    @Option(help: ArgumentHelp("How long there is no leak, to count false alarms.", valueName: "seconds"))
    var seconds: Int

    @Option(help: "How many leaks of each size there are.")
    var trials = 100

    @Option(help: "The sum at which the alarm is raised, in standard deviations.")
    var threshold = 15.0

    @Option(help: ArgumentHelp("How long the baseline is learnt.", valueName: "seconds"))
    var learn = 600

    @Option(help: ArgumentHelp("How long a leak goes on before it counts as missed.", valueName: "seconds"))
    var limit = 600

    @Option(help: "How many names there are.")
    var names = 100_000

    @Option(help: "How many resolvers there are.")
    var resolvers = 1_000

    @Option(help: "What all that is random follows from.")
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
