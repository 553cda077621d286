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
    /// The command that mends it; nil where none can without harm, or there is nothing to mend.
    public let remedy: Remedy?

    init(_ severity: Severity, _ subject: String, _ message: String, remedy: Remedy? = nil) {
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
    let bpffs: String
    let place: RemedyPlace

    /// Examines a network namespace, and what is loaded there.
    public init(_ namespace: consuming NetworkNamespace, bpffs: String = SocketSteering.defaultBPFFS) {
        place = RemedyPlace(namespace, bpffs: bpffs)
        self.namespace = namespace
        self.bpffs = bpffs
    }

    /// Everything that was found, the worst first. Nothing is changed; what may not be looked at is left out.
    ///
    /// - Parameters:
    ///   - wanted: A policy that should be in force, such as that of a file. Without it, what is in force is
    ///     examined.
    ///   - file: The file of that policy, for the remedies that apply it.
    ///   - answered: Pools of addresses that names are answered with, by what they are called: they must be steered,
    ///     and routed here.
    /// - Throws: `systemCall` where the kernel cannot be asked.
    public func examine(
        wanted: Policy? = nil, of file: String? = nil, answered: [String: PrefixPool] = [:]
    ) throws(SteeringError) -> [Finding] {
        var findings = Self.kernel() + Self.privileges() + fileSystem() + (try stalePins())
        let steering: SocketSteering?
        var isUnreadable = false
        do throws(SteeringError) {
            steering = try SocketSteering.open(namespace, bpffs: bpffs, for: .reading)
        } catch {
            findings += unopened(error)
            steering = nil
            isUnreadable = error.code != .notLoaded
        }
        findings += programs(steering, isUnreadable: isUnreadable)
        let inForce = try steering?.policy
        if let steering, let inForce {
            findings += try sockets(of: steering, inForce) + interfaces(of: steering, inForce)
        }
        if let wanted, let inForce, wanted != inForce {
            findings.append(
                Finding(
                    .warning, "policy", "the policy in force is not the one that was given",
                    remedy: applying(file)))
        }
        if let inForce { findings += names(answered, inForce, wanted: wanted ?? inForce, file) }
        if let policy = wanted ?? inForce {
            findings += remarks(on: policy, isInForce: policy == inForce) + (try routes(policy, answered))
        }
        return findings.sorted { $0.severity > $1.severity }
    }

    /// Puts a policy file in force.
    func applying(_ file: String?) -> Remedy {
        guard let file, file != "-" else { return place.steer(.apply, ["apply"], blanks: ["FILE"]) }
        return place.steer(.apply, ["apply", file])
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
}

extension Doctor {
    /// At most ten findings of a list, and how many more there are.
    static func shortened<Element>(
        _ list: [Element], _ subject: String, _ finding: (Element) -> Finding
    ) -> [Finding] {
        var findings = list.prefix(10).map(finding)
        if let last = findings.last, list.count > 10 {
            findings.append(
                Finding(last.severity, subject, "the same is so of \(list.count - 10) more, of \(list.count) in all"))
        }
        return findings
    }
}
