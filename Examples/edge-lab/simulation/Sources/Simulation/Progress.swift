import Glibc
import Synchronization

/// A progress line on standard error, shown only on a terminal and after more than two seconds.
final class Progress: Sendable {
    private let title: String
    private let total: Int
    private let isShown = isatty(STDERR_FILENO) == 1
    private let state = Mutex((done: 0, begin: ContinuousClock.now, last: ContinuousClock.now, isThere: false))

    /// Starts the clock.
    ///
    /// - Parameters:
    ///   - title: The text before the percentage.
    ///   - total: The number of steps.
    init(_ title: String, of total: Int) {
        self.title = title
        self.total = max(1, total)
    }

    /// Adds completed steps.
    func add(_ count: Int) {
        guard isShown else { return }
        state.withLock { state in
            state.done += count
            let now = ContinuousClock.now
            guard now - state.begin > .seconds(2), now - state.last > .milliseconds(200) else { return }
            state.last = now
            state.isThere = true
            write("\r\u{1b}[K\(title) \(100 * state.done / total) %")
        }
    }

    /// Removes the line.
    func end() {
        state.withLock { state in
            if state.isThere { write("\r\u{1b}[K") }
            state.isThere = false
        }
    }

    private func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}
