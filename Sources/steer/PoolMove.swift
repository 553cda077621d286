import ArgumentParser
import Draining
import Steering

struct PoolMove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "move",
        abstract: "Answer names from other prefixes, without a moment in which an answered address is not steered.",
        discussion: """
            In this order: bind the new prefixes; answer from them, and no longer from the old ones; wait until the \
            last answer with those has expired, and until no more than --threshold packets come to them in the \
            seconds of --for; unbind them. What is both old and new stays as it is.

            It may be interrupted anywhere, and killed: the same command goes on from where the files and the policy in \
            force are. The policy in force must be that of the file, and stays it. Give --server for each steer-dns \
            that answers from these files; without it, each is given the seconds of --reload.

              steer pool move web --from 192.0.2.0/24 --to 192.0.2.0/28 --policy policy.yaml --server 127.0.0.1:9153
              steer pool move web --from 192.0.2.0/28 --to 192.0.2.0/24 --policy policy.yaml      # and back

            Hosts that serve the same names, each with files of its own, go together: an answer of one may lead to \
            another. So the command runs on all of them with --until bound, then on all with --until quiet, then \
            without.
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
        return PrefixPool(try texts.map { text in try parsed { () throws(AddressError) in try IPPrefix(text) } })
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
        Terminal.complain(sentence, .info)
    }
}
