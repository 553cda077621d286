import ArgumentParser
import CommandSupport
import PoolMoves
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
        let plan = MovePlan(
            pool: options.name, policy: options.policy, from: try Self.pool(from, "--from"),
            to: try Self.pool(to, "--to"), threshold: options.threshold, quiet: options.duration, until: until)
        let report = MoveReport(plan: plan, isJSON: target.json)
        var move = Move(
            plan, try options.steering(target, for: .changing), try options.servers.watch(), SystemClock(),
            completed: report.completed, waiting: report.waiting)
        try move.run()
    }

    private static func pool(_ texts: [String], _ option: String) throws -> PrefixPool {
        if texts.isEmpty { throw misuse("\(option) needs a prefix") }
        return PrefixPool(try texts.map { text in try parsed { try IPPrefix(text) } })
    }
}

extension MoveStep: ExpressibleByArgument {}

/// The output of `steer pool move`: a line for each step and, on standard error, the reasons for waiting.
private struct MoveReport {
    let plan: MovePlan
    let isJSON: Bool

    private struct Line: Encodable {
        let step, prefixes: String
    }

    func completed(_ progress: MoveProgress) throws(SteeringError) {
        let (sentence, prefixes) = words(progress)
        let line = Line(step: progress.step.rawValue, prefixes: prefixes.description)
        print(isJSON ? JSON.text(line) : sentence)
        try Terminal.finish()
    }

    /// Returns the sentence about a step, and the prefixes that it concerns.
    private func words(_ progress: MoveProgress) -> (String, PrefixPool) {
        switch progress {
        case .bound(let addresses): ("bound: \(addresses)", plan.new)
        case .answering(let answers): ("answered: \(answers)", plan.new)
        case .expired(let leaving): ("expired: the last answer with \(leaving)", leaving)
        case .quiet(let leaving): ("quiet: \(leaving)", leaving)
        case .unbound(let leaving): ("unbound: \(leaving)", leaving)
        case .moved(let answers): ("the pool \(plan.pool) has moved: it is answered from \(answers)", plan.new)
        case .nothingToMove(let answers):
            (
                "nothing to move: the pool \(plan.pool) has nothing of \(plan.retired); it is answered from \(answers)",
                plan.new
            )
        }
    }

    func waiting(_ reason: MoveWait) {
        let sentence =
            switch reason {
            case .servers: "waiting for the servers to notice"
            case .expiry(let leaving, let time):
                "the last answer with \(leaving) expires \(DrainedFile.text(of: time))"
            case .packets(let packets, let leaving):
                "\(counted(packets, "packet")) in \(plan.quiet) s still come to \(leaving)"
            }
        Journal.print(sentence, .info)
    }
}
