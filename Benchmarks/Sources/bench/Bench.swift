import ArgumentParser
import CBench
import Glibc

@main
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measures steering against the least that it could cost.", subcommands: [ProgramCommand.self])
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
