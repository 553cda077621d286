import Glibc

/// What tells a file from another one, and from itself before it was changed.
package struct FileIdentity: Equatable, Sendable {
    private let device, inode: UInt64
    private let size: Int64
    private let modified, changed: Time

    private struct Time: Equatable {
        let seconds, nanoseconds: Int64

        init(_ time: timespec) { (seconds, nanoseconds) = (Int64(time.tv_sec), Int64(time.tv_nsec)) }
    }

    /// The file that a path leads to now; nil if there is none.
    package init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        (device, inode, size) = (UInt64(status.st_dev), UInt64(status.st_ino), Int64(status.st_size))
        (modified, changed) = (Time(status.st_mtim), Time(status.st_ctim))
    }

    /// Whether the next change is sure to make another identity. Right after a change it is not: the clock of files
    /// moves in steps of some milliseconds.
    package var isSettled: Bool {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) - changed.seconds > 1
    }
}
