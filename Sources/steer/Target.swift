import ArgumentParser
import Steering

/// The options that select a steering.
struct Target: ParsableArguments {
    @Option(
        help: ArgumentHelp("The network namespace: a name from `ip netns`, a path, or a pid.", valueName: "name"),
        completion: .namespace)
    var netns: String?

    @Option(help: ArgumentHelp("The network namespace of a process.", valueName: "pid"))
    var pid: Int32?

    @Option(
        help: ArgumentHelp("Where the BPF file system is mounted.", valueName: "path"), completion: .directory)
    var bpffs = SocketSteering.defaultBPFFS

    @Flag(help: "Print JSON, for machines.")
    var json = false

    func validate() throws {
        if netns != nil, pid != nil {
            throw misuse("--netns and --pid both name a network namespace: give one of them")
        }
        if let pid, pid <= 0 { throw misuse("--pid \(pid) is not a process: give a number greater than 0") }
    }

    /// Returns the selected namespace; without an option, the caller's own.
    func namespace() throws(SteeringError) -> NetworkNamespace {
        if let netns { return try NetworkNamespace(named: netns) }
        if let pid { return try NetworkNamespace(path: "/proc/\(pid)/ns/net") }
        return try NetworkNamespace.current()
    }

    /// Returns the namespace and BPF file system to which suggested commands apply.
    func place() throws(SteeringError) -> RemedyPlace { RemedyPlace(try namespace(), bpffs: bpffs) }

    func open(for access: SocketSteering.Access) throws(SteeringError) -> SocketSteering {
        try SocketSteering.open(try namespace(), bpffs: bpffs, for: access)
    }
}
