import Documents

/// Detects changes to a policy file: edits in place, replacement by a rename, and symbolic links that switch to another
/// target, as Kubernetes does with mounted configuration.
///
/// The files that it includes are watched, too; files of prefixes are not.
public final class PolicyFileWatcher {
    private let path: String
    private let watcher: FileWatcher

    /// Watches a path.
    ///
    /// - Parameter path: The path of the policy file, which need not exist yet.
    public init(_ path: String) {
        self.path = path
        watcher = FileWatcher(path)
        followIncluded()
    }

    /// Blocks until one of the files has changed since the last return and has been stable for 250 ms, so that it is not read
    /// in the middle of a write.
    ///
    /// Deleting the file is not a change.
    public func waitForChange() {
        watcher.waitForChange()
        followIncluded()
    }

    /// If the file cannot be read, those that it included before stay watched.
    private func followIncluded() {
        if let included = Document.included(by: path) { watcher.follow([path] + included) }
    }
}
