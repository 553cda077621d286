import CommandSupport
import Glibc
import Steering

/// Shows successive versions of a text: in place on a terminal, otherwise one after another.
///
/// At the end the terminal is restored, with the last text printed on it.
struct Screen {
    private let isUsed: Bool
    private let signals: BlockedSignals
    private var shown = ""

    /// Prepares the terminal.
    ///
    /// - Parameter isUsed: Whether to show texts in place. If so, SIGINT, SIGTERM, SIGHUP and SIGQUIT end ``wait(_:)``
    ///   instead of the process, and SIGTSTP restores the terminal while the process is stopped.
    init(isUsed: Bool) {
        self.isUsed = isUsed
        signals = BlockedSignals(isUsed ? [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP] : [])
        if isUsed { begin() }
    }

    /// Switches to the alternate screen, and hides the cursor.
    private func begin() { try? Self.write("\u{1b}[?1049h\u{1b}[?25l") }

    mutating func show(_ text: String) throws(SteeringError) {
        guard isUsed else { return try Self.write(text + "\n") }
        shown = text
        try draw()
    }

    private func draw() throws(SteeringError) {
        var size = winsize()
        let height = ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_row > 2 ? Int(size.ws_row) : 24
        var lines = shown.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if lines.count >= height {
            let hidden = lines.count - (height - 2)
            lines = lines.prefix(height - 2) + ["... and \(counted(hidden, "more line"))"]
        }
        // Without line wrap; clears the rest of each line, then the rest of the screen.
        let body = lines.map { $0 + "\u{1b}[K\r\n" }.joined()
        try Self.write("\u{1b}[?7l\u{1b}[H" + body + "\u{1b}[J\u{1b}[?7h")
    }

    /// Waits, and returns `false` if a signal arrives first.
    func wait(_ seconds: Double) -> Bool {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while let signal = signals.wait(until: deadline) {
            guard signal == SIGTSTP else { return false }
            stop()
        }
        return true
    }

    /// Stops the process, as the blocked SIGTSTP would have done, until it is continued.
    private func stop() {
        end()
        kill(getpid(), SIGSTOP)
        begin()
        try? draw()
    }

    func end() {
        if isUsed { try? Self.write("\u{1b}[?25h\u{1b}[?1049l" + (shown.isEmpty ? "" : shown + "\n")) }
    }

    private static func write(_ text: String) throws(SteeringError) {
        print(text, terminator: "")
        try Terminal.finish()
    }
}
