import Glibc

/// Tells when a file has changed: edited in place, replaced by a rename, or reached by a symbolic link that
/// leads elsewhere now, as Kubernetes swaps mounted configuration.
///
/// It looks at the file four times a second rather than asking to be told: that works on every file system
/// and through every chain of links, and a policy file does not change more often.
package final class FileWatcher {
    private let path: String
    private var known: Identity?

    private struct Identity: Equatable {
        let device, inode: UInt64
        let size: Int64
        let modified: Int64
        let modifiedNanoseconds: Int64
        let changed: Int64
        let changedNanoseconds: Int64
    }

    /// Watches a path; the file need not exist.
    package init(_ path: String) {
        self.path = path
        known = Self.identity(of: path)
    }

    /// Returns once the file is another one than at the last return, and has been left alone for a moment:
    /// whoever writes in place is not interrupted. Its disappearance alone is no change.
    package func waitForChange() {
        var last = Self.identity(of: path)
        while true {
            usleep(250_000)
            let now = Self.identity(of: path)
            if let now, now == last, now != known {
                known = now
                return
            }
            last = now
        }
    }

    private static func identity(of path: String) -> Identity? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Identity(
            device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int64(status.st_size),
            modified: Int64(status.st_mtim.tv_sec), modifiedNanoseconds: Int64(status.st_mtim.tv_nsec),
            changed: Int64(status.st_ctim.tv_sec), changedNanoseconds: Int64(status.st_ctim.tv_nsec))
    }
}
