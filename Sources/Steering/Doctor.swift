/// Something that keeps steering from working, or may surprise, and what mends it.
public struct Finding: Sendable, Hashable {
    /// How bad it is.
    public enum Severity: Sendable, Hashable, Comparable, CaseIterable {
        /// Good to know.
        case note
        /// Some traffic is not steered, or not as it seems.
        case warning
        /// Nothing can be steered.
        case broken
    }

    /// How bad it is.
    public let severity: Severity
    /// What was looked at: one word, stable.
    public let subject: String
    /// What was found, and why it matters.
    public let message: String
    /// The command that mends it; nil where there is nothing to mend.
    public let remedy: String?

    init(_ severity: Severity, _ subject: String, _ message: String, remedy: String? = nil) {
        self.severity = severity
        self.subject = subject
        self.message = message
        self.remedy = remedy
    }
}

/// Looks for everything that keeps steering from working: the kernel, privileges, the BPF file system,
/// other programs, dead state, labels without sockets, addresses without routes.
public struct Doctor: ~Copyable, Sendable {
    let namespace: NetworkNamespace
    private let bpffs: String

    /// Examines a network namespace, and what is loaded there.
    public init(_ namespace: consuming NetworkNamespace, bpffs: String = SocketSteering.defaultBPFFS) {
        self.namespace = namespace
        self.bpffs = bpffs
    }

    /// Everything that was found, the worst first. Nothing is changed; what may not be looked at is left out.
    ///
    /// - Parameters:
    ///   - wanted: A policy that should be in force, such as that of a file. Without it, what is in force is
    ///     examined.
    ///   - answered: Pools of addresses that names are answered with, by what they are called: they must be steered,
    ///     and routed here.
    /// - Throws: `systemCall` where the kernel cannot be asked.
    public func examine(
        wanted: Policy? = nil, answered: [String: PrefixPool] = [:]
    ) throws(SteeringError) -> [Finding] {
        var findings = Self.kernel() + Self.privileges() + fileSystem() + (try stalePins())
        let steering: SocketSteering?
        do throws(SteeringError) {
            steering = try SocketSteering.open(namespace, bpffs: bpffs, for: .reading)
        } catch {
            findings += Self.unopened(error)
            steering = nil
        }
        findings += programs(steering)
        let inForce = try steering?.policy
        if let steering, let inForce {
            findings += try sockets(of: steering, inForce) + interfaces(of: steering, inForce)
        }
        if let wanted, let inForce, wanted != inForce {
            findings.append(
                Finding(
                    .warning, "policy", "the policy in force is not the one that was given",
                    remedy: "steer apply FILE"))
        }
        if let inForce { findings += names(answered, inForce, wanted: wanted ?? inForce) }
        if let policy = wanted ?? inForce { findings += try routes(policy, answered) }
        return findings.sorted { $0.severity > $1.severity }
    }

    /// Removes what is pinned for network namespaces that have ended, and what killed commands left.
    ///
    /// - Returns: The inode numbers of those namespaces.
    /// - Throws: `busy`, `storageUnavailable`.
    public func removeStalePins() throws(SteeringError) -> [UInt64] {
        var removed: [UInt64] = []
        for pins in try Pins.namespaces(bpffs: bpffs) where try pins.isStale {
            try pins.removeIfStale()
            removed.append(pins.inode)
        }
        return removed
    }

    // MARK: - The host

    private static func kernel() -> [Finding] {
        guard let version = HostFacts.kernelVersion else { return [] }
        var findings: [Finding] = []
        if version < KernelVersion(5, 9) {
            findings.append(
                Finding(.broken, "kernel", "Linux \(version) has no sk_lookup", remedy: "boot Linux 5.9 or newer"))
        } else if version < KernelVersion(5, 16) {
            findings.append(
                Finding(
                    .note, "kernel", "Linux \(version) cannot exchange directories, which `steer upgrade` needs (5.16)")
            )
        }
        if let options = HostFacts.kernelOptions() {
            // Either of the last two will do: one became the other.
            let needed = HostFacts.neededKernelOptions
            let missing = needed.prefix(3).filter { options[$0] == nil }
            let hasSocketMaps = needed.dropFirst(3).contains { options[$0] != nil }
            if !missing.isEmpty || !hasSocketMaps {
                findings.append(
                    Finding(
                        .broken, "kernel",
                        "the kernel was built without \((missing + (hasSocketMaps ? [] : [needed[3]])).joined(separator: ", "))",
                        remedy: "boot a kernel that has it"))
            }
        }
        if let limit = HostFacts.mapMemoryLimit(), limit < 16 << 20 {
            findings.append(
                Finding(
                    .broken, "memlock",
                    "this kernel counts maps as locked memory, of which \(limit) bytes are allowed and some 16 MiB needed",
                    remedy: "ulimit -l unlimited"))
        }
        return findings
    }

    private static func privileges() -> [Finding] {
        guard let own = Capabilities.effective(), !own.contains(.sysAdmin) else { return [] }
        var findings: [Finding] = []
        let missing = Capabilities([.bpf, .netAdmin]).subtracting(own)
        if !missing.isEmpty {
            findings.append(
                Finding(
                    .warning, "privileges", "this process lacks \(missing), without which it can read but not change",
                    remedy: "sudo steer doctor"))
        } else if !own.contains(.perfmon) {
            let isNeeded = HostFacts.kernelVersion.map { $0 < KernelVersion(5, 17) } ?? false
            findings.append(
                isNeeded
                    ? Finding(
                        .warning, "privileges",
                        "this process lacks CAP_PERFMON, without which a kernel before 5.17 loads no program",
                        remedy: "sudo steer doctor")
                    : Finding(
                        .note, "privileges",
                        "without CAP_PERFMON the kernel adds mitigations to programs that this process loads, which about double their cost"
                    ))
        }
        return findings
    }

    private func fileSystem() -> [Finding] {
        guard let fileSystem = FileSystem(containing: bpffs), fileSystem.isBPF else {
            return [
                Finding(
                    .broken, "bpffs", "there is no BPF file system at \(bpffs)", remedy: "mount -t bpf bpf \(bpffs)")
            ]
        }
        guard fileSystem.isReadOnly else { return [] }
        return [
            Finding(.broken, "bpffs", "\(bpffs) is mounted read-only", remedy: "mount -o remount,rw \(bpffs)")
        ]
    }

    private func stalePins() throws(SteeringError) -> [Finding] {
        guard let all = try? Pins.namespaces(bpffs: bpffs) else { return [] }
        var stale: [UInt64] = []
        for pins in all where try pins.isStale { stale.append(pins.inode) }
        guard !stale.isEmpty else { return [] }
        let numbers = stale.map(String.init).joined(separator: ", ")
        return [
            Finding(
                .warning, "pins",
                "\(bpffs)/steering has what is left of network namespaces that have ended, or of killed commands: \(numbers)",
                remedy: "steer doctor --fix")
        ]
    }

    // MARK: - Routes

    private func routes(_ policy: Policy, _ answered: [String: PrefixPool]) throws(SteeringError) -> [Finding] {
        // A binding of nearly everything means whatever gets here.
        let prefixes = Set(policy.bindings.lazy.filter { $0.outcome != .pass }.map(\.prefix)).filter {
            $0.length >= ($0.family == .ipv4 ? 8 : 16)
        }
        let pool = PrefixPool(prefixes)
        // Of an address that is bound, too, the binding is said.
        let answers = answered.values.reduce(PrefixPool()) { $0.union($1) }.subtracting(pool)
        struct Environment: Sendable {
            var undelivered, unreachable: [IPPrefix]
            var strict: [String]
            var bindsNonlocal: Bool
        }
        let looked = try? namespace.run { () throws(SteeringError) in
            Environment(
                undelivered: try LocalRoutes().undelivered(in: pool),
                unreachable: try LocalRoutes().undelivered(in: answers),
                strict: HostFacts.interfaces.filter { $0 != "lo" && HostFacts.reversePathFilter($0) == 1 },
                bindsNonlocal: HostFacts.sysctl("net.ipv4.ip_nonlocal_bind") == "1")
        }
        guard let looked else { return [] }
        var findings = unrouted(looked.undelivered, "bound") + unrouted(looked.unreachable, "answered for names")
        if !looked.undelivered.isEmpty, !looked.bindsNonlocal {
            findings.append(
                Finding(
                    .note, "nonlocal_bind",
                    "a server that binds to an address that is not routed here, to answer UDP from it, is refused too",
                    remedy: "sysctl -w net.ipv4.ip_nonlocal_bind=1 net.ipv6.ip_nonlocal_bind=1"))
        }
        if prefixes.contains(where: { $0.family == .ipv4 }), !looked.strict.isEmpty {
            findings.append(
                Finding(
                    .note, "rp_filter",
                    "\(looked.strict.joined(separator: ", ")) drops packets whose answer would leave by another interface, before steering sees them",
                    remedy:
                        "sysctl -w \(looked.strict.map { "net.ipv4.conf.\($0.replacing(".", with: "/")).rp_filter=2" }.joined(separator: " "))"
                ))
        }
        return findings
    }

    private func unrouted(_ prefixes: [IPPrefix], _ what: String) -> [Finding] {
        var findings = prefixes.prefix(10).map { prefix in
            Finding(
                .warning, "routes", "\(prefix) is \(what), but not routed to this host: its packets do not get here",
                remedy: "ip \(prefix.family == .ipv6 ? "-6 " : "")route add local \(prefix) dev lo")
        }
        if prefixes.count > 10 {
            findings.append(
                Finding(.warning, "routes", "so are \(prefixes.count - 10) other prefixes that are \(what)"))
        }
        return findings
    }
}
