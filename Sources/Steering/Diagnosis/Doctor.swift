/// A problem that keeps steering from working, or something unexpected, with its remedy.
public struct Finding: Sendable, Hashable {
    /// The severity of a finding.
    public enum Severity: Sendable, Hashable, Comparable, CaseIterable {
        /// Information only.
        case note
        /// Some traffic is not steered, or not as expected.
        case warning
        /// Nothing can be steered.
        case broken
    }

    /// The severity.
    public let severity: Severity
    /// The subject in one word; stable.
    public let subject: String
    /// The problem and its consequence.
    public let message: String
    /// The command that fixes the problem; nil if there is none, or none that is safe.
    public let remedy: Remedy?

    init(_ severity: Severity, _ subject: String, _ message: String, remedy: Remedy? = nil) {
        self.severity = severity
        self.subject = subject
        self.message = message
        self.remedy = remedy
    }
}

/// Checks everything that can keep steering from working.
///
/// This includes the kernel, privileges, the BPF file system, other programs, stale state, labels without sockets, and
/// addresses without routes.
public struct Doctor: ~Copyable, Sendable {
    let namespace: NetworkNamespace
    let bpffs: String
    let place: RemedyPlace

    /// Prepares to examine a network namespace and what is loaded there.
    ///
    /// - Parameters:
    ///   - namespace: The network namespace.
    ///   - bpffs: The mount point of the BPF file system.
    public init(_ namespace: consuming NetworkNamespace, bpffs: String = SocketSteering.defaultBPFFS) {
        place = RemedyPlace(namespace, bpffs: bpffs)
        self.namespace = namespace
        self.bpffs = bpffs
    }

    /// Examines everything and changes nothing.
    ///
    /// - Parameters:
    ///   - wanted: The policy that should be in force, such as the content of a file; nil to examine the one in force.
    ///   - file: The path of that policy's file, for remedies that apply it.
    ///   - answered: Pools of addresses in DNS answers, by name. They must be steered and routed here.
    /// - Returns: The findings, the most severe first. Anything that may not be inspected is skipped.
    /// - Throws: `systemCall` if the kernel cannot be queried; as ``SocketSteering/open(_:bpffs:for:)`` if the state
    ///   changes meanwhile.
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
                    .warning, "policy", "the policy in force differs from the one that was given",
                    remedy: applying(file)))
        }
        if let inForce { findings += names(answered, inForce, wanted: wanted ?? inForce, file) }
        if let policy = wanted ?? inForce {
            findings += remarks(on: policy, isInForce: policy == inForce) + (try routes(policy, answered))
        }
        return findings.sorted { $0.severity > $1.severity }
    }

    /// The remedy that applies a policy file.
    func applying(_ file: String?) -> Remedy {
        guard let file, file != "-" else { return place.steer(.apply, ["apply"], blanks: ["FILE"]) }
        return place.steer(.apply, ["apply", file])
    }

    /// Removes the pins of network namespaces that have ended, and what killed commands left.
    ///
    /// - Returns: The inode numbers of these namespaces.
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
    /// Returns findings for the first ten elements of a list, and one with the number of the others.
    static func shortened<Element>(
        _ list: [Element], _ subject: String, _ finding: (Element) -> Finding
    ) -> [Finding] {
        var findings = list.prefix(10).map(finding)
        if let last = findings.last, list.count > 10 {
            findings.append(
                Finding(last.severity, subject, "the same applies to \(list.count - 10) more, \(list.count) in all"))
        }
        return findings
    }
}
