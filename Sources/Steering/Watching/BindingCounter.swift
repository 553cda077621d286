import Synchronization

/// How many packets each binding decides about, while this lives: see ``SocketSteering/countBindings(in:atMost:)``.
///
/// Counting ends with the last reference, or the process, however that ends. It may be used from any thread.
public final class BindingCounter: Sendable {
    /// A binding and its packets.
    public struct Count: Sendable, Hashable {
        /// The binding.
        public let binding: Binding
        /// Packets that it decided about since counting began, or since it came.
        public let packets: UInt64
    }

    private struct State {
        var program: CountingProgram
        var policy: Policy
        var generation: UInt64
        /// What former programs counted.
        var sums: [Binding: UInt64] = [:]
    }

    private let steering: SocketSteering
    private let limit: Int
    /// What is counted of a policy.
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

    /// Every binding in force and how many packets it decided about, in their natural order.
    ///
    /// Of two that overlap, have equal precedence and mean the same, either counts.
    ///
    /// - Throws: As ``keepUp()``.
    public func counts() throws(SteeringError) -> [Count] {
        try state.withLock { state throws(SteeringError) in
            try keepUp(&state)
            return try Self.counts(state)
        }
    }

    /// Looks whether the policy has changed, and counts by the one in force from then on. Bindings that stay keep
    /// their counts; those that are gone are forgotten.
    ///
    /// Reading the counts does the same. Until one of the two is called, packets count for the bindings of the
    /// former policy: where it changes, call this every second or so.
    ///
    /// - Throws: `tooManyBindings`, `tablesTooLarge`; `missingCapability` when CAP_BPF was dropped; `detached`,
    ///   `networkNamespaceGone`; for a loaded steering as ``SocketSteering/open(_:bpffs:for:)``.
    public func keepUp() throws(SteeringError) {
        try state.withLock { state throws(SteeringError) in try keepUp(&state) }
    }

    private func keepUp(_ state: inout State) throws(SteeringError) {
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
    /// Counts packets for each binding: those that it decides about, from now on.
    ///
    /// Beside the steering program a second one is attached that only looks, with tables of its own in which each
    /// binding has a number. It lives as long as the object that is returned; so while nobody counts, nothing is
    /// different. While somebody does, it costs each first packet about as much as steering it.
    ///
    /// In the kernel: the tables, which are larger than the policy's, and 8 bytes a binding and CPU.
    ///
    /// - Parameters:
    ///   - namespace: The steering's network namespace; it may be closed afterwards.
    ///   - limit: Bindings that are counted at most.
    /// - Throws: `missingCapability`: this needs CAP_BPF, and no other. `tooManyBindings`, also when the policy grows
    ///   above the limit later; `tablesTooLarge`, `tooManyPrograms`; `detached`, `networkNamespaceGone`; for a loaded
    ///   steering as ``open(_:bpffs:for:)``.
    ///
    /// ## Kernel
    /// Linux 5.9. `BPF_LINK_CREATE`. For bindings with an interface, in another namespace than the calling thread's,
    /// CAP_SYS_ADMIN.
    public func countBindings(
        in namespace: borrowing NetworkNamespace, atMost limit: Int = 100_000
    ) throws(SteeringError) -> BindingCounter {
        try BindingCounter(self, in: namespace, limit)
    }

    /// Counts packets for parts of prefixes that are bound: those that come to what bindings of labels match there.
    /// The bindings that are counted are the parts' own, whose ports are those of the bindings around them.
    ///
    /// - Parameter parts: Prefixes that do not overlap.
    /// - Throws: As ``countBindings(in:atMost:)``.
    package func countArrivals(
        at parts: [IPPrefix], in namespace: borrowing NetworkNamespace
    ) throws(SteeringError) -> BindingCounter {
        try BindingCounter(self, in: namespace, 100_000) { $0.arrivals(at: parts) }
    }
}

extension Policy {
    /// Bindings of parts of what labels are bound to. They have one label, so that none is in another's way.
    fileprivate func arrivals(at parts: [IPPrefix]) -> Policy {
        let pool = PrefixPool(parts)
        var counted: [Binding] = []
        for binding in bindings {
            guard case .label = binding.outcome, pool.overlaps(PrefixPool([binding.prefix])) else { continue }
            for part in parts where part.overlaps(binding.prefix) {
                let prefix = part.length > binding.prefix.length ? part : binding.prefix
                // What is left of a binding that is valid is valid.
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
            "the policy has \(count) bindings, and no more than \(limit) are counted one by one: the counters of labels count all"
        )
    }
}
