import Glibc
import Steering

/// A command that opens its sockets itself, and knows nothing of it that they are handed over.
struct WrappedService {
    private let label: Label
    private let client: SteeringClient
    private let command: [String]
    private let selector: SocketSelector?
    private let patience: Duration

    init(
        _ label: Label, _ client: SteeringClient, _ command: [String], _ selector: SocketSelector?, patience: Duration
    ) {
        self.label = label
        self.client = client
        self.command = command
        self.selector = selector
        self.patience = patience
    }

    /// Runs the command to its end.
    ///
    /// - Returns: Its exit code.
    func run() throws(SteeringError) -> CInt {
        try client.abandon(label)
        let signals = Signals()
        let program = ProgramExecution(command)
        let child = try ChildProcess.copy {
            complain(program.run().message)
            _exit(127)
        }
        let sockets: [ProcessSocket]
        do throws(SteeringError) {
            sockets = try listening(child, signals)
            if !sockets.isEmpty { try client.register(sockets.map { $0.socket.rawValue }, as: label, replacing: true) }
        } catch {
            child.end()
            throw error
        }
        while !child.hasEnded { signals.pass(to: child) }
        // steerd would keep the next one from binding where this one was. Another may have taken the place.
        if !sockets.isEmpty { try? client.unregister(label, sockets.map { $0.socket.rawValue }) }
        let outcome = child.outcome()
        if sockets.isEmpty, outcome == .exited(0) { throw .ended(command[0]) }
        return outcome.exitCode
    }

    /// What the command listens on, once it does; nothing when it ends before.
    private func listening(_ child: ChildProcess, _ signals: Signals) throws(SteeringError) -> [ProcessSocket] {
        let begin = ContinuousClock.now
        var (known, isTold): ([ProcessSocket], Bool) = ([], false)
        while true {
            signals.pass(to: child, within: .milliseconds(50))
            if child.hasEnded { return [] }
            let sockets: [ProcessSocket]
            do throws(SteeringError) {
                sockets = try ProcessSocket.socketsOfAll(from: child.pid, matching: selector)
            } catch {
                if child.hasEnded { continue }
                throw error
            }
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

extension ChildProcess {
    /// Ends it, kindly at first.
    fileprivate func end() {
        for (signal, tries) in [(SIGTERM, 100), (SIGKILL, 1000)] {
            kill(pid, signal)
            for _ in 0..<tries where !hasEnded { usleep(50_000) }
        }
        _ = outcome()
    }
}

/// The signals that a command is to get, which this process would die of otherwise; and the one of its end.
private struct Signals {
    private var set = sigset_t()

    private static let passed = [SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2]

    init() {
        sigemptyset(&set)
        for number in Self.passed + [SIGCHLD] { sigaddset(&set, number) }
        sigprocmask(SIG_BLOCK, &set, nil)
    }

    /// Waits for one, and passes it on. A terminal's go to the whole group, the command included.
    func pass(to child: ChildProcess, within limit: Duration = .seconds(3600)) {
        let (seconds, attoseconds) = limit.components
        var (set, information) = (set, siginfo_t())
        var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        let number = sigtimedwait(&set, &information, &time)
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

    fileprivate static func doesNotListen(
        _ command: String, _ selector: SocketSelector?, _ limit: Duration
    ) -> SteeringError {
        SteeringError(
            .socketNotFound,
            "\(command) does not listen on \(selector.map(String.init(describing:)) ?? "anything that can be steered to") within \(limit): raise --wait"
                + (selector == nil ? "" : ", or correct --only"))
    }
}
