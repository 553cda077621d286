import Glibc

/// Detects changes to a set of files: edits in place, replacement by a rename, and symbolic links that switch to
/// another target, as Kubernetes does with mounted configuration.
///
/// Polls four times a second instead of using inotify: this works on every file system and through any chain of links,
/// and policy files do not change more often.
package final class FileWatcher {
    private var known: [String: FileIdentity?]
    /// The paths at which no file means something, too.
    private var optional: Set<String> = []

    /// Watches paths.
    ///
    /// The files need not exist.
    package init(_ paths: String...) {
        known = Self.identities(of: paths)
    }

    /// Replaces the set of watched paths.
    ///
    /// Pending changes of paths that stay in the set are not lost. Deleting one of `optional` is a change.
    package func follow(_ paths: [String], optional: [String] = []) {
        let all = paths + optional
        known = Self.identities(of: all).merging(known.filter { all.contains($0.key) }) { $1 }
        self.optional = Set(optional)
    }

    /// Blocks until a file has changed since the last return and all files have been stable for 250 ms, so that a file
    /// is not read in the middle of a write.
    ///
    /// Deleting a file is not a change, unless it is optional: many editors delete a file before they write it.
    package func waitForChange() {
        var last = Self.identities(of: known.keys)
        while true {
            usleep(250_000)
            let now = Self.identities(of: known.keys)
            if now == last, now.contains(where: { isChange($0.key, $0.value) }) {
                known.merge(now.filter { isChange($0.key, $0.value) }) { $1 }
                return
            }
            last = now
        }
    }

    private func isChange(_ path: String, _ identity: FileIdentity?) -> Bool {
        (identity != nil || optional.contains(path)) && identity != known[path]
    }

    private static func identities(of paths: some Sequence<String>) -> [String: FileIdentity?] {
        Dictionary(paths.map { ($0, FileIdentity($0)) }) { first, _ in first }
    }
}
