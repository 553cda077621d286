import Documents

/// Tells when a policy file has changed: edited in place, replaced by a rename, or reached by a symbolic link that
/// leads elsewhere now, as Kubernetes swaps mounted configuration. The files that it names are not looked at.
public final class PolicyFileWatcher {
    private let watcher: FileWatcher

    /// Watches a path; the file need not exist.
    public init(_ path: String) { watcher = FileWatcher(path) }

    /// Returns once the file is another one than at the last return, and has been left alone for a moment:
    /// whoever writes in place is not interrupted. Its disappearance alone is no change.
    public func waitForChange() { watcher.waitForChange() }
}
