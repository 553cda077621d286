import AddressPools
import ArgumentParser
import Foundation
import Simulation
import SteeringDNS

/// `simulate load`: requests per address.
struct LoadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Count the requests to each address.",
        discussion: """
            Clients look up n1.example.com, n2.example.com and so on; the first is the most popular. Their resolvers \
            cache answers for their TTL.
            """)

    @Option(help: ArgumentHelp("A policy file of steer-dns, YAML or JSON.", valueName: "file"))
    var policy: String

    @Option(help: "The number of names.")
    var names: Int

    @Option(help: "The number of requests.")
    var requests: Int

    @Option(help: ArgumentHelp("The number of requests per second.", valueName: "requests-per-second"))
    var rate: Double

    @Option(help: "The number of resolvers.")
    var resolvers = 10_000

    @Option(help: "The exponent of the names' popularity (Zipf).")
    var skew = 1.0

    @Option(help: "The seed of all random numbers.")
    var seed: UInt64 = 1

    @Option(help: ArgumentHelp("The file for the count of each address, in lines ADDRESS COUNT.", valueName: "file"))
    var histogram: String

    @Option(help: "The number of threads.")
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
