import Documents

/// Detects changes to a policy file: edits in place, replacement by a rename, and symbolic links that switch to another
/// target, as Kubernetes does with mounted configuration.
///
/// Files that the policy refers to are not watched.
public final class PolicyFileWatcher {
    private let watcher: FileWatcher

    /// Watches a path.
    ///
    /// - Parameter path: The path of the policy file, which need not exist yet.
    public init(_ path: String) { watcher = FileWatcher(path) }

    /// Blocks until the file has changed since the last return and has been stable for 250 ms, so that it is not read
    /// in the middle of a write.
    ///
    /// Deleting the file is not a change.
    public func waitForChange() { watcher.waitForChange() }
}
