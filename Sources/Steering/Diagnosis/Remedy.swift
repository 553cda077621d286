/// A shell command that mends a finding.
///
/// It says where it acts: in another network namespace than the caller's own it enters that one, and it names the BPF
/// file system when that is not the usual one. A remedy that could cut traffic off is not given as a command: the
/// finding's message says what to look at instead.
public struct Remedy: Sendable, Hashable, CustomStringConvertible {
    /// What a remedy does. A test makes a finding for each kind, runs what is printed, and looks again.
    package enum Kind: Sendable, Hashable, CaseIterable {
        case load, upgrade, loadAnew, apply, bind, register, unregister, removeStalePins
        case mountFileSystem, remountWritable, enterMountNamespace
        case routeHere, bindNonlocal, filterLoosely, migrateRequests, reservePorts
    }

    package let kind: Kind
    /// The command, quoted for a shell. Words in capitals, such as PID and FILE, are to be filled in.
    public let description: String
    /// Whether the command can be run as it stands, without words to fill in.
    public let isComplete: Bool
}

/// Where remedies act: they are rendered here, and nowhere else.
package struct RemedyPlace: Sendable {
    /// The network namespace, when it is not the calling thread's own.
    private let namespace: String?
    /// The BPF file system, when it is not where ours usually is.
    private let bpffs: String?

    package init(_ namespace: borrowing NetworkNamespace, bpffs: String) {
        let isOwn = (try? NetworkNamespace.current().inode) == namespace.inode
        self.namespace = isOwn ? nil : namespace.absolutePath
        self.bpffs = bpffs == SocketSteering.defaultBPFFS ? nil : bpffs
    }

    /// A command of ours for an error's sentence: `steer VERB WORDS`, with the options that say where.
    ///
    /// - Parameter blanks: Words at the end that are to be filled in.
    package func command(_ words: [String], blanks: [String] = [], namesProcess: Bool = false) -> String {
        steer(.apply, words, blanks: blanks, namesProcess: namesProcess).description
    }

    /// A command of ours: `steer VERB WORDS`, with the options that say where.
    ///
    /// - Parameters:
    ///   - blanks: Words at the end that are to be filled in.
    ///   - namesProcess: Whether the words name a process, whose network namespace is meant then.
    func steer(
        _ kind: Remedy.Kind, _ words: [String], blanks: [String] = [], namesProcess: Bool = false
    ) -> Remedy {
        let options = namesProcess ? naming([]) : options
        let words = (["steer"] + words).map(Self.quoted) + blanks + options.map(Self.quoted)
        return Remedy(kind: kind, description: words.joined(separator: " "), isComplete: blanks.isEmpty)
    }

    /// What makes a command of ours act there.
    var options: [String] {
        guard let namespace else { return naming([]) }
        let prefix = NetworkNamespace.namedFolder + "/"
        let name = namespace.hasPrefix(prefix) ? String(namespace.dropFirst(prefix.count)) : namespace
        return naming(["--netns", name.contains("/") ? namespace : name])
    }

    private func naming(_ namespace: [String]) -> [String] { namespace + (bpffs.map { ["--bpffs", $0] } ?? []) }

    /// A command that changes the network namespace.
    func network(_ kind: Remedy.Kind, _ words: [String]) -> Remedy {
        machine(kind, (namespace.map { ["nsenter", "--net=\($0)"] } ?? []) + words)
    }

    /// A command that changes the machine, whichever network namespace it is run in.
    func machine(_ kind: Remedy.Kind, _ words: [String]) -> Remedy {
        Remedy(kind: kind, description: words.map(Self.quoted).joined(separator: " "), isComplete: true)
    }

    /// Commands in their order, each only where the one before it succeeded.
    func sequence(_ remedies: [Remedy]) -> Remedy {
        Remedy(
            kind: remedies[0].kind, description: remedies.map(\.description).joined(separator: " && "),
            isComplete: remedies.allSatisfy(\.isComplete))
    }

    /// A word for a shell.
    static func quoted(_ word: String) -> String {
        let isPlain =
            !word.isEmpty
            && word.utf8.allSatisfy { byte in
                (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
                    || "-_./:=,+@%".utf8.contains(byte)
            }
        return isPlain ? word : "'" + word.replacing("'", with: "'\\''") + "'"
    }
}

extension RemedyPlace {
    func routeHere(_ prefix: IPPrefix) -> Remedy {
        let family = prefix.family == .ipv6 ? ["-6"] : []
        return network(.routeHere, ["ip"] + family + ["route", "add", "local", "\(prefix)", "dev", "lo"])
    }

    func sysctl(_ kind: Remedy.Kind, _ settings: [String]) -> Remedy { network(kind, ["sysctl", "-w"] + settings) }
}
