import CSteering
import Glibc

/// A set of Linux capabilities. See capabilities(7).
public struct Capabilities: OptionSet, Sendable, Hashable, CustomStringConvertible {
    /// The capability bits, in the kernel's order.
    public let rawValue: UInt64
    /// Creates a set from the kernel's bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// CAP_DAC_READ_SEARCH: list the descriptors of other users' processes.
    public static let dacReadSearch = Capabilities(rawValue: 1 << 2)
    /// CAP_SETGID: change groups.
    package static let setGroups = Capabilities(rawValue: 1 << 6)
    /// CAP_SETUID: change the user.
    package static let setUser = Capabilities(rawValue: 1 << 7)
    /// CAP_NET_ADMIN: create socket maps, attach programs.
    public static let netAdmin = Capabilities(rawValue: 1 << 12)
    /// CAP_SYS_PTRACE: duplicate the sockets of other users' processes, and see who owns them.
    public static let sysPtrace = Capabilities(rawValue: 1 << 19)
    /// CAP_SYS_ADMIN: enter network namespaces, list BPF objects. Includes CAP_BPF and CAP_PERFMON.
    public static let sysAdmin = Capabilities(rawValue: 1 << 21)
    /// CAP_PERFMON: needed to load programs before Linux 5.17; later kernels without it add mitigations against
    /// speculation.
    public static let perfmon = Capabilities(rawValue: 1 << 38)
    /// CAP_BPF: create maps, load programs.
    public static let bpf = Capabilities(rawValue: 1 << 39)

    /// Returns the effective capabilities of the calling thread; nil if /proc is not mounted.
    public static func effective() -> Capabilities? { read("CapEff", of: "thread-self") }

    /// Drops all capabilities of the calling thread except the given ones, irrevocably. Threads that it starts later
    /// and programs that it executes inherit the restriction, so call it before starting threads.
    ///
    /// An attached steering keeps working, and its policy and sockets can still be changed. Only tables that outgrow
    /// the smallest program need CAP_BPF.
    ///
    /// - Parameter kept: The capabilities to keep, if the thread has them.
    /// - Throws: `systemCall`. Having none in the first place is no error.
    public static func dropAll(except kept: Capabilities = []) throws(SteeringError) {
        try call("capset", csteering_drop_capabilities(kept.rawValue))
    }

    /// Returns the permitted capabilities of a process; nil if /proc does not show them.
    static func permitted(to pid: pid_t) -> Capabilities? { read("CapPrm", of: "\(pid)") }

    private static func read(_ set: String, of process: String) -> Capabilities? {
        ProcFS.status(set, of: process).first.flatMap { UInt64($0, radix: 16) }.map(Capabilities.init)
    }

    /// The names of the capabilities that steering uses; others are left out.
    public var description: String {
        let names: [(Capabilities, String)] = [
            (.bpf, "CAP_BPF"), (.netAdmin, "CAP_NET_ADMIN"), (.sysAdmin, "CAP_SYS_ADMIN"),
            (.perfmon, "CAP_PERFMON"), (.sysPtrace, "CAP_SYS_PTRACE"), (.dacReadSearch, "CAP_DAC_READ_SEARCH"),
        ]
        return names.filter { contains($0.0) }.map(\.1).joined(separator: ", ")
    }
}
