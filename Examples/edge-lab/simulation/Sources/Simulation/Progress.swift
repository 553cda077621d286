import Glibc
import Synchronization

/// A line on standard error that tells how far something is, if that is a terminal and it takes longer than two seconds.
final class Progress: Sendable {
    private let title: String
    private let total: Int
    private let isShown = isatty(STDERR_FILENO) == 1
    private let state = Mutex((done: 0, begin: ContinuousClock.now, last: ContinuousClock.now, isThere: false))

    /// - Parameters:
    ///   - title: what is being done.
    ///   - total: how many steps it has.
    init(_ title: String, of total: Int) {
        self.title = title
        self.total = max(1, total)
    }

    /// More steps are done.
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
