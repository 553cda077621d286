import Glibc

/// Output for systemd's journal, if standard error is connected to it: each line then begins with its priority, such as
/// `<3>` for an error, and has no timestamp, since the journal adds one. See sd-daemon(3).
package enum Journal {
    /// Priorities, numbered as in syslog.
    package enum Priority: Int, Sendable {
        case critical = 2
        case error = 3
        case warning = 4
        case notice = 5
        case info = 6
        case debug = 7
    }

    /// Whether standard error is connected to the journal: $JOURNAL_STREAM names its device and inode.
    package static let isStandardError: Bool = {
        guard let stream = getenv("JOURNAL_STREAM") else { return false }
        var status = stat()
        return fstat(STDERR_FILENO, &status) == 0 && String(cString: stream) == "\(status.st_dev):\(status.st_ino)"
    }()

    /// Prints lines to standard error, each with its priority if they go to the journal.
    package static func print(_ text: String, _ priority: Priority) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let bytes = Array(lines.map { prefix(priority) + $0 + "\n" }.joined().utf8)
        var written = 0
        while written < bytes.count {
            let count = write(STDERR_FILENO, Array(bytes[written...]), bytes.count - written)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            written += count
        }
    }

    private static func prefix(_ priority: Priority) -> String { isStandardError ? "<\(priority.rawValue)>" : "" }
}
