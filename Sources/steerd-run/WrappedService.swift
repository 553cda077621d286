import Glibc
import ServiceSupport
import Steering

/// A command that opens its own sockets, and does not know that they are registered.
struct WrappedService {
    private let client: SteeringClient
    /// The client for calls while the command runs. Signals wait for these calls.
    private let lender: SteeringClient
    private let command: [String]
    private let parts: [SocketFollower.Part]
    private let patience: Duration
    private let isFresh: Bool

    init(
        _ client: SteeringClient, _ lender: SteeringClient, _ command: [String], _ parts: [SocketFollower.Part],
        patience: Duration, isFresh: Bool
    ) {
        self.client = client
        self.lender = lender
        self.command = command
        self.parts = parts
        self.patience = patience
        self.isFresh = isFresh
    }

    /// Runs the command until it ends.
    ///
    /// - Returns: Its exit code; 128 plus the number of the signal that ended it.
    /// - Throws: `socketNotFound` if the command does not listen in time, or exits with code 0 before it listens or
    ///   leaving processes behind; otherwise as ``SocketFollower/choices(one:)`` and
    ///   ``SteeringClient/register(_:as:replacing:)``.
    func run() throws(SteeringError) -> CInt {
        var held: [HeldSocket] = []
        var followed: [SocketFollower.Part] = []
        for part in parts {
            let destinations = try client.destinations(of: part.label)
            followed.append(SocketFollower.Part(part.label, part.selectors, destinations: destinations))
            let own = try client.sockets(of: part.label).filter { !$0.isLent }
            if isFresh { try giveUp(own, part.label) } else { held += own }
        }
        var signals = Signals()
        try ChildProcess.adoptDescendants()
        let program = ProgramExecution(command)
        var child = try ChildProcess.copy {
            SteerdRun.note(program.run().message)
            _exit(127)
        }
        do throws(SteeringError) {
            var follower = SocketFollower(child.pid, followed, lender, tell: SteerdRun.note)
            let hasListened = try begin(&follower, child, &signals)
            if hasListened { tellHeld() }
            let outcome = try hasListened ? follow(&follower, &child, &signals) : child.outcome()
            // Otherwise the former one's standby sockets would keep clients waiting.
            follower = SocketFollower(child.pid, [], lender, tell: SteerdRun.note)
            // Processes that it leaves behind would go on unsupervised.
            if ChildProcess.endAll(), outcome == .exited(0), !signals.toldToEnd { throw .wentAway(command[0]) }
            if !hasListened, outcome == .exited(0) { throw .ended(command[0]) }
            if !hasListened, !held.isEmpty { SteerdRun.note(hint(held)) }
            return outcome.exitCode
        } catch {
            ChildProcess.endAll()
            throw error
        }
    }

    /// Keeps the registered sockets equal to those on which the command listens, as long as it runs.
    private func follow(
        _ follower: inout SocketFollower, _ child: inout ChildProcess, _ signals: inout Signals
    ) throws(SteeringError) -> ChildProcess.Outcome {
        var (next, trouble) = (ContinuousClock.now, "")
        while true {
            let isPassed = signals.pass(to: child, within: max(.zero, next - .now))
            child.forgetOthers()
            if child.hasEnded {
                let outcome = child.outcome()
                guard outcome == .exited(0), !signals.toldToEnd, let heir = try heir(&follower) else { return outcome }
                child = heir
            }
            guard isPassed || .now >= next else { continue }
            do throws(SteeringError) { try follower.turn(isSure: isPassed) } catch {
                if error.message != trouble { SteerdRun.note(error.message) }
                trouble = error.message
            }
            next = .now + follower.pause
        }
    }

    /// Returns the process that goes on with the sockets after the command has ended, as when nginx replaces its
    /// binary; nil if there is none.
    private func heir(_ follower: inout SocketFollower) throws(SteeringError) -> ChildProcess? {
        let holders = try follower.holders().filter(ChildProcess.isOwn)
        guard let first = holders.first else { return nil }
        follower.adopt(holders)
        return try .running(first)
    }

    /// Has steerd close the sockets that it holds for a label, and waits up to 2 s until they are closed everywhere.
    private func giveUp(_ held: [HeldSocket], _ label: Label) throws(SteeringError) {
        guard !held.isEmpty else { return }
        try client.unregister(label)
        try held.waitUntilClosed()
    }

    /// Tells of sockets that steerd holds for the labels beside the command's: clients wait there, unanswered.
    private func tellHeld() {
        for part in parts {
            let held = ((try? lender.sockets(of: part.label)) ?? []).filter { !$0.isLent }.unserved
            guard !held.isEmpty else { continue }
            SteerdRun.note(
                "steerd still holds \(held.words) for \(part.label), which \(command[0]) does not serve: unless another process does, clients wait there, so release it with --fresh"
            )
        }
    }

    private func hint(_ held: [HeldSocket]) -> String {
        "\(command[0]) ended before it listened, and steerd holds \(held.words), so nothing else can bind there: "
            + "if no process serves it any more, --fresh releases it"
    }

    /// Registers the command's sockets once it listens.
    ///
    /// - Returns: False if the command ended first.
    private func begin(
        _ follower: inout SocketFollower, _ child: ChildProcess, _ signals: inout Signals
    ) throws(SteeringError) -> Bool {
        let begin = ContinuousClock.now
        var (known, isTold): ([SocketFollower.Choice], Bool) = ([], false)
        var reason: SteeringError?
        while true {
            signals.pass(to: child, within: .milliseconds(50))
            if child.hasEnded { return false }
            var choices: [SocketFollower.Choice] = []
            do throws(SteeringError) {
                choices = try follower.choices()
                reason = nil
            } catch {
                // It may yet open those of the protocol that is needed.
                guard error.code == .socketNotFound else { throw error }
                reason = error
            }
            // Some commands open their sockets one after the other: wait until two looks in a row agree.
            if !choices.isEmpty, choices == known, try follower.register(replacing: true) { return true }
            known = choices
            if .now - begin > patience { throw reason ?? .doesNotListen(command[0], parts, patience) }
            if .now - begin > .seconds(2), !isTold {
                let why = reason.map { ": \($0.message)" } ?? ""
                SteerdRun.note("waiting for \(command[0]) to listen, \(patience) at most\(why)")
                isTold = true
            }
        }
    }
}

/// The signals to pass on to the command, which would otherwise end this process, and SIGCHLD.
private struct Signals {
    private var set = sigset_t()
    /// Whether the command has received a signal that ends it.
    private(set) var toldToEnd = false

    private static let passed = [SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2]

    init() {
        sigemptyset(&set)
        for number in Self.passed + [SIGCHLD] { sigaddset(&set, number) }
        sigprocmask(SIG_BLOCK, &set, nil)
    }

    /// Waits for a signal, and passes it on. A signal from the terminal goes to the whole process group, which includes
    /// the command.
    ///
    /// - Returns: Whether the command received a signal.
    @discardableResult
    mutating func pass(to child: ChildProcess, within limit: Duration) -> Bool {
        let (seconds, attoseconds) = limit.components
        var (set, information) = (set, siginfo_t())
        var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        let number = sigtimedwait(&set, &information, &time)
        if [SIGTERM, SIGINT, SIGQUIT].contains(number) { toldToEnd = true }
        let isOfTerminal = information.si_code > 0
        guard Self.passed.contains(number) else { return false }
        if !isOfTerminal { kill(child.pid, number) }
        return true
    }
}

extension SteeringError {
    fileprivate static func ended(_ command: String) -> SteeringError {
        SteeringError(
            .socketNotFound,
            "\(command) ended before it listened: keep it in the foreground, as with nginx -g 'daemon off;'")
    }

    fileprivate static func wentAway(_ command: String) -> SteeringError {
        SteeringError(
            .socketNotFound,
            "\(command) went to the background, where its exit would go unnoticed, and was ended: keep it in the foreground, as with nginx -g 'daemon off;'"
        )
    }

    fileprivate static func doesNotListen(
        _ command: String, _ parts: [SocketFollower.Part], _ limit: Duration
    ) -> SteeringError {
        let places = parts.flatMap { part in part.selectors.map(\.description) }
        let what = places.isEmpty ? "anything that can be steered to" : places.joined(separator: " and ")
        return SteeringError(
            .socketNotFound,
            "\(command) does not listen on \(what) within \(limit): raise --wait"
                + (places.isEmpty ? "" : ", or correct what is given for \(parts[0].label)"))
    }
}
