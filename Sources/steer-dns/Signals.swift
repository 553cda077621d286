import CommandSupport
import Foundation
import Synchronization

/// The signals that control the server. A thread of their own receives them, and all other threads block them: none is
/// lost before the server can act on it, and none has to wait for work in progress.
final class Signals: Sendable {
    private enum State {
        /// Reading the policy and binding; whether SIGHUP has arrived meanwhile.
        case starting(isReloadAwaited: Bool)
        case serving(reload: @Sendable () -> Void, end: @Sendable () -> Void)
    }

    private let state = Mutex(State.starting(isReloadAwaited: false))

    /// Blocks the signals; call this before any other thread starts. Until ``obey(reload:end:)``, SIGTERM and SIGINT
    /// end the process as by default.
    init() {
        let signals = BlockedSignals()
        signal(SIGPIPE, SIG_IGN)
        Thread.detachNewThread { while true { self.take(signals.wait()) } }
    }

    /// Acts on signals from now on, and on a SIGHUP that has arrived already. Neither closure may take long.
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

    /// Ends the process as if the signal had not been blocked.
    private static func die(of number: CInt) {
        signal(number, SIG_DFL)
        raise(number)
        BlockedSignals([number]).unblock()
    }
}
