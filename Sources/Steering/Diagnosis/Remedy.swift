/// A shell command that fixes a finding.
///
/// The command enters the network namespace if that is not the caller's own, and names the BPF file system if that is
/// not the default one. A finding whose fix could cut off traffic has no remedy; its message describes what to check
/// instead.
public struct Remedy: Sendable, Hashable, CustomStringConvertible {
    /// The effect of a remedy.
    ///
    /// A test produces a finding of each kind, runs the remedy as printed, and examines again.
    package enum Kind: Sendable, Hashable, CaseIterable {
        case load, upgrade, loadAnew, apply, bind, register, unregister, removeStalePins
        case mountFileSystem, remountWritable, enterMountNamespace
        case routeHere, bindNonlocal, filterLoosely, migrateRequests, reservePorts
    }

    package let kind: Kind
    /// The command, quoted for a shell.
    ///
    /// Words in capitals, such as PID and FILE, have to be filled in.
    public let description: String
    /// Whether the command can be run without filling in words.
    public let isComplete: Bool
}

/// Renders remedies for a network namespace and a BPF file system.
package struct RemedyPlace: Sendable {
    /// The path of the network namespace; nil for the calling thread's.
    private let namespace: String?
    /// The mount point of the BPF file system; nil for the default.
    private let bpffs: String?

    package init(_ namespace: borrowing NetworkNamespace, bpffs: String) {
        let isOwn = (try? NetworkNamespace.current().inode) == namespace.inode
        self.namespace = isOwn ? nil : namespace.lastingPath
        self.bpffs = bpffs == SocketSteering.defaultBPFFS ? nil : bpffs
    }

    /// Returns a `steer` command for the message of an error, with the options for the namespace and the BPF file
    /// system.
    ///
    /// `words` begin with the verb, and `blanks` are words at the end that have to be filled in.
    package func command(_ words: [String], blanks: [String] = [], namesProcess: Bool = false) -> String {
        steer(.apply, words, blanks: blanks, namesProcess: namesProcess).description
    }

    /// Returns a `steer` command with the options for the namespace and the BPF file system.
    ///
    /// `words` begin with the verb, and `blanks` are words at the end that have to be filled in. If `namesProcess` is
    /// true, the words name a process, which determines the network namespace.
    func steer(
        _ kind: Remedy.Kind, _ words: [String], blanks: [String] = [], namesProcess: Bool = false
    ) -> Remedy {
        let options = namesProcess ? naming([]) : options
        let words = (["steer"] + words).map(Self.quoted) + blanks + options.map(Self.quoted)
        return Remedy(kind: kind, description: words.joined(separator: " "), isComplete: blanks.isEmpty)
    }

    /// The options that make `steer` act on the namespace and the BPF file system.
    var options: [String] {
        guard let namespace else { return naming([]) }
        let prefix = NetworkNamespace.namedFolder + "/"
        let name = namespace.hasPrefix(prefix) ? String(namespace.dropFirst(prefix.count)) : namespace
        return naming(["--netns", name.contains("/") ? namespace : name])
    }

    private func naming(_ namespace: [String]) -> [String] { namespace + (bpffs.map { ["--bpffs", $0] } ?? []) }

    /// Returns a command that acts on the network namespace.
    func network(_ kind: Remedy.Kind, _ words: [String]) -> Remedy {
        machine(kind, (namespace.map { ["nsenter", "--net=\($0)"] } ?? []) + words)
    }

    /// Returns a command that acts on the host, whatever network namespace it runs in.
    func machine(_ kind: Remedy.Kind, _ words: [String]) -> Remedy {
        Remedy(kind: kind, description: words.map(Self.quoted).joined(separator: " "), isComplete: true)
    }

    /// Joins commands, so that each runs only if the one before it succeeds.
    func sequence(_ remedies: [Remedy]) -> Remedy {
        Remedy(
            kind: remedies[0].kind, description: remedies.map(\.description).joined(separator: " && "),
            isComplete: remedies.allSatisfy(\.isComplete))
    }

    /// Quotes a word for a shell if needed.
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
