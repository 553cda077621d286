import Glibc
import Steering

/// A command that opens its sockets itself, and knows nothing of it that they are registered.
struct WrappedService {
    private let client: SteeringClient
    /// Asks steerd while the command runs: signals wait for it.
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

    /// Runs the command to its end.
    ///
    /// - Returns: Its exit code.
    func run() throws(SteeringError) -> CInt {
        var held: [HeldSocket] = []
        for part in parts {
            let own = try client.sockets(of: part.label).filter { !$0.isLent }
            if isFresh { try giveUp(own, part.label) } else { held += own }
        }
        var signals = Signals()
        try ChildProcess.adoptDescendants()
        let program = ProgramExecution(command)
        var child = try ChildProcess.copy {
            complain(program.run().message)
            _exit(127)
        }
        do throws(SteeringError) {
            var follower = SocketFollower(child.pid, parts, lender, tell: { complain($0) })
            let hasListened = try begin(&follower, child, &signals)
            let outcome = try hasListened ? follow(&follower, &child, &signals) : child.outcome()
            // Its standby sockets would have clients wait.
            follower = SocketFollower(child.pid, [], lender, tell: { complain($0) })
            // Whatever it leaves behind would serve on, or not, and nobody would know.
            if ChildProcess.endAll(), outcome == .exited(0), !signals.toldToEnd { throw .wentAway(command[0]) }
            if !hasListened, outcome == .exited(0) { throw .ended(command[0]) }
            if !hasListened, !held.isEmpty { complain(hint(held)) }
            return outcome.exitCode
        } catch {
            ChildProcess.endAll()
            throw error
        }
    }

    /// Keeps what is registered what the command listens on, as long as it runs.
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
                if error.message != trouble { complain(error.message) }
                trouble = error.message
            }
            next = .now + follower.pause
        }
    }

    /// Who goes on with the sockets, where the command has ended and left them to a process that it had started: as
    /// nginx replaces its program.
    private func heir(_ follower: inout SocketFollower) throws(SteeringError) -> ChildProcess? {
        let holders = try follower.holders().filter(ChildProcess.isOwn)
        guard let first = holders.first else { return nil }
        follower.adopt(holders)
        return try .running(first)
    }

    /// Has steerd close what it holds for a label, and waits until it is closed everywhere.
    private func giveUp(_ held: [HeldSocket], _ label: Label) throws(SteeringError) {
        guard !held.isEmpty else { return }
        try client.unregister(label)
        // A service manager closes its own copies when it gets to it.
        for _ in 0..<100 {
            let open = try SocketDiagnostics().sockets()
            if !held.contains(where: { open[$0.cookie] != nil }) { return }
            usleep(20_000)
        }
    }

    private func hint(_ held: [HeldSocket]) -> String {
        let places = held.prefix(4).map { "\($0.transport) \($0.boundAddress)" }.joined(separator: ", ")
        return
            "\(command[0]) has ended before it listened, and steerd holds \(places), which keeps others from binding there: "
            + "where nobody serves it any more, --fresh gives it up"
    }

    /// Registers what the command listens on, once it does.
    ///
    /// - Returns: Whether it did, before it ended.
    private func begin(
        _ follower: inout SocketFollower, _ child: ChildProcess, _ signals: inout Signals
    ) throws(SteeringError) -> Bool {
        let begin = ContinuousClock.now
        var (known, isTold): ([SocketFollower.Choice], Bool) = ([], false)
        while true {
            signals.pass(to: child, within: .milliseconds(50))
            if child.hasEnded { return false }
            let choices = try follower.choices()
            // Some open one after the other: what there is twice will be all.
            if !choices.isEmpty, choices == known, try follower.register(replacing: true) { return true }
            known = choices
            if .now - begin > patience { throw .doesNotListen(command[0], parts, patience) }
            if .now - begin > .seconds(2), !isTold {
                complain("waiting for \(command[0]) to listen, \(patience) at most")
                isTold = true
            }
        }
    }
}

/// The signals that a command is to get, which this process would die of otherwise; and the one of its end.
private struct Signals {
    private var set = sigset_t()
    /// Whether the command was told to end.
    private(set) var toldToEnd = false

    private static let passed = [SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2]

    init() {
        sigemptyset(&set)
        for number in Self.passed + [SIGCHLD] { sigaddset(&set, number) }
        sigprocmask(SIG_BLOCK, &set, nil)
    }

    /// Waits for one, and passes it on. A terminal's go to the whole group, the command included.
    ///
    /// - Returns: Whether there was one for the command.
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
            "\(command) has ended before it listened: keep it in the foreground, as with nginx -g 'daemon off;'")
    }

    fileprivate static func wentAway(_ command: String) -> SteeringError {
        SteeringError(
            .socketNotFound,
            "\(command) went to the background, where nobody would know of its end, and was ended: keep it in the foreground, as with nginx -g 'daemon off;'"
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
