import ArgumentParser
import CommandSupport
import Steering

/// A binding in JSON: either `label` or `outcome`.
struct BindingReport: Encodable {
    let label: String?
    let outcome: String?
    let protocols: String
    let prefix: String
    let ports: String
    /// The source prefix; `nil` for any.
    ///
    /// `on` is the interface.
    let from: String?
    let on: String?

    init(_ binding: Binding) {
        if case .label(let name) = binding.outcome {
            (label, outcome) = (name.description, nil)
        } else {
            (label, outcome) = (nil, binding.outcome.description)
        }
        protocols = binding.protocols.description
        prefix = binding.prefix.description
        ports = binding.ports.description
        from = binding.source?.description
        on = binding.interface?.name
    }
}

struct Bindings: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bindings",
        abstract: "List the bindings in force.",
        discussion: """
            With --file they are written as a policy file that `steer apply` reads.

              steer bindings --label web
              steer bindings --file yaml > policy.yaml
              steer bindings --json | jq '.bindings[].prefix'
            """)

    @Option(help: ArgumentHelp("Only bindings that lead to this label.", valueName: "label"), completion: .label)
    var label: String?

    @Option(help: ArgumentHelp("Write a policy file: yaml or json.", valueName: "format"))
    var file: FileFormat?

    @OptionGroup var target: Target

    private struct Report: Encodable {
        let bindings: [BindingReport]
    }

    func run() throws {
        var policy = try target.open(for: .reading).policy
        if let label {
            let wanted = Outcome.label(try steer.label(label))
            policy = Policy(policy.bindings.filter { $0.outcome == wanted }, options: policy.options)
        }
        if let file { return print(file.text(of: policy), terminator: "") }
        if target.json { return print(JSON.text(Report(bindings: policy.bindings.map(BindingReport.init)))) }
        print(Self.table(policy.bindings).text())
    }

    /// Returns the table, with columns for sources and interfaces only if a binding has one.
    private static func table(_ bindings: [Binding]) -> Table {
        let hasSources = bindings.contains { $0.source != nil }
        let hasInterfaces = bindings.contains { $0.interface != nil }
        func row(_ start: [String], _ source: String, _ interface: String, _ outcome: String) -> [String] {
            start + (hasSources ? [source] : []) + (hasInterfaces ? [interface] : []) + [outcome]
        }
        var table = Table(row(["PROTOCOL", "PREFIX", "PORTS"], "FROM", "ON", "OUTCOME"))
        for binding in bindings {
            table.add(
                row(
                    ["\(binding.protocols)", "\(binding.prefix)", "\(binding.ports)"],
                    binding.source?.description ?? "any", binding.interface?.name ?? "any", "\(binding.outcome)"))
        }
        return table
    }
}
