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
    private let namespace: NetworkNamespace
    private let bpffs: String

    /// Examines a network namespace, and what is loaded there.
    public init(_ namespace: consuming NetworkNamespace, bpffs: String = SocketSteering.defaultBPFFS) {
        self.namespace = namespace
        self.bpffs = bpffs
    }

    /// Everything that was found, the worst first. Nothing is changed; what may not be looked at is left out.
    ///
    /// - Parameter wanted: A policy that should be in force, such as that of a file. Without it, what is in
    ///   force is examined.
    /// - Throws: `systemCall` where the kernel cannot be asked.
    public func examine(wanted: Policy? = nil) throws(SteeringError) -> [Finding] {
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
        if let policy = wanted ?? inForce { findings += try routes(policy) }
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
            findings.append(
                Finding(
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

    // MARK: - The steering

    private static func unopened(_ error: SteeringError) -> [Finding] {
        switch error.code {
        case .notLoaded:
            [Finding(.warning, "loaded", "no steering is loaded in this network namespace", remedy: "steer load")]
        case .olderLayout: [Finding(.warning, "loaded", error.message, remedy: "steer upgrade")]
        case .damagedState: [Finding(.broken, "loaded", error.message, remedy: "steer unload && steer load")]
        // What is wrong with the file system is a finding already.
        case .storageUnavailable where error.cause == nil: []
        default: [Finding(.broken, "loaded", error.message)]
        }
    }

    private func programs(_ steering: SocketSteering?) -> [Finding] {
        guard let programs = try? namespace.attachedPrograms() else { return [] }
        let own = steering?.programID
        let place = programs.firstIndex { $0.programID == own }
        return programs.enumerated().filter { $0.element.programID != own }.map { index, program in
            let name = "sk_lookup program \(program.programID)" + (program.name.map { " (\($0))" } ?? "")
            guard let place, index < place else {
                return Finding(
                    place == nil ? .note : .warning, "programs",
                    place == nil
                        ? "\(name) is attached to this network namespace"
                        : "\(name) was attached after the steering, so it decides where both select a socket",
                    remedy: program.linkID.map { "bpftool link detach id \($0)" })
            }
            return Finding(
                .note, "programs", "\(name) was attached before the steering, which decides where both select a socket")
        }
    }

    private func sockets(of steering: SocketSteering, _ policy: Policy) throws(SteeringError) -> [Finding] {
        let registered = try steering.sockets.list()
        let taken = Set(registered.map(\.destination))
        var findings: [Finding] = policy.destinations.subtracting(taken).sorted().map { destination in
            let outcome = policy[destination.label].withoutSocket
            return Finding(
                .warning, "sockets",
                "\(destination) has bindings but no socket: its packets are \(outcome == .refuse ? "refused" : "left to the ordinary lookup")",
                remedy: "steer register \(destination.label) --pid PID \(destination.transport) ADDRESS:PORT")
        }
        guard let known = try? namespace.run({ () throws(SteeringError) in try SocketDiagnostics().sockets() }) else {
            return findings
        }
        let owners = try SocketOwners(of: registered.compactMap { known[$0.cookie]?.inode })
        for socket in registered {
            guard let inode = known[socket.cookie]?.inode else {
                findings.append(
                    Finding(
                        .warning, "sockets",
                        "the socket \(socket.cookie) of \(socket.destination) receives nothing any more: it no longer listens, or is connected",
                        remedy: "steer unregister \(socket.destination.label) --cookie \(socket.cookie)"))
                continue
            }
            if owners[inode].isEmpty, owners.isComplete {
                findings.append(
                    Finding(
                        .warning, "sockets",
                        "no process holds the socket \(socket.cookie) of \(socket.destination) that could accept from it",
                        remedy: "steer unregister \(socket.destination.label) --cookie \(socket.cookie)"))
            }
        }
        return findings
    }

    /// A name means the interface that had it when the policy was applied; the tables have its number.
    private func interfaces(of steering: SocketSteering, _ policy: Policy) throws(SteeringError) -> [Finding] {
        let names = policy.interfaces
        let bound = try steering.reading { $0.interfaceIndices }
        guard let now = try? InterfaceIndices(of: namespace).existing(names) else { return [] }
        return names.compactMap { name in
            guard let index = now[name] else {
                return Finding(
                    .warning, "interfaces",
                    "bindings are on the interface \(name), which does not exist any more: they match nothing, and no policy that names it can be applied",
                    remedy: "steer apply FILE")
            }
            if bound[name] == nil || bound[name] == index { return nil }
            return Finding(
                .warning, "interfaces",
                "bindings are on the interface \(name), which is another one than when they were applied: they do not match what arrives there",
                remedy: "steer upgrade")
        }
    }

    // MARK: - Routes

    private func routes(_ policy: Policy) throws(SteeringError) -> [Finding] {
        // A binding of nearly everything means whatever gets here.
        let prefixes = Set(policy.bindings.lazy.filter { $0.outcome != .pass }.map(\.prefix)).filter {
            $0.length >= ($0.family == .ipv4 ? 8 : 16)
        }
        let pool = PrefixPool(prefixes)
        struct Environment: Sendable {
            var undelivered: [IPPrefix]
            var strict: [String]
            var bindsNonlocal: Bool
        }
        let looked = try? namespace.run { () throws(SteeringError) in
            Environment(
                undelivered: try LocalRoutes().undelivered(in: pool),
                strict: HostFacts.interfaces.filter { $0 != "lo" && HostFacts.reversePathFilter($0) == 1 },
                bindsNonlocal: HostFacts.sysctl("net.ipv4.ip_nonlocal_bind") == "1")
        }
        guard let looked else { return [] }
        var findings = looked.undelivered.prefix(10).map { prefix in
            Finding(
                .warning, "routes", "\(prefix) is bound, but not routed to this host: its packets do not get here",
                remedy: "ip \(prefix.family == .ipv6 ? "-6 " : "")route add local \(prefix) dev lo")
        }
        if looked.undelivered.count > 10 {
            findings.append(
                Finding(.warning, "routes", "so are \(looked.undelivered.count - 10) other prefixes that are bound"))
        }
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
}

extension Policy {
    /// What packets of its bindings can need a socket for.
    fileprivate var destinations: Set<Destination> {
        var destinations: Set<Destination> = []
        for binding in bindings {
            guard case .label(let label) = binding.outcome else { continue }
            for transport in TransportProtocol.allCases where binding.protocols.contains(transport) {
                destinations.insert(Destination(label, binding.prefix.family, transport))
            }
        }
        return destinations
    }
}
