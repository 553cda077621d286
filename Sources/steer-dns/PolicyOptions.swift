import ArgumentParser
import Documents
import SteeringDNS
import Synchronization

/// The policy file, as each command takes it.
struct PolicyOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The policy file, YAML or JSON.", valueName: "file"),
        completion: .file(extensions: ["yaml", "yml", "json"]))
    var policy: String

    @Option(help: ArgumentHelp("The site to answer for; policies of other sites are left out.", valueName: "name"))
    var site: String?

    /// Reads the policy, with a progress bar on a terminal.
    func read(reusing previous: Serving? = nil) throws -> Serving {
        try Self.read(policy, site: site, reusing: previous)
    }

    static func read(_ policy: String, site: String?, reusing previous: Serving? = nil) throws -> Serving {
        let bar = ProgressBar()
        defer { bar.clear() }
        return try NamePolicyFile.read(contentsOf: policy, site: site, reusing: previous) { list, read, size in
            bar.show("reading \(list)", read, of: size, unit: "MB", scale: 1_000_000)
        }
    }
}

/// The policy file, and the files of prefixes and zones that it names, watched for changes.
///
/// Lists of names are not among them: whoever writes one takes a while, and says by SIGHUP that it is whole.
final class WatchedPolicy: Sendable {
    private let path: String
    private let watcher: Mutex<FileWatcher>

    /// Call this before the policy is read: what changes from then on is told.
    init?(_ path: String) {
        guard path != "-" else { return nil }
        self.path = path
        let watcher = FileWatcher(path)
        Self.follow(path, watcher)
        self.watcher = Mutex(watcher)
    }

    /// Returns once a file has changed. What changes from then on is told the next time.
    func waitForChange() {
        watcher.withLock { watcher in
            watcher.waitForChange()
            Self.follow(path, watcher)
        }
    }

    /// A policy that cannot be read names the files that it named before.
    private static func follow(_ path: String, _ watcher: FileWatcher) {
        guard let outline = try? NamePolicyOutline(contentsOf: path) else { return }
        watcher.follow([path] + outline.files)
    }
}
