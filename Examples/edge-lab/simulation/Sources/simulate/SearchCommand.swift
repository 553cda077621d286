import ArgumentParser
import Simulation

/// `simulate search`: finding the name under attack.
struct SearchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "search",
        abstract:
            "Find the name under attack by dividing names over addresses, or find that the attack is on the address.")

    @Option(help: "The number of names.")
    var names: Int

    @Option(help: "The number of slices into which each round divides the suspected names.")
    var slices = 256

    @Option(help: ArgumentHelp("The TTL of answers, for which resolvers cache them.", valueName: "seconds"))
    var ttl: Int

    @Option(help: ArgumentHelp("The attack's share of all requests.", valueName: "share"))
    var attack: Double

    @Option(help: "Legitimate requests per second.")
    var requestsPerSecond = 37_500.0

    @Option(
        help: ArgumentHelp(
            "The time for which requests are counted, once old answers have expired.", valueName: "seconds"))
    var observe = 10

    @Option(help: "The number of attacks on names; there are as many on the address.")
    var trials = 10

    @Option(help: "The exponent of the names' popularity (Zipf).")
    var skew = 1.0

    @Option(help: "The number of resolvers.")
    var resolvers = 1_000

    @Option(help: "The seed of all random numbers.")
    var seed: UInt64 = 1

    func run() throws {
        var parameters = Search.Parameters(names: names, slices: slices, ttl: ttl, attack: attack)
        (parameters.requestsPerSecond, parameters.observeSeconds) = (requestsPerSecond, observe)
        (parameters.skew, parameters.resolvers) = (skew, resolvers)
        (parameters.trials, parameters.seed) = (trials, seed)
        try output(try Search(parameters).run())
    }
}
