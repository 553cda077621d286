import AddressPools
import ArgumentParser
import CommandSupport
import SteeringDNS

/// `steer-dns zone`.
struct Zone: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write a zone file with the policy's answers, for other name servers.",
        discussion: """
            An RFC 1035 zone file: the zone's own records, one address of each family for every listed or exact name \
            that a policy gives addresses, and wildcards for policies that cover all names, or all below a suffix. \
            The same policy, lists and seed produce the same file, and a new name does not change the addresses of \
            the others. Comments at its end list the differences from the policy when served.
            """)

    @OptionGroup var policy: PolicyOptions

    @Option(help: ArgumentHelp("The zone's name, such as example.com.", valueName: "name"))
    var origin: String

    @Option(help: ArgumentHelp("The seed for random addresses; by default random.", valueName: "number"))
    var seed: UInt64?

    @Option(
        help: ArgumentHelp("The directory for the file NAME.zone; - for standard output.", valueName: "directory"),
        completion: .directory)
    var output = "-"

    @Option(help: ArgumentHelp("The client's address, if policies depend on it.", valueName: "address"))
    var from: String?

    func validate() throws {
        if output.isEmpty { throw ValidationError("--output is empty: give a directory, or - for standard output") }
    }

    func run() throws {
        let name = try parsed { try DNSName(origin) }
        let client = try from.map { text in try parsed { try IPAddress(text) } }
        let zone = try OfflineZone(
            policy.read(), origin: name, seed: seed ?? .random(in: 0...(.max)), client: client)

        let bar = ProgressBar()
        defer { bar.clear() }
        let path = output == "-" ? "-" : "\(output)/\(fileName(of: name))"
        let summary = try zone.write(to: path) { read, size in
            bar.show("writing \(name)", read, of: size, unit: "MB of lists", scale: 1_000_000)
        }
        bar.clear()
        Journal.print(
            "\(path == "-" ? "\(name)" : path): \(counted(summary.names, "name")), "
                + "\(counted(summary.wildcards, "wildcard")), \(counted(summary.addresses, "address", "addresses")), "
                + "\(counted(summary.records, "record")) of the zone, \(counted(summary.size, "byte"))",
            .info)
        for note in summary.notes { Journal.print("note: \(note)", .notice) }
    }

    /// "example.com.zone". Slashes are replaced, so that the name cannot lead to another directory.
    private func fileName(of name: DNSName) -> String {
        let text = name == .root ? "root." : name.description.replacing("/", with: "_")
        return text + "zone"
    }
}
