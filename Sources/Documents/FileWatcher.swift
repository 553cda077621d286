import Glibc

/// Tells when one of some files has changed: edited in place, replaced by a rename, or reached by a symbolic link that
/// leads elsewhere now, as Kubernetes swaps mounted configuration.
///
/// It looks at the files four times a second rather than asking to be told: that works on every file system
/// and through every chain of links, and a policy file does not change more often.
package final class FileWatcher {
    private var known: [String: Identity?]

    private struct Identity: Equatable {
        let device, inode: UInt64
        let size: Int64
        let modified: Int64
        let modifiedNanoseconds: Int64
        let changed: Int64
        let changedNanoseconds: Int64
    }

    /// Watches paths; the files need not exist.
    package init(_ paths: String...) {
        known = Self.identities(of: paths)
    }

    /// Watches these paths from now on. Of those that were watched before, what has changed still counts.
    package func follow(_ paths: [String]) {
        known = Self.identities(of: paths).merging(known.filter { paths.contains($0.key) }) { $1 }
    }

    /// Returns once a file is another one than at the last return, and all have been left alone for a moment:
    /// whoever writes in place is not interrupted. The disappearance of one alone is no change.
    package func waitForChange() {
        var last = Self.identities(of: known.keys)
        while true {
            usleep(250_000)
            let now = Self.identities(of: known.keys)
            if now == last, now.contains(where: { $0.value != nil && $0.value != known[$0.key] }) {
                known.merge(now) { $1 ?? $0 }
                return
            }
            last = now
        }
    }

    private static func identities(of paths: some Sequence<String>) -> [String: Identity?] {
        Dictionary(paths.map { ($0, identity(of: $0)) }) { first, _ in first }
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
