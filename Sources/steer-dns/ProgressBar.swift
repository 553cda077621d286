import Foundation

/// A progress bar on standard error, if that is a terminal, shown after half a second.
final class ProgressBar {
    private let isShown = isatty(STDERR_FILENO) == 1
    private let began = ContinuousClock.now
    private var last = ContinuousClock.now
    private var isThere = false

    func show(_ what: String, _ done: Int, of all: Int?, unit: String, scale: Int = 1) {
        let now = ContinuousClock.now
        guard isShown, now - began > .milliseconds(500), now - last > .milliseconds(100) else { return }
        last = now
        isThere = true
        let count = "\(done / scale)\(all.map { " of \($0 / scale)" } ?? "") \(unit)"
        var bar = ""
        if let all, all > 0 {
            let filled = min(30, 30 * done / all)
            bar = " [" + String(repeating: "#", count: filled) + String(repeating: ".", count: 30 - filled) + "]"
        }
        let line = Array("\r\u{1b}[K\(what)\(bar) \(count)".utf8)
        _ = write(STDERR_FILENO, line, line.count)
    }

    func clear() {
        guard isThere else { return }
        isThere = false
        let line = Array("\r\u{1b}[K".utf8)
        _ = write(STDERR_FILENO, line, line.count)
    }
}
