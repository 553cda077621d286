import Glibc

/// Tells when one of some files has changed: edited in place, replaced by a rename, or reached by a symbolic link that
/// leads elsewhere now, as Kubernetes swaps mounted configuration.
///
/// It looks at the files four times a second rather than asking to be told: that works on every file system
/// and through every chain of links, and a policy file does not change more often.
package final class FileWatcher {
    private var known: [String: FileIdentity?]

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

    private static func identities(of paths: some Sequence<String>) -> [String: FileIdentity?] {
        Dictionary(paths.map { ($0, FileIdentity($0)) }) { first, _ in first }
    }
}
