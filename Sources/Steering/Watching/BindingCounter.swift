import Synchronization

/// Counts packets by the binding that decides their outcome: see ``SocketSteering/countBindings(in:atMost:)``.
///
/// Counting ends with the last reference or with the process, even if it is killed. All methods may be called from any
/// thread.
public final class BindingCounter: Sendable {
    /// A binding and its packets.
    public struct Count: Sendable, Hashable {
        /// The binding.
        public let binding: Binding
        /// The number of packets whose outcome it decided, since counting began or since the binding was added.
        public let packets: UInt64
    }

    private struct State {
        var program: CountingProgram
        var policy: Policy
        var generation: UInt64
        /// The counts of former programs.
        var sums: [Binding: UInt64] = [:]
    }

    private let steering: SocketSteering
    private let limit: Int
    /// Returns the policy whose bindings are counted, for the policy in force.
    private let counted: @Sendable (Policy) -> Policy
    private let link: SharedDescriptor
    private let state: Mutex<State>

    fileprivate init(
        _ steering: SocketSteering, in namespace: borrowing NetworkNamespace, _ limit: Int,
        _ counted: @escaping @Sendable (Policy) -> Policy = { $0 }
    ) throws(SteeringError) {
        let snapshot = try steering.snapshot(in: namespace)
        let policy = counted(snapshot.policy)
        let program = try Self.program(policy, snapshot.interfaceIndices, limit)
        link = try program.attach(to: namespace)
        self.steering = steering
        self.limit = limit
        self.counted = counted
        state = Mutex(State(program: program, policy: policy, generation: snapshot.generation))
    }

    deinit { DataPlane.detach(link) }

    /// Returns every binding in force with its count, in ascending order of bindings.
    ///
    /// Where bindings of equal precedence and outcome overlap, a packet counts for one of them.
    ///
    /// - Throws: As ``refresh()``.
    public func counts() throws(SteeringError) -> [Count] {
        try state.withLock { state throws(SteeringError) in
            try refresh(&state)
            return try Self.counts(state)
        }
    }

    /// Switches to the policy in force if it has changed.
    ///
    /// Bindings that remain keep their counts, and those of removed bindings are dropped. ``counts()`` does the same.
    /// Until either is called, packets count for bindings of the former policy: if the policy changes, call this about
    /// once per second.
    ///
    /// - Throws: `tooManyBindings`, `tablesTooLarge`; `missingCapability` if CAP_BPF was dropped; `detached`,
    ///   `networkNamespaceGone`; for a loaded steering as ``SocketSteering/open(_:bpffs:for:)``.
    public func refresh() throws(SteeringError) {
        try state.withLock { state throws(SteeringError) in try refresh(&state) }
    }

    private func refresh(_ state: inout State) throws(SteeringError) {
        let snapshot = try steering.snapshot()
        guard snapshot.generation != state.generation else { return }
        let policy = counted(snapshot.policy)
        let program = try Self.program(policy, snapshot.interfaceIndices, limit)
        try program.replaceProgram(of: link)
        let before = Dictionary(uniqueKeysWithValues: try Self.counts(state).map { ($0.binding, $0.packets) })
        state.sums = [:]
        for binding in policy.bindings { state.sums[binding] = before[binding] }
        (state.program, state.policy, state.generation) = (program, policy, snapshot.generation)
    }

    private static func counts(_ state: State) throws(SteeringError) -> [Count] {
        zip(state.policy.bindings, try state.program.packets()).map { binding, packets in
            Count(binding: binding, packets: packets &+ (state.sums[binding] ?? 0))
        }
    }

    private static func program(
        _ policy: Policy, _ indices: [InterfaceName: UInt32], _ limit: Int
    ) throws(SteeringError) -> CountingProgram {
        guard policy.count <= limit else { throw .tooManyBindings(policy.count, limit) }
        let tables = try Tables(tellingBindingsOf: policy, interfaceIndices: indices)
        return try CountingProgram(tables, bindings: policy.count)
    }
}

extension SocketSteering {
    /// Starts counting packets by the binding that decides their outcome.
    ///
    /// Attaches a second program beside the steering program. It selects no sockets, and has tables of its own in which
    /// each binding has a number. It is attached for as long as the returned object lives, so there is no cost while
    /// nobody counts. While counting, each first packet costs about twice as much. Kernel memory: the tables, which are
    /// larger than the policy's, and 8 bytes per binding and CPU.
    ///
    /// - Parameters:
    ///   - namespace: The steering's network namespace; it may be closed afterwards.
    ///   - limit: The maximum number of bindings to count.
    /// - Returns: The counter.
    /// - Throws: `missingCapability` without CAP_BPF, the only one needed; `tooManyBindings`; `tablesTooLarge`;
    ///   `tooManyPrograms`; `networkNamespaceUnavailable` if the namespace is not the steering's; `detached`,
    ///   `networkNamespaceGone`; for a loaded steering as ``open(_:bpffs:for:)``.
    ///
    /// ## Kernel
    /// Linux 5.9; `BPF_LINK_CREATE`.
    public func countBindings(
        in namespace: borrowing NetworkNamespace, atMost limit: Int = 100_000
    ) throws(SteeringError) -> BindingCounter {
        try BindingCounter(self, in: namespace, limit)
    }

    /// Starts counting packets to parts of bound prefixes, by the bindings of labels there.
    ///
    /// The counter's bindings are those of the policy, restricted to the parts.
    ///
    /// - Parameters:
    ///   - parts: Prefixes that do not overlap.
    ///   - namespace: As in ``countBindings(in:atMost:)``.
    /// - Returns: The counter.
    /// - Throws: As ``countBindings(in:atMost:)``.
    package func countArrivals(
        at parts: [IPPrefix], in namespace: borrowing NetworkNamespace
    ) throws(SteeringError) -> BindingCounter {
        try BindingCounter(self, in: namespace, 100_000) { $0.arrivals(at: parts) }
    }
}

extension Policy {
    /// Returns the bindings of labels, restricted to parts and with one label for all, so that they do not conflict.
    fileprivate func arrivals(at parts: [IPPrefix]) -> Policy {
        let pool = PrefixPool(parts)
        var counted: [Binding] = []
        for binding in bindings {
            guard case .label = binding.outcome, pool.overlaps(PrefixPool([binding.prefix])) else { continue }
            for part in parts where part.overlaps(binding.prefix) {
                let prefix = part.length > binding.prefix.length ? part : binding.prefix
                // Restricting a valid binding keeps it valid.
                if let part = try? Binding(
                    binding.protocols, to: prefix, ports: binding.ports, from: binding.source, on: binding.interface,
                    .label("arrivals"))
                {
                    counted.append(part)
                }
            }
        }
        return Policy(counted)
    }
}

extension SteeringError {
    fileprivate static func tooManyBindings(_ count: Int, _ limit: Int) -> SteeringError {
        SteeringError(
            .tooManyBindings,
            "the policy has \(count) bindings, more than the \(limit) that can be counted one by one: use the counters of labels"
        )
    }
}
