import Glibc

/// Signals that are blocked, and so stay pending until a thread waits for them: none interrupts a step or is lost.
package struct BlockedSignals: Sendable {
    private let set: sigset_t

    /// Blocks the signals in the calling thread and those that it starts. Threads that exist already still receive
    /// them.
    ///
    /// - Parameter numbers: The signals; by default those that interrupt a command.
    package init(_ numbers: [CInt] = [SIGINT, SIGTERM, SIGHUP]) {
        var set = sigset_t()
        sigemptyset(&set)
        for number in numbers { sigaddset(&set, number) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        self.set = set
    }

    /// Waits for one of the signals, and returns its number.
    @discardableResult
    package func wait() -> CInt {
        var (set, number) = (set, CInt(0))
        while sigwait(&set, &number) != 0 {}
        return number
    }

    /// Waits for one of the signals until a time, and returns its number; nil if none has come.
    package func wait(until deadline: ContinuousClock.Instant) -> CInt? {
        var set = set
        while true {
            let left = max(deadline - .now, .zero).components
            var interval = timespec(tv_sec: Int(left.seconds), tv_nsec: Int(left.attoseconds / 1_000_000_000))
            let number = sigtimedwait(&set, nil, &interval)
            if number > 0 { return number }
            if errno == EAGAIN { return nil }
        }
    }

    /// Whether one of the signals has come; takes it.
    package var hasCome: Bool { wait(until: .now) != nil }

    /// Delivers the signals again, also those that are pending.
    package func unblock() {
        var set = set
        pthread_sigmask(SIG_UNBLOCK, &set, nil)
    }
}
