import ArgumentParser
import Simulation

/// `simulate search`: finding the name under attack.
struct SearchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "search",
        abstract: "Find the name under attack by parting names over addresses, or tell that it is the address.")

    @Option(help: "How many names there are.")
    var names: Int

    @Option(help: "Into how many slices the suspected names are parted in a round.")
    var slices = 256

    @Option(help: ArgumentHelp("For how long answers are remembered.", valueName: "seconds"))
    var ttl: Int

    @Option(help: ArgumentHelp("The attack's share of all requests.", valueName: "share"))
    var attack: Double

    @Option(help: "Legitimate requests a second.")
    var requestsPerSecond = 37_500.0

    @Option(help: ArgumentHelp("How long is counted once old answers have expired.", valueName: "seconds"))
    var observe = 10

    @Option(help: "How many attacks there are on names, and as many on the address.")
    var trials = 10

    @Option(help: "The exponent of the names' popularity (Zipf).")
    var skew = 1.0

    @Option(help: "How many resolvers there are.")
    var resolvers = 1_000

    @Option(help: "What all that is random follows from.")
    var seed: UInt64 = 1

    func run() throws {
        var parameters = Search.Parameters(names: names, slices: slices, ttl: ttl, attack: attack)
        (parameters.requestsPerSecond, parameters.observeSeconds) = (requestsPerSecond, observe)
        (parameters.skew, parameters.resolvers) = (skew, resolvers)
        (parameters.trials, parameters.seed) = (trials, seed)
        try output(try Search(parameters).run())
    }
}
