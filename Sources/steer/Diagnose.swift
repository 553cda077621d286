import ArgumentParser
import CommandSupport
import Documents
import PolicyFiles
import Steering
import SteeringDNS

struct Diagnose: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Find problems, and show how to fix them.",
        discussion: """
            Exit code 0: all is well (notes apart); 1: warnings; 2: something is broken.

            If the policy has names, too, the doctor finds addresses that may be in answers but that no binding \
            steers, or that are not routed here.

              steer doctor
              steer doctor --policy policy.yaml     # also: is it in force, and routed here?
              steer doctor --fix                    # remove what ended namespaces left in the BPF file system
            """)

    @Option(help: ArgumentHelp("A policy that should be in force.", valueName: "file"), completion: .file())
    var policy: String?

    @Flag(help: "Remove what ended network namespaces and killed commands left.")
    var fix = false

    @OptionGroup var target: Target

    private struct Report: Encodable {
        struct Item: Encodable {
            let severity, subject, message: String
            let remedy: String?
        }
        let findings: [Item]
        let removed: [UInt64]
    }

    func run() throws {
        let wanted = try policy.map { try PolicyFile.read(contentsOf: $0) }
        let answered = try policy.map(answeredPools) ?? [:]
        let doctor = Doctor(try target.namespace(), bpffs: target.bpffs)
        let removed = fix ? try doctor.removeStalePins() : []
        let findings = try doctor.examine(wanted: wanted, of: policy, answered: answered)
        if target.json {
            let items = findings.map {
                Report.Item(
                    severity: "\($0.severity)", subject: $0.subject, message: $0.message, remedy: $0.remedy?.description
                )
            }
            print(JSON.text(Report(findings: items, removed: removed)))
        } else {
            for inode in removed { print("removed what network namespace \(inode) left") }
            for finding in findings {
                let severity = Terminal.colored("\(finding.severity)", finding.severity.color)
                print("\(severity) [\(finding.subject)] \(finding.message)")
                if let remedy = finding.remedy { print("    \(remedy)") }
            }
            if findings.isEmpty { print("all is well") }
        }
        switch findings.map(\.severity).max() {
        case .broken: throw ExitCode(2)
        case .warning: throw ExitCode(1)
        default: break
        }
    }

    /// Returns the addresses of each pool that DNS may answer with; empty if the policy came from standard input or a
    /// pipe, which cannot be read twice.
    private func answeredPools(_ path: String) throws -> [String: PrefixPool] {
        guard path != "-", !InputFile.isPipe(path) else { return [:] }
        let outline = try NamePolicyOutline(readingForSockets: path)
        return Dictionary(uniqueKeysWithValues: outline.answered.map { ($0.pool.name, $0.answers) })
    }
}

extension Finding.Severity {
    fileprivate var color: Int {
        switch self {
        case .note: 36
        case .warning: 33
        case .broken: 31
        }
    }
}

extension NamePolicyOutline {
    /// Reads a policy file, and converts its errors to `SteeringError`.
    init(readingForSockets path: String) throws(SteeringError) {
        do { try self.init(contentsOf: path) } catch { throw SteeringError(.invalidPolicyFile, error.message) }
    }
}
