import ArgumentParser
import Foundation

/// Simulates loads that are too large for an edge on one machine, with the answers of steer-dns.
@main
struct Simulate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Simulate an edge whose names are answered by policy, with steer-dns's own answers.",
        subcommands: [LoadCommand.self, CatchmentCommand.self, SearchCommand.self])
}

extension ParsableCommand {
    /// Prints a value as one line of JSON.
    func output(_ value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        print(String(decoding: try encoder.encode(value), as: UTF8.self))
    }
}
