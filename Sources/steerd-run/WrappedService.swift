import Glibc
import Steering

/// A command that opens its sockets itself, and knows nothing of it that they are handed over.
struct WrappedService {
    private let label: Label
    private let client: SteeringClient
    private let command: [String]
    private let selector: SocketSelector?
    private let patience: Duration
    private let isFresh: Bool

    init(
        _ label: Label, _ client: SteeringClient, _ command: [String], _ selector: SocketSelector?, patience: Duration,
        isFresh: Bool
    ) {
        self.label = label
        self.client = client
        self.command = command
        self.selector = selector
        self.patience = patience
        self.isFresh = isFresh
    }

    /// Runs the command to its end.
    ///
    /// - Returns: Its exit code.
    func run() throws(SteeringError) -> CInt {
        let held = try client.sockets(of: label)
        if isFresh { try giveUp(held) }
        var signals = Signals()
        try ChildProcess.adoptDescendants()
        let program = ProgramExecution(command)
        let child = try ChildProcess.copy {
            complain(program.run().message)
            _exit(127)
        }
        do throws(SteeringError) {
            let sockets = try listening(child, &signals)
            if !sockets.isEmpty { try serve(sockets, child, &signals) }
            let outcome = child.outcome()
            // Whatever it leaves behind would serve on, or not, and nobody would know.
            if ChildProcess.endAll(), outcome == .exited(0), !signals.toldToEnd { throw .wentAway(command[0]) }
            if sockets.isEmpty, outcome == .exited(0) { throw .ended(command[0]) }
            if sockets.isEmpty, !held.isEmpty, !isFresh { complain(hint(held)) }
            return outcome.exitCode
        } catch {
            ChildProcess.endAll()
            throw error
        }
    }

    /// Registers the sockets for as long as the command runs.
    private func serve(
        _ sockets: [ProcessSocket], _ child: ChildProcess, _ signals: inout Signals
    ) throws(SteeringError) {
        let descriptors = sockets.map { $0.socket.rawValue }
        try client.register(descriptors, as: label, replacing: true)
        while !child.hasEnded { signals.pass(to: child) }
        // steerd would keep the next one from binding where this one was. Another may have taken the place.
        try? client.unregister(label, descriptors)
        withExtendedLifetime(sockets) {}
    }

    /// Has steerd close what it holds for the label, and waits until it is closed everywhere.
    private func giveUp(_ held: [HeldSocket]) throws(SteeringError) {
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

    /// What the command listens on, once it does; nothing when it ends before.
    private func listening(_ child: ChildProcess, _ signals: inout Signals) throws(SteeringError) -> [ProcessSocket] {
        let begin = ContinuousClock.now
        var (known, isTold): ([ProcessSocket], Bool) = ([], false)
        while true {
            signals.pass(to: child, within: .milliseconds(50))
            if child.hasEnded { return [] }
            let sockets = try ProcessSocket.socketsOfAll(from: child.pid, matching: selector)
            // Some open one after the other: what there is twice will be all.
            if !sockets.isEmpty, sockets.map(\.cookie) == known.map(\.cookie) { return sockets }
            known = sockets
            if .now - begin > patience { throw .doesNotListen(command[0], selector, patience) }
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
    mutating func pass(to child: ChildProcess, within limit: Duration = .seconds(3600)) {
        let (seconds, attoseconds) = limit.components
        var (set, information) = (set, siginfo_t())
        var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        let number = sigtimedwait(&set, &information, &time)
        if [SIGTERM, SIGINT, SIGQUIT].contains(number) { toldToEnd = true }
        let isOfTerminal = information.si_code > 0
        if Self.passed.contains(number), !isOfTerminal { kill(child.pid, number) }
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
        _ command: String, _ selector: SocketSelector?, _ limit: Duration
    ) -> SteeringError {
        SteeringError(
            .socketNotFound,
            "\(command) does not listen on \(selector.map(String.init(describing:)) ?? "anything that can be steered to") within \(limit): raise --wait"
                + (selector == nil ? "" : ", or correct --only"))
    }
}
