import CSteering
import Glibc

/// A kernel's version, such as 6.18.44.
public struct KernelVersion: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The three numbers.
    public let major, minor, patch: Int

    /// Makes a version of three numbers.
    public init(_ major: Int, _ minor: Int, _ patch: Int = 0) {
        (self.major, self.minor, self.patch) = (major, minor, patch)
    }

    /// Reads what a release, such as `5.10.0-28-amd64`, begins with; nil where that is no version.
    public init?(release: some StringProtocol) {
        let numbers = release.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }.split(separator: ".").map { Int($0) }
        guard numbers.count >= 2, let major = numbers[0], let minor = numbers[1] else { return nil }
        self.init(major, minor, numbers.count > 2 ? numbers[2] ?? 0 : 0)
    }

    /// Orders versions number by number.
    public static func < (left: KernelVersion, right: KernelVersion) -> Bool {
        (left.major, left.minor, left.patch) < (right.major, right.minor, right.patch)
    }

    /// `6.18.44`.
    public var description: String { "\(major).\(minor).\(patch)" }
}

/// What can be read of the machine without changing it, for who wants to know why steering fails.
public enum HostFacts {
    /// The running kernel's release, such as `5.10.0-28-amd64`.
    public static var kernelRelease: String {
        ProcFS.text("/proc/sys/kernel/osrelease")?.split(separator: "\n").first.map(String.init) ?? ""
    }

    /// The running kernel's version; nil where /proc is not mounted.
    public static var kernelVersion: KernelVersion? { KernelVersion(release: kernelRelease) }

    /// The options that a kernel must have been built with to steer.
    public static let neededKernelOptions = [
        "CONFIG_BPF_SYSCALL", "CONFIG_INET", "CONFIG_NET_NS", "CONFIG_NET_SOCK_MSG", "CONFIG_BPF_STREAM_PARSER",
    ]

    /// What the kernel was built with: `y`, `m` or a value by option, those that are set; nil where
    /// `/boot/config-RELEASE` cannot be read, as in most containers.
    public static func kernelOptions() -> [String: String]? {
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

    /// A sysctl's value, such as `net.ipv4.ip_nonlocal_bind`, in the calling thread's network namespace;
    /// nil where there is none. The dots of an interface's name are written as slashes.
    public static func sysctl(_ name: String) -> String? {
        let path = name.map { $0 == "." ? "/" : $0 == "/" ? "." : $0 }
        return ProcFS.text("/proc/sys/" + String(path))?.split(separator: "\n").first.map(String.init)
    }

    /// The names of the interfaces of the calling thread's network namespace.
    public static var interfaces: [String] {
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

    /// The reverse-path filter that holds for packets from an interface: the stricter of its own and that
    /// of all (0 none, 1 strict, 2 loose; the greater number holds); nil where there is no such interface.
    public static func reversePathFilter(_ interface: String) -> Int? {
        let escaped = String(interface.map { $0 == "." ? "/" : $0 })
        guard let own = sysctl("net.ipv4.conf.\(escaped).rp_filter").flatMap({ Int($0) }) else { return nil }
        return max(own, sysctl("net.ipv4.conf.all.rp_filter").flatMap { Int($0) } ?? 0)
    }

    /// The ports that the kernel chooses from for sockets that are not bound to one; nil where /proc is not mounted.
    static var localPorts: ClosedRange<UInt16>? {
        let numbers = sysctl("net.ipv4.ip_local_port_range")?.split(whereSeparator: \.isWhitespace)
            .compactMap { UInt16($0) }
        guard let numbers, numbers.count == 2, numbers[0] <= numbers[1] else { return nil }
        return numbers[0]...numbers[1]
    }

    /// Whether every bpf() call takes CAP_BPF, those on descriptors at hand too: before Linux 5.19 where
    /// `kernel.unprivileged_bpf_disabled` is set, as Debian does.
    ///
    /// - Parameters:
    ///   - version: The kernel's; where it is not known, no.
    ///   - disabled: The sysctl's value; nil where /proc does not have it.
    package static func everyCallTakesBPF(
        on version: KernelVersion? = kernelVersion, disabled: String? = sysctl("kernel.unprivileged_bpf_disabled")
    ) -> Bool {
        guard let version, version < KernelVersion(5, 19) else { return false }
        return disabled != "0"
    }

    /// How many bytes of maps the process may create: kernels before 5.11 count them as locked memory
    /// (`RLIMIT_MEMLOCK`), and their default is too little. Nil for no limit.
    public static func mapMemoryLimit(on version: KernelVersion? = kernelVersion) -> UInt64? {
        guard let version, version < KernelVersion(5, 11) else { return nil }
        var limit = rlimit()
        guard getrlimit(CInt(__RLIMIT_MEMLOCK.rawValue), &limit) == 0, limit.rlim_cur != .max else {
            return nil
        }
        return UInt64(limit.rlim_cur)
    }
}

extension FileSystem {
    /// Why there is no BPF file system at a path, and what mends it.
    struct Absence {
        /// Follows "there is no BPF file system at PATH".
        let reason: String
        /// Commands, in their order; none where they could hide other files.
        let commands: [[String]]
        /// Whether the commands mount it; otherwise they enter the mount namespace that has it.
        let mounts: Bool
    }

    /// The command that enters the machine's own mount namespace, and stays in the network namespace.
    private static let enteringHost = ["nsenter", "--mount=/proc/1/ns/mnt"]

    /// - Parameters:
    ///   - path: Where no BPF file system is.
    ///   - ours: A command of ours that was to use it.
    static func absence(at path: String, ours: [String]) -> Absence {
        if let session = namedSession {
            let enter = enteringHost + ours
            let isThere = FileSystem(containing: "/proc/1/root\(path)")?.isBPF == true
            return Absence(
                reason:
                    "in this mount namespace, which `ip netns exec` made and which ends with the shell: use that of the machine, or give --netns \(session) outside",
                commands: !canEnterHost ? [] : isThere ? [enter] : [enteringHost + mounting(path), enter],
                mounts: !isThere)
        }
        guard isFree(path) else {
            return Absence(
                reason: "but other files, which one would hide: give its path with --bpffs", commands: [], mounts: true)
        }
        let makes = access(path, F_OK) == 0 ? [] : [["mkdir", "-p", path]]
        return Absence(reason: "yet", commands: makes + [mounting(path)], mounts: true)
    }

    private static func mounting(_ path: String) -> [String] { ["mount", "-t", "bpf", "-o", "mode=0700", "bpf", path] }

    /// Whether mounting something at a path hides nothing.
    private static func isFree(_ path: String) -> Bool {
        guard path.hasPrefix("/"), path != "/" else { return false }
        guard let stream = opendir(path) else { return errno == ENOENT }
        defer { closedir(stream) }
        // More than `.` and `..`.
        return readdir(stream) != nil && readdir(stream) != nil && readdir(stream) == nil
    }

    /// The name of the network namespace, where this is what `ip netns exec` starts: in a mount namespace with a /sys of
    /// its own, which bears that name.
    private static var namedSession: String? {
        let mounts = ProcFS.text("/proc/thread-self/mountinfo", limit: 1 << 20)?.split(separator: "\n") ?? []
        let last = mounts.last { $0.split(separator: " ").dropFirst(4).first == "/sys" }
        guard let last, let separator = last.firstRange(of: " - sysfs ") else { return nil }
        let name = String(last[separator.upperBound...].prefix { $0 != " " })
        return access("\(NetworkNamespace.namedFolder)/\(name)", F_OK) == 0 ? name : nil
    }

    /// Whether process 1 is in another mount namespace, and shows it.
    private static var canEnterHost: Bool {
        let opened = open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC)
        guard opened >= 0 else { return false }
        let machine = OwnedDescriptor(owning: opened)
        var own = stat(), other = stat()
        return stat("/proc/thread-self/ns/mnt", &own) == 0 && fstat(machine.rawValue, &other) == 0
            && own.st_ino != other.st_ino
    }
}

/// The file system that a path lies in.
public struct FileSystem: Sendable, Hashable {
    /// Whether it is bpffs, which can hold BPF objects.
    public let isBPF: Bool
    /// Whether it is mounted read-only.
    public let isReadOnly: Bool

    /// Looks at a path; nil where it does not exist or may not be reached.
    public init?(containing path: String) {
        var status = statfs()
        guard statfs(path, &status) == 0 else { return nil }
        isBPF = UInt32(truncatingIfNeeded: status.f_type) == 0xCAFE_4A11  // BPF_FS_MAGIC
        isReadOnly = status.f_flags & 1 != 0  // ST_RDONLY
    }
}
