import ArgumentParser
import Documents
import SteeringDNS
import Synchronization

/// The options that name the policy, common to all commands.
struct PolicyOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The policy file, YAML or JSON.", valueName: "file"),
        completion: .file(extensions: ["yaml", "yml", "json"]))
    var policy: String

    @Option(help: ArgumentHelp("The site to answer for; policies of other sites are ignored.", valueName: "name"))
    var site: String?

    /// Reads the policy, with a progress bar on a terminal.
    ///
    /// - Throws: `NamePolicyError`, or ``CommandError`` if no policy is for the site.
    func read() throws -> ServedData { try Self.read(policy, site: site) }

    static func read(_ policy: String, site: String?) throws -> ServedData {
        let served = try read(policy, site: site, reusing: nil)
        if let problem = served.strangeSite(site) { throw CommandError("\(policy): \(problem)") }
        return served
    }

    /// Reads the policy again. The site may have lost its policies: the caller looks at ``ServedData/strangeSite(_:)``.
    func read(reusing previous: ServedData) throws -> ServedData {
        try Self.read(policy, site: site, reusing: previous)
    }

    private static func read(_ policy: String, site: String?, reusing previous: ServedData?) throws -> ServedData {
        let bar = ProgressBar()
        defer { bar.clear() }
        return try NamePolicyFile.read(contentsOf: policy, site: site, reusing: previous) { list, read, size in
            bar.show("reading \(list)", read, of: size, unit: "MB", scale: 1_000_000)
        }
    }
}

extension ServedData {
    /// Returns a sentence if no policy is for a site: its name is probably misspelled.
    func strangeSite(_ site: String?) -> String? {
        let sites = Set(policies.policies.compactMap(\.site)).sorted()
        guard let site, !sites.contains(site) else { return nil }
        let remedy =
            sites.isEmpty
            ? "leave --site out" : "its sites are \(sites.joined(separator: ", ")); elsewhere leave --site out"
        return "no policy is for the site \(site): \(remedy)"
    }
}

/// Watches the policy file and the prefix and zone files that it names.
///
/// Lists of names are not watched: writing one takes a while, and SIGHUP tells the server when it is complete.
final class WatchedPolicy: Sendable {
    private let path: String
    private let watcher: Mutex<FileWatcher>

    /// Starts watching. Call this before reading the policy, so that no change is missed. Nil for standard input.
    init?(_ path: String) {
        guard path != "-" else { return nil }
        self.path = path
        let watcher = FileWatcher(path)
        Self.follow(path, watcher)
        self.watcher = Mutex(watcher)
    }

    /// Returns once a file has changed. Later changes end the next call.
    func waitForChange() {
        watcher.withLock { watcher in
            watcher.waitForChange()
            Self.follow(path, watcher)
        }
    }

    /// If the policy cannot be read, the files that it named before stay watched.
    private static func follow(_ path: String, _ watcher: FileWatcher) {
        guard let outline = try? NamePolicyOutline(contentsOf: path) else { return }
        watcher.follow([path] + outline.files, optional: outline.optionalFiles)
    }
}
