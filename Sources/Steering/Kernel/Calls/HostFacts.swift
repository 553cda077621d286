import CSteering
import Glibc

/// A kernel version, such as 6.18.44.
package struct KernelVersion: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The components of the version.
    package let major, minor, patch: Int

    /// Creates a version from its components.
    ///
    /// - Parameters:
    ///   - major: The major version.
    ///   - minor: The minor version.
    ///   - patch: The patch level.
    package init(_ major: Int, _ minor: Int, _ patch: Int = 0) {
        (self.major, self.minor, self.patch) = (major, minor, patch)
    }

    /// Parses the leading version of a release such as `5.10.0-28-amd64`; returns nil if there is none.
    ///
    /// - Parameter release: The release, as `uname -r` prints it.
    package init?(release: some StringProtocol) {
        let numbers = release.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }.split(separator: ".").map { Int($0) }
        guard numbers.count >= 2, let major = numbers[0], let minor = numbers[1] else { return nil }
        self.init(major, minor, numbers.count > 2 ? numbers[2] ?? 0 : 0)
    }

    /// Compares major, then minor version, then patch level.
    package static func < (left: KernelVersion, right: KernelVersion) -> Bool {
        (left.major, left.minor, left.patch) < (right.major, right.minor, right.patch)
    }

    /// `6.18.44`.
    package var description: String { "\(major).\(minor).\(patch)" }
}

/// Read-only facts about the machine, for diagnosing why steering fails.
package enum HostFacts {
    /// The release of the running kernel, such as `5.10.0-28-amd64`; empty if /proc is not mounted.
    package static var kernelRelease: String {
        ProcFS.text("/proc/sys/kernel/osrelease")?.split(separator: "\n").first.map(String.init) ?? ""
    }

    /// The version of the running kernel; nil if /proc is not mounted.
    package static var kernelVersion: KernelVersion? { KernelVersion(release: kernelRelease) }

    /// The build options that steering needs from the kernel.
    package static let neededKernelOptions = [
        "CONFIG_BPF_SYSCALL", "CONFIG_INET", "CONFIG_NET_NS", "CONFIG_NET_SOCK_MSG", "CONFIG_BPF_STREAM_PARSER",
    ]

    /// Returns the build options of the kernel that are set: `y`, `m` or a value, by option. Nil if
    /// `/boot/config-RELEASE` cannot be read, as in most containers.
    package static func kernelOptions() -> [String: String]? {
        ProcFS.text("/boot/config-\(kernelRelease)", limit: 1 << 20).map { options(in: $0) }
    }

    static func options(in text: String) -> [String: String] {
        var options: [String: String] = [:]
        for line in text.split(separator: "\n") where line.hasPrefix("CONFIG_") {
            guard let equals = line.firstIndex(of: "=") else { continue }
            options[String(line[..<equals])] = String(line[line.index(after: equals)...])
        }
        return options
    }

    /// Returns the value of a sysctl in the calling thread's network namespace; nil if it does not exist.
    ///
    /// - Parameter name: The name, such as `net.ipv4.ip_nonlocal_bind`, with slashes for the dots in an interface's
    ///   name.
    package static func sysctl(_ name: String) -> String? {
        let path = name.map { $0 == "." ? "/" : $0 == "/" ? "." : $0 }
        return ProcFS.text("/proc/sys/" + String(path))?.split(separator: "\n").first.map(String.init)
    }

    /// The names of the interfaces in the calling thread's network namespace.
    package static var interfaces: [String] {
        guard let list = if_nameindex() else { return [] }
        defer { if_freenameindex(list) }
        var names: [String] = []
        var next = list
        while let name = next.pointee.if_name {
            names.append(String(cString: name))
            next += 1
        }
        return names
    }

    /// Returns the reverse-path filter in effect for packets from an interface: 0 off, 1 strict, 2 loose; nil if there
    /// is no such interface. The kernel uses the greater of the interface's own value and that of `all`.
    ///
    /// - Parameter interface: The name of the interface.
    package static func reversePathFilter(_ interface: String) -> Int? {
        let escaped = String(interface.map { $0 == "." ? "/" : $0 })
        guard let own = sysctl("net.ipv4.conf.\(escaped).rp_filter").flatMap({ Int($0) }) else { return nil }
        return max(own, sysctl("net.ipv4.conf.all.rp_filter").flatMap { Int($0) } ?? 0)
    }

    /// The ports from which the kernel chooses for sockets bound to port 0; nil if /proc is not mounted.
    static var localPorts: ClosedRange<UInt16>? {
        let numbers = sysctl("net.ipv4.ip_local_port_range")?.split(whereSeparator: \.isWhitespace)
            .compactMap { UInt16($0) }
        guard let numbers, numbers.count == 2, numbers[0] <= numbers[1] else { return nil }
        return numbers[0]...numbers[1]
    }

    /// Returns the capabilities that registering a socket needs although all descriptors are open: none since Linux 5.19.
    ///
    /// Before 5.19 every bpf() call needs CAP_BPF if `kernel.unprivileged_bpf_disabled` is set, as on Debian. Before 5.14
    /// reading a socket's network namespace needs CAP_NET_ADMIN.
    ///
    /// - Parameters:
    ///   - version: The version of the kernel; nil, unknown, counts as new.
    ///   - disabled: The value of the sysctl; nil, unknown, counts as set.
    package static func capabilitiesToRegister(
        on version: KernelVersion? = kernelVersion, disabled: String? = sysctl("kernel.unprivileged_bpf_disabled")
    ) -> Capabilities {
        guard let version else { return [] }
        var needed: Capabilities = []
        if version < KernelVersion(5, 19), disabled != "0" { needed.insert(.bpf) }
        if version < KernelVersion(5, 14) { needed.insert(.netAdmin) }
        return needed
    }

    /// Returns how many bytes of maps the process may create; nil for no limit. Kernels before 5.11 count maps as
    /// locked memory (`RLIMIT_MEMLOCK`), whose default limit is too low.
    ///
    /// - Parameter version: The version of the kernel.
    package static func mapMemoryLimit(on version: KernelVersion? = kernelVersion) -> UInt64? {
        guard let version, version < KernelVersion(5, 11) else { return nil }
        var limit = rlimit()
        guard getrlimit(CInt(__RLIMIT_MEMLOCK.rawValue), &limit) == 0, limit.rlim_cur != .max else {
            return nil
        }
        return UInt64(limit.rlim_cur)
    }
}

extension FileSystem {
    /// The reason why there is no BPF file system at a path, and the remedy.
    struct Absence {
        /// The continuation of "there is no BPF file system at PATH".
        let reason: String
        /// The commands to run, in order; empty if they could hide other files.
        let commands: [[String]]
        /// Whether the commands mount one; otherwise they enter the mount namespace that has it.
        let mounts: Bool
    }

    /// The command that enters the host's mount namespace, but stays in the network namespace.
    private static let enteringHost = ["nsenter", "--mount=/proc/1/ns/mnt"]

    /// Diagnoses a missing BPF file system.
    ///
    /// - Parameters:
    ///   - path: The path where it is missing.
    ///   - ours: The command of this project to run once it is there.
    static func absence(at path: String, ours: [String]) -> Absence {
        if let session = namedSession {
            let enter = enteringHost + ours
            let isThere = FileSystem(containing: "/proc/1/root\(path)")?.isBPF == true
            return Absence(
                reason:
                    "in this mount namespace, which `ip netns exec` created and which ends with the shell: use the mount namespace of the host, or run outside with --netns \(session)",
                commands: !canEnterHost ? [] : isThere ? [enter] : [enteringHost + mounting(path), enter],
                mounts: !isThere)
        }
        guard isFree(path) else {
            return Absence(
                reason: "but other files, which a mount would hide: give the path of one with --bpffs", commands: [],
                mounts: true)
        }
        let makes = access(path, F_OK) == 0 ? [] : [["mkdir", "-p", path]]
        return Absence(reason: "yet", commands: makes + [mounting(path)], mounts: true)
    }

    private static func mounting(_ path: String) -> [String] { ["mount", "-t", "bpf", "-o", "mode=0700", "bpf", path] }

    /// Whether a mount at a path would hide nothing.
    private static func isFree(_ path: String) -> Bool {
        guard path.hasPrefix("/"), path != "/" else { return false }
        guard let stream = opendir(path) else { return errno == ENOENT }
        defer { closedir(stream) }
        // No entries beyond `.` and `..`.
        return readdir(stream) != nil && readdir(stream) != nil && readdir(stream) == nil
    }

    /// The name of the network namespace in a session of `ip netns exec`, which runs in a mount namespace with a sysfs
    /// of that name at /sys; nil elsewhere.
    private static var namedSession: String? {
        let mounts = ProcFS.text("/proc/thread-self/mountinfo", limit: 1 << 20)?.split(separator: "\n") ?? []
        let last = mounts.last { $0.split(separator: " ").dropFirst(4).first == "/sys" }
        guard let last, let separator = last.firstRange(of: " - sysfs ") else { return nil }
        let name = String(last[separator.upperBound...].prefix { $0 != " " })
        return access("\(NetworkNamespace.namedFolder)/\(name)", F_OK) == 0 ? name : nil
    }

    /// Whether process 1 is visibly in another mount namespace.
    private static var canEnterHost: Bool {
        let opened = open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC)
        guard opened >= 0 else { return false }
        let machine = OwnedDescriptor(owning: opened)
        var own = stat(), other = stat()
        return stat("/proc/thread-self/ns/mnt", &own) == 0 && fstat(machine.rawValue, &other) == 0
            && own.st_ino != other.st_ino
    }
}

/// The file system that contains a path.
package struct FileSystem: Sendable, Hashable {
    /// Whether it is bpffs.
    package let isBPF: Bool
    /// Whether it is mounted read-only.
    package let isReadOnly: Bool

    /// Inspects the file system of a path; returns nil if the path does not exist or cannot be reached.
    ///
    /// - Parameter path: A path in the file system.
    package init?(containing path: String) {
        var status = statfs()
        guard statfs(path, &status) == 0 else { return nil }
        isBPF = UInt32(truncatingIfNeeded: status.f_type) == 0xCAFE_4A11  // BPF_FS_MAGIC
        isReadOnly = status.f_flags & 1 != 0  // ST_RDONLY
    }
}
