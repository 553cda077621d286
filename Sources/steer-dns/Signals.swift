import Foundation
import Synchronization

/// The signals that a server obeys. They come to a thread of their own, and are blocked in all others: none is lost between
/// the start and the moment when it can be obeyed, and none waits for what another has begun.
final class Signals: Sendable {
    private enum State {
        /// Reading, binding; and whether SIGHUP has come.
        case starting(isReloadAwaited: Bool)
        case serving(reload: @Sendable () -> Void, end: @Sendable () -> Void)
    }

    private let state = Mutex(State.starting(isReloadAwaited: false))

    /// Begins: to be called before there is another thread. Until ``obey(reload:end:)``, SIGTERM and SIGINT end the process
    /// as they would by themselves.
    init() {
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGHUP, SIGTERM, SIGINT] { sigaddset(&signals, number) }
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        signal(SIGPIPE, SIG_IGN)
        Thread.detachNewThread { [signals] in
            var awaited = signals
            while true {
                var number: CInt = 0
                if sigwait(&awaited, &number) == 0 { self.take(number) }
            }
        }
    }

    /// Obeys from now on; what has come so far, too. Neither may take long.
    func obey(reload: @escaping @Sendable () -> Void, end: @escaping @Sendable () -> Void) {
        let isReloadAwaited = state.withLock { state in
            defer { state = .serving(reload: reload, end: end) }
            if case .starting(true) = state { return true }
            return false
        }
        if isReloadAwaited { reload() }
    }

    private func take(_ number: CInt) {
        let action: (@Sendable () -> Void)? = state.withLock { state in
            switch state {
            case .serving(let reload, let end): return number == SIGHUP ? reload : end
            case .starting:
                if number == SIGHUP { state = .starting(isReloadAwaited: true) } else { Self.die(of: number) }
                return nil
            }
        }
        action?()
    }

    /// As if it had not been blocked.
    private static func die(of number: CInt) {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, number)
        signal(number, SIG_DFL)
        raise(number)
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
    }
}
