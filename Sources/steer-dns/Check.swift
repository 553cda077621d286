import ArgumentParser
import CommandSupport
import SteeringDNS

/// `steer-dns check FILE`.
struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check a policy and all files that it refers to; print the errors, or the warnings and a summary.",
        discussion: """
            Errors keep the policy from being served, and the exit code is 1. Warnings do not: the server logs them. With \
            --strict, warnings are errors.
            """)

    @Argument(help: "The policy file.", completion: .file(extensions: ["yaml", "yml", "json"]))
    var file: String

    @Option(help: ArgumentHelp("The site to answer for.", valueName: "name"))
    var site: String?

    @Flag(help: "Make warnings errors.")
    var strict = false

    @Flag(help: "Print JSON.")
    var json = false

    private struct Summary: Encodable {
        let policies: Int, pools: [String: String], names: Int, zones: [String], bytesOfNames: Int, warnings: [String]
    }

    func run() throws {
        let served = try PolicyOptions.read(file, site: site)
        if strict, !served.warnings.isEmpty { throw CommandError(served.warnings.joined(separator: "\n")) }
        let policies = served.policies
        let summary = Summary(
            policies: policies.policies.count,
            pools: Dictionary(uniqueKeysWithValues: policies.pools.map { ($0.name, $0.addresses.description) }),
            names: policies.nameCount, zones: served.origins.map(\.description), bytesOfNames: policies.nameBytes,
            warnings: served.warnings)
        if json {
            print(JSON.text(summary))
            return
        }
        for warning in served.warnings { SteerDNS.printError("warning: \(warning)", .warning) }
        print(
            "\(file): \(counted(summary.policies, "policy", "policies")), \(counted(summary.pools.count, "pool")), "
                + "\(counted(summary.names, "name")) in lists "
                + "(\(summary.bytesOfNames >> 20) MiB), zones \(summary.zones.joined(separator: " "))")
    }
}
