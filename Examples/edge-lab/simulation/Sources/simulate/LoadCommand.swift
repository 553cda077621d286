import AddressPools
import ArgumentParser
import Foundation
import Simulation
import SteeringDNS

/// `simulate load`: requests per address.
struct LoadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Count the requests that come to each address.",
        discussion: """
            Clients ask for n1.example.com, n2.example.com and so on, the first of which is the most popular. Their \
            resolvers remember what they are answered for as long as its TTL says.
            """)

    @Option(help: ArgumentHelp("The policy file, YAML or JSON, as steer-dns reads it.", valueName: "file"))
    var policy: String

    @Option(help: "How many names there are.")
    var names: Int

    @Option(help: "How many requests come.")
    var requests: Int

    @Option(help: ArgumentHelp("How many of them in a second.", valueName: "requests-per-second"))
    var rate: Double

    @Option(help: "How many resolvers there are.")
    var resolvers = 10_000

    @Option(help: "The exponent of the names' popularity (Zipf).")
    var skew = 1.0

    @Option(help: "What all that is random follows from.")
    var seed: UInt64 = 1

    @Option(help: ArgumentHelp("Where the count of each address is written: ADDRESS COUNT.", valueName: "file"))
    var histogram: String

    @Option(help: "How many threads work.")
    var threads = ProcessInfo.processInfo.activeProcessorCount

    func run() async throws {
        var parameters = Load.Parameters(names: names, requests: requests, rate: rate)
        (parameters.resolvers, parameters.skew, parameters.seed) = (resolvers, skew, seed)
        parameters.threads = threads
        let load = try Load(try NamePolicyFile.read(contentsOf: policy), parameters)
        let (report, requestsByAddress) = try await load.run()
        let lines = requestsByAddress.map { "\($0.address) \($0.count)\n" }.joined()
        try Data(lines.utf8).write(to: URL(fileURLWithPath: histogram), options: .atomic)
        try output(report)
    }
}
