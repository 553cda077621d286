import AddressPools
import ArgumentParser
import CommandSupport
import SteeringDNS

/// `steer-dns ask NAME TYPE`.
struct Ask: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Explain which policy answers a query, from which pool and why, with ten sample addresses.")

    @Argument(help: "The name to look up.")
    var name: String

    @Argument(help: "The record type: A or AAAA.")
    var type = "A"

    @OptionGroup var policy: PolicyOptions

    @Option(help: ArgumentHelp("The client's address.", valueName: "address"))
    var from: String?

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let asked = try parsed { try DNSName(name) }
        guard let recordType = RecordType(type) else {
            throw ValidationError("\(type) is not a record type: write A or AAAA")
        }
        let client = try from.map { text in try parsed { try IPAddress(text) } }
        let explanation = try policy.read().explain(asked, recordType, from: client)
        print(json ? JSON.text(Report(explanation)) : explanation.description)
    }

    private struct Report: Encodable {
        let name: String, type: String, answer: String
        let policy: String?, pool: String?, addresses: String?, select: String?
        let ttl: UInt32?
        let reasons: [String], draws: [String]

        init(_ explanation: NameExplanation) {
            name = explanation.name.description
            type = explanation.type.description
            answer = explanation.answer
            policy = explanation.policy
            pool = explanation.pool?.name
            addresses = explanation.pool?.addresses.description
            select = explanation.selection?.description
            ttl = explanation.ttl
            reasons = explanation.reasons
            draws = explanation.draws.map(\.description)
        }
    }
}
