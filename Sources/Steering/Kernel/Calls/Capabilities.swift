import CSteering
import Glibc

/// Capabilities that matter here. See capabilities(7).
public struct Capabilities: OptionSet, Sendable, Hashable, CustomStringConvertible {
    /// The bits, as the kernel numbers them.
    public let rawValue: UInt64
    /// Creates a set from the kernel's bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// CAP_DAC_READ_SEARCH: list other users' descriptors.
    public static let dacReadSearch = Capabilities(rawValue: 1 << 2)
    /// CAP_SETGID: have other groups.
    package static let setGroups = Capabilities(rawValue: 1 << 6)
    /// CAP_SETUID: be another user.
    package static let setUser = Capabilities(rawValue: 1 << 7)
    /// CAP_NET_ADMIN: create socket maps, attach programs.
    public static let netAdmin = Capabilities(rawValue: 1 << 12)
    /// CAP_SYS_PTRACE: take sockets of other users' processes, see their owners.
    public static let sysPtrace = Capabilities(rawValue: 1 << 19)
    /// CAP_SYS_ADMIN: enter network namespaces, list BPF objects; contains CAP_BPF and CAP_PERFMON.
    public static let sysAdmin = Capabilities(rawValue: 1 << 21)
    /// CAP_PERFMON.
    public static let perfmon = Capabilities(rawValue: 1 << 38)
    /// CAP_BPF: create maps, load programs.
    public static let bpf = Capabilities(rawValue: 1 << 39)

    /// What the calling thread may use now; nil where /proc is not mounted.
    public static func effective() -> Capabilities? { read("CapEff", of: "thread-self") }

    /// Gives up every capability of the calling thread but these, for good. Threads that it starts later, and programs
    /// that it becomes, have no others either: call it before there are other threads.
    ///
    /// A steering that is attached goes on, and its policy and sockets can be changed; only tables that outgrow the
    /// smallest program need CAP_BPF.
    ///
    /// - Parameter kept: What stays, of those that the thread has; `[]` for none.
    /// - Throws: `systemCall`. A process that had none is no error.
    public static func keep(_ kept: Capabilities) throws(SteeringError) {
        try call("capset", csteering_limit_capabilities(kept.rawValue))
    }

    /// What a process may make effective; nil where /proc does not show it.
    static func permitted(to pid: pid_t) -> Capabilities? { read("CapPrm", of: "\(pid)") }

    private static func read(_ set: String, of process: String) -> Capabilities? {
        ProcFS.status(set, of: process).first.flatMap { UInt64($0, radix: 16) }.map(Capabilities.init)
    }

    /// The names of those that are known here.
    public var description: String {
        let names: [(Capabilities, String)] = [
            (.bpf, "CAP_BPF"), (.netAdmin, "CAP_NET_ADMIN"), (.sysAdmin, "CAP_SYS_ADMIN"),
            (.perfmon, "CAP_PERFMON"), (.sysPtrace, "CAP_SYS_PTRACE"), (.dacReadSearch, "CAP_DAC_READ_SEARCH"),
        ]
        return names.filter { contains($0.0) }.map(\.1).joined(separator: ", ")
    }
}
