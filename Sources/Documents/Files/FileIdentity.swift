import Glibc

/// The identity and version of a file: device, inode, size, and times of modification and status change.
package struct FileIdentity: Equatable, Sendable {
    private let device, inode: UInt64
    private let size: Int64
    private let modified, changed: Time

    private struct Time: Equatable {
        let seconds, nanoseconds: Int64

        init(_ time: timespec) { (seconds, nanoseconds) = (Int64(time.tv_sec), Int64(time.tv_nsec)) }
    }

    /// Identifies the file at `path`, following symbolic links; `nil` if `stat` fails.
    package init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        (device, inode, size) = (UInt64(status.st_dev), UInt64(status.st_ino), Int64(status.st_size))
        (modified, changed) = (Time(status.st_mtim), Time(status.st_ctim))
    }

    /// Whether any further change is certain to give a different identity.
    ///
    /// Not right after a change, since file timestamps have a granularity of some milliseconds.
    package var isSettled: Bool {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) - changed.seconds > 1
    }
}
