import ArgumentParser
import CommandSupport
import Draining
import Steering

struct PoolMove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "move",
        abstract: "Answer names from other prefixes, while every address in use stays steered.",
        discussion: """
            In this order: bind the new prefixes; answer from them, and no longer from the old ones; wait until the \
            last answer with the old ones has expired, and until no more than --threshold packets come to them in the \
            seconds of --for; unbind them. Prefixes that are both old and new stay as they are.

            It may be interrupted or killed at any point: the same command goes on from the state of the files and of \
            the policy in force. The policy in force must be that of the file, and remains so. Give --server for each \
            steer-dns that answers from these files; without it, the command waits for the seconds of --reload.

              steer pool move web --from 192.0.2.0/24 --to 192.0.2.0/28 --policy policy.yaml --server 127.0.0.1:9153
              steer pool move web --from 192.0.2.0/28 --to 192.0.2.0/24 --policy policy.yaml      # and back

            Hosts that serve the same names, each with files of its own, must move together, because an answer from \
            one may lead to another: run the command on all of them with --until bound, then on all with --until \
            quiet, then without --until.
            """)

    @OptionGroup var options: PoolOptions

    @Option(parsing: .upToNextOption, help: ArgumentHelp("The old prefixes.", valueName: "prefix"))
    var from: [String]

    @Option(parsing: .upToNextOption, help: ArgumentHelp("The new prefixes.", valueName: "prefix"))
    var to: [String]

    @Option(help: "Stop after this step: bound, answering, expired, quiet, unbound.")
    var until = MoveStep.moved

    @OptionGroup var target: Target

    func run() throws {
        let (old, new) = (try Self.pool(from, "--from"), try Self.pool(to, "--to"))
        let move = Move(
            name: options.name, policy: options.policy, new: new, retired: old.subtracting(new),
            watch: try options.watch(), threshold: options.threshold, quiet: options.duration, last: until,
            steering: try target.open(for: .changing), target: target, report: MoveReport(isJSON: target.json))
        try move.run()
    }

    private static func pool(_ texts: [String], _ option: String) throws -> PrefixPool {
        if texts.isEmpty { throw misuse("\(option) needs a prefix") }
        return PrefixPool(try texts.map { text in try parsed { try IPPrefix(text) } })
    }
}

/// The output of `steer pool move`: a line for each step and, on standard error, the reasons for waiting.
final class MoveReport {
    private let isJSON: Bool
    private var waits = ""

    init(isJSON: Bool) { self.isJSON = isJSON }

    private struct Line: Encodable {
        let step, prefixes: String
    }

    func step(_ step: MoveStep, _ sentence: String, _ pool: PrefixPool) throws(SteeringError) {
        waits = ""
        print(isJSON ? JSON.text(Line(step: step.rawValue, prefixes: pool.description)) : sentence)
        try Terminal.finish()
    }

    /// Prints the reason for waiting, unless it is still the same.
    func waiting(_ sentence: String) {
        guard sentence != waits else { return }
        waits = sentence
        Journal.print(sentence, .info)
    }
}
