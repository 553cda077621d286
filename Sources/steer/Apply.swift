import ArgumentParser
import CommandSupport
import Documents
import Glibc
import PolicyFiles
import Steering

/// The formats of `bindings --file`.
enum FileFormat: String, ExpressibleByArgument, CaseIterable {
    case yaml, json

    func text(of policy: Policy) -> String {
        PolicyFile.write(policy, as: self == .yaml ? .yaml : .json)
    }
}

extension PolicyFormat: ExpressibleByArgument {}

struct Apply: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply",
        abstract: "Put a policy file in force: all of it, or nothing.",
        discussion: """
            The file replaces every binding, in one step for all packets. Applying it again changes nothing.

              bindings:
                - label: web
                  protocols: tcp                 # tcp, udp, tcp+udp
                  prefixes: [192.0.2.0/24, 2001:db8::/64]
                  ports: 80,443,8000-8999        # or all
                - outcome: refuse                # or pass
                  protocols: tcp
                  prefixes-from: blocked.txt     # one prefix a line
                  ports: all
              labels:
                web: { without-socket: pass }    # instead of refusing while no socket is registered

              steer apply policy.yaml --dry-run        # what would change, and whose traffic
              steer apply policy.yaml --strict         # nothing, if part of it would match nothing
              steer apply policy.yaml --load           # loads first if nothing is loaded: for boot
              steer apply policy.yaml --watch          # again whenever the file changes
              steer apply policy.yaml --steerd /run/steerd.sock    # has steerd read it again, too
              steer apply bindings.json --format tubular
            """)

    @Argument(help: "The policy file; - for standard input.", completion: .file(extensions: ["yaml", "yml", "json"]))
    var file: String

    @Flag(help: "Print what would change, and change nothing.")
    var dryRun = false

    @Flag(help: "Refuse a policy if part of it matches nothing here, such as bindings on a missing interface.")
    var strict = false

    @Flag(help: "Follow the file: apply it again whenever it changes, until interrupted.")
    var watch = false

    @Flag(help: "Load first if no steering is loaded; upgrade one that an older version loaded.")
    var load = false

    @OptionGroup var readers: Readers

    @Option(
        help: ArgumentHelp("Have the steerd that listens here read its policy file, too, and wait.", valueName: "path"))
    var steerd: String?

    @Option(help: "yaml, json, or tubular (as `tubectl load-bindings` reads it); by default from the file's name.")
    var format: PolicyFormat?

    @OptionGroup var target: Target

    func validate() throws {
        if watch, dryRun { throw misuse("--watch and --dry-run exclude each other: give one of them") }
        if steerd != nil, dryRun { throw misuse("--steerd and --dry-run exclude each other: give one of them") }
        if readers.readers != nil, !load { throw misuse("--readers is for what is loaded: give --load too") }
        if watch, file == "-" { throw misuse("standard input cannot be watched: give a file") }
        if watch, InputFile.isPipe(file) { throw misuse("\(file) is a pipe and cannot be watched: give a file") }
    }

    func run() throws {
        if dryRun { return try showDifference() }
        // Created before the file is read, so that no later change is missed.
        let watcher = watch ? PolicyFileWatcher(file) : nil
        let policy = try read()
        let steering = try load ? loaded() : target.open(for: .changing)
        try report(try apply(policy, to: steering))
        if let watcher { follow(watcher, steering) }
    }

    private func read() throws(SteeringError) -> Policy {
        try PolicyFile.read(contentsOf: file, format: format)
    }

    private func loaded() throws -> SocketSteering {
        let group = try readers.number()
        return try SocketSteering.loadOrOpen(try target.namespace(), bpffs: target.bpffs, readers: group)
    }

    private func apply(_ policy: Policy, to steering: SocketSteering) throws(SteeringError) -> DifferenceCount {
        let before = try steering.policy
        try remark(on: policy, except: ["clients"])
        try steering.apply(policy)
        // After applying, so that the labels of new bindings have numbers when steerd registers sockets for them.
        if let steerd { try SteeringClient(steerd, patience: .seconds(60)).reload() }
        return DifferenceCount(bindings: policy.count, changed: before != policy)
    }

    /// Prints remarks about a policy to standard error, except on `subjects`, which only --dry-run and the doctor
    /// report.
    ///
    /// - Throws: `invalidPolicyFile` with --strict, if a remark is more severe than a note.
    private func remark(on policy: Policy, except subjects: Set<String> = []) throws(SteeringError) {
        let remarks = try target.remarks(on: policy).filter { !subjects.contains($0.subject) }
        if strict, let first = remarks.first(where: { $0.severity > .note }) {
            throw SteeringError(.invalidPolicyFile, "\(first.message) (--strict)")
        }
        Remarks.say(remarks, asJSON: target.json)
    }

    private func report(_ result: DifferenceCount) throws(SteeringError) {
        let count = "\(counted(result.bindings, "binding")) in force"
        print(target.json ? JSON.text(result) : result.changed ? count : "unchanged: \(count)")
        try Terminal.finish()
    }

    private func showDifference() throws {
        let policy = try read()
        guard !policy.isEmpty else { throw SteeringError.emptyPolicy }  // Applying it would throw the same error.
        try remark(on: policy)
        let difference = try policy.difference(from: try inForce())
        print(target.json ? JSON.text(DifferenceReport(difference)) : DifferenceReport.text(difference))
    }

    private func inForce() throws(SteeringError) -> Policy {
        do throws(SteeringError) {
            return try target.open(for: .reading).policy
        } catch {
            guard load, error.code == .notLoaded else { throw error }
            return Policy()
        }
    }

    /// Applies the file after each change; if that fails, prints the error and keeps the policy in force.
    private func follow(_ watcher: PolicyFileWatcher, _ steering: SocketSteering) {
        while true {
            watcher.waitForChange()
            do throws(SteeringError) {
                try report(try apply(try read(), to: steering))
            } catch {
                Journal.print(Failure.text(error), .error)
            }
        }
    }
}

struct DifferenceCount: Encodable {
    let bindings: Int
    let changed: Bool
}

/// The changes that applying a policy would make.
struct DifferenceReport: Encodable {
    struct Handover: Encodable {
        let protocols, prefix, ports: String
        let from, on: String?
        let before, after: String
    }
    struct Options: Encodable {
        let label, before, after: String
    }
    let added, removed: [BindingReport]
    let labels: [Options]
    let handovers: [Handover]

    init(_ difference: PolicyDifference) {
        added = difference.added.map(BindingReport.init)
        removed = difference.removed.map(BindingReport.init)
        labels = difference.changedOptions.sorted { $0.key < $1.key }.map {
            Options(
                label: $0.key.name, before: $0.value.before.withoutSocket.description,
                after: $0.value.after.withoutSocket.description)
        }
        handovers = difference.handovers.map {
            Handover(
                protocols: $0.protocols.description, prefix: $0.prefix.description, ports: $0.ports.description,
                from: $0.source?.description, on: $0.interface?.name,
                before: Self.text($0.before), after: Self.text($0.after))
        }
    }

    private static func text(_ outcome: Outcome?) -> String { outcome?.description ?? "not steered" }

    static func text(_ difference: PolicyDifference) -> String {
        if difference.isEmpty { return "nothing would change" }
        var lines = difference.removed.map { Terminal.colored("- \($0)", 31) }
        lines += difference.added.map { Terminal.colored("+ \($0)", 32) }
        for (label, change) in difference.changedOptions.sorted(by: { $0.key < $1.key }) {
            let options = "\(change.before.withoutSocket) -> \(change.after.withoutSocket)"
            lines.append("~ label \(label), without a socket: \(options)")
        }
        lines.append(difference.handovers.isEmpty ? "no traffic changes hands" : "traffic that changes hands:")
        lines += difference.handovers.map { "  \($0)" }
        return lines.joined(separator: "\n")
    }
}
