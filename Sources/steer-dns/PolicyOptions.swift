import ArgumentParser
import SteeringDNS

/// The policy file, as each command takes it.
struct PolicyOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The policy file, YAML or JSON.", valueName: "file"),
        completion: .file(extensions: ["yaml", "yml", "json"]))
    var policy: String

    @Option(help: ArgumentHelp("The site to answer for; policies of other sites are left out.", valueName: "name"))
    var site: String?

    /// Reads the policy, with a progress bar on a terminal.
    func read() throws -> Serving { try Self.read(policy, site: site) }

    static func read(_ policy: String, site: String?) throws -> Serving {
        let bar = ProgressBar()
        defer { bar.clear() }
        return try NamePolicyFile.read(contentsOf: policy, site: site) { list, read, size in
            bar.show("reading \(list)", read, of: size, unit: "MB", scale: 1_000_000)
        }
    }
}
