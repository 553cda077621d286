import ArgumentParser
import CommandSupport
import Documents
import PoolMoves
import Steering

struct Pool: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pool",
        abstract: "Move the addresses that DNS answers with, and see which packets still come to the old ones.",
        discussion: """
            For policy files with names, which `steer-dns` answers, and with pools whose prefixes are in files of \
            their own:

              pools:
                web: { prefixes-from: web.txt, drained-from: web-drained.txt }

              steer pool move web --from 192.0.2.0/24 --to 192.0.2.0/28 --policy policy.yaml
              steer pool status web --policy policy.yaml
            """,
        subcommands: [PoolStatus.self, PoolMove.self])
}

/// The options that select a pool, the servers that answer from it, and the conditions for unbinding.
struct PoolOptions: ParsableArguments {
    @Argument(help: "The pool.")
    var name: String

    @Option(
        help: ArgumentHelp("The policy file, with bindings and names.", valueName: "file"),
        completion: .file(extensions: ["yaml", "yml", "json"]))
    var policy: String

    @OptionGroup var servers: ServerOptions

    @Option(help: ArgumentHelp("How many packets a quiet prefix may still get.", valueName: "packets"))
    var threshold: UInt64 = 0

    @Option(
        name: .customLong("for"),
        help: ArgumentHelp("How long a drained prefix must be quiet.", valueName: "seconds"))
    var duration = 5.0

    func validate() throws {
        if !(0.1...86_400).contains(duration) { throw misuse("--for is 0.1 to 86,400 seconds") }
    }

    /// Returns the steering, with the policy file.
    func steering(_ target: Target, for access: SocketSteering.Access) throws(SteeringError) -> HostSteering {
        HostSteering(steering: try target.open(for: access), target: target, policy: policy)
    }
}

/// Runs `body`, and converts its errors to `SteeringError`.
func policyFiles<Value>(_ body: () throws(DocumentError) -> Value) throws(SteeringError) -> Value {
    do { return try body() } catch { throw SteeringError(.invalidPolicyFile, error.message) }
}
