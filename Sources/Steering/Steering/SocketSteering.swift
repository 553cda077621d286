import CSteering
import Synchronization

/// The steering of one network namespace: the policy in force, and the sockets registered for its labels.
///
/// Steering made by ``attach()`` belongs to this process. When the last reference is released or the process ends, it
/// is detached, and traffic takes the kernel's ordinary path again. Optimized code may release a local variable after
/// its last use: keep the steering in a property, or extend its lifetime. Established connections are never affected.
///
///     let steering = try SocketSteering.attach()
///     try steering.sockets.register(listener, as: "echo")
///     try steering.bind("echo", .tcp, to: PrefixPool("192.0.2.0/24"), ports: [7, 7000...7999])
///
/// Register first and bind afterwards: a label that has bindings but no socket refuses packets.
///
/// Every change is all or nothing and takes effect in one step for all packets. When it returns, the former policy is
/// no longer applied to any packet. All methods may be called from any thread; changes take turns. Once attached,
/// changes need no capability as long as the tables have room (768 KiB, about ten thousand prefixes; larger ones need
/// CAP_BPF). So a server can attach and then drop privileges.
///
/// ## Kernel
/// Linux 5.9 or newer; `BPF_PROG_TYPE_SK_LOOKUP`. Addresses must be routed to the host, for example by
/// `ip route add local 192.0.2.0/24 dev lo`.
public final class SocketSteering: Sendable {
    struct State: ~Copyable {
        var plane: DataPlane
        var holding: Holding
        var namespace: NamespaceIdentity
        var policy = Policy()
        var numbers = LabelNumbers()
        /// The indices of the policy's interfaces in the tables.
        var interfaceIndices: [InterfaceName: UInt32] = [:]
        /// The generation that `policy` and `numbers` belong to.
        var generation: UInt64 = 0
        /// A policy that was in force, kept to compile the next one from it; nil until this process changes the policy.
        var compilation: Compilation?
    }

    let state: Mutex<State>
    let interfaces: InterfaceIndices
    /// How long a change waits for another writer, in milliseconds.
    private let patience = Atomic(PinLock.patience)

    /// Loads the program and attaches it to the calling thread's network namespace.
    ///
    /// Several steerings and other sk_lookup programs may be attached to one namespace. If several select a socket for
    /// a packet, the steering attached last decides, even over programs attached after it, unless those replace
    /// selections (`BPF_SK_LOOKUP_F_REPLACE`), as steerings do.
    ///
    /// - Returns: The steering, with an empty policy.
    /// - Throws: `missingCapability` without CAP_BPF and CAP_NET_ADMIN (before Linux 5.17 also CAP_PERFMON),
    ///   `unsupportedKernel`, `programRejected`, `tooManyPrograms`, `networkNamespaceUnavailable` if `/proc` is not
    ///   mounted.
    public static func attach() throws(SteeringError) -> SocketSteering {
        try attach(to: try NetworkNamespace.current())
    }

    /// Loads the program and attaches it to a network namespace.
    ///
    /// - Parameter namespace: The network namespace; it may be closed afterwards.
    /// - Returns: The steering, with an empty policy.
    /// - Throws: As ``attach()``; `missingCapability` also if the namespace is not the calling thread's and CAP_SYS_ADMIN
    ///   is lacking; `networkNamespaceGone`.
    public static func attach(to namespace: borrowing NetworkNamespace) throws(SteeringError) -> SocketSteering {
        try SocketSteering(namespace, object: nil)
    }

    /// Attaches another build of the program, or one for another table size or kernel than would be chosen.
    package init(
        _ namespace: borrowing NetworkNamespace, object: [UInt8]?, size: TableSize = .smallest,
        hasIngressInterface: Bool? = nil
    ) throws(SteeringError) {
        let identity = try NamespaceIdentity(namespace)
        let plane = try DataPlane(object: object, size: size, hasIngressInterface: hasIngressInterface)
        let memory = try PolicyMemory(plane)
        interfaces = InterfaceIndices(of: namespace)
        let link = try plane.attach(to: namespace)
        state = Mutex(State(plane: plane, holding: .attached(link, memory), namespace: identity))
    }

    /// Wraps the pinned state of a namespace.
    init(_ interfaces: InterfaceIndices, _ state: consuming sending State) {
        self.interfaces = interfaces
        self.state = Mutex(state)
    }

    /// The sockets registered for labels.
    public var sockets: SockMap { SockMap(self) }

    /// The sockets registered for labels, with the calls that take a socket's lock left to somebody else.
    package func sockets(by calls: any LockingCalls) -> SockMap { SockMap(self, calls) }

    /// The policy in force.
    ///
    /// - Throws: For a loaded steering as ``open(_:bpffs:for:)``; otherwise nothing, even after ``detach()``.
    public var policy: Policy {
        get throws(SteeringError) {
            try state.withLock { state throws(SteeringError) in
                if state.isLoaded { try refresh(&state) }
                return state.policy
            }
        }
    }

    /// Replaces the whole policy.
    ///
    /// Applying the policy in force changes nothing, except that its interface names are looked up again. A label
    /// without a socket is no error, and neither is an interface that does not exist: its bindings match nothing until
    /// it exists and the policy is applied again (see ``Doctor/remarks(on:)``).
    ///
    /// - Parameter policy: The policy; it must not be empty.
    /// - Throws: `emptyPolicy` (see ``unbindAll()``); `conflictingBindings`; `tooManyLabels`; `tablesTooLarge`, before
    ///   Linux 6.0 for all but the smallest tables. `missingCapability`: larger tables, and any change of a loaded
    ///   steering, need CAP_BPF; interfaces in another namespace than the calling thread's need CAP_SYS_ADMIN.
    ///   `unsupportedKernel`: bindings with an interface need Linux 5.17, larger tables of a loaded steering 5.16.
    ///   `detached`, `networkNamespaceGone`, `networkNamespaceUnavailable`; for a loaded steering also `busy`, and as
    ///   ``open(_:bpffs:for:)``.
    public func apply(_ policy: Policy) throws(SteeringError) {
        guard !policy.isEmpty else { throw .emptyPolicy }
        try changing { state throws(SteeringError) in
            try put(policy, &state, lookingUp: Set(policy.interfaces), keeping: [:])
        }
    }

    /// Applies a policy with the given form of tables.
    package func apply(_ policy: Policy, as form: Tables.Form) throws(SteeringError) {
        try changing { state throws(SteeringError) in
            try install(policy, &state, try interfaces(of: policy.interfaces), forms: [form])
        }
    }

    /// Changes the policy by a closure, while no other thread or process can change it.
    ///
    /// Interface names in bindings that the change does not add keep their interface, even if it has been renamed, as
    /// long as it exists. Names in added bindings are looked up, and keep theirs only if no interface has the name.
    ///
    /// - Parameter change: Changes the policy, which may become empty. It must not use this steering, whose lock is
    ///   held.
    /// - Throws: The errors of the closure; then as ``apply(_:)``, except `emptyPolicy`.
    public func update(_ change: (inout Policy) throws(SteeringError) -> Void) throws(SteeringError) {
        try changing { state throws(SteeringError) in
            var policy = state.policy
            try change(&policy)
            let added = policy.interfaces(inAdditionTo: state.policy)
            try put(policy, &state, lookingUp: added, keeping: state.interfaceIndices)
        }
    }

    /// Binds each prefix of a pool to a label.
    ///
    /// Bindings that exist already are no error.
    ///
    /// - Parameters:
    ///   - label: The label that the packets go to.
    ///   - protocols: TCP, UDP or both.
    ///   - pool: The destination addresses.
    ///   - ports: The destination ports, at least one; `.all` for every port.
    ///   - source: The source addresses, of the pool's family; nil for any.
    ///   - interface: The interface on which packets arrive; nil for any. Needs Linux 5.17.
    /// - Throws: `invalidBinding`, and as ``update(_:)``.
    public func bind(
        _ label: Label, _ protocols: ProtocolMatch, to pool: PrefixPool, ports: PortSet,
        from source: IPPrefix? = nil, on interface: InterfaceName? = nil
    ) throws(SteeringError) {
        try update { policy throws(SteeringError) in
            try policy.bind(label, protocols, to: pool, ports: ports, from: source, on: interface)
        }
    }

    /// Adds a binding; one that exists already is no error.
    ///
    /// - Throws: As ``update(_:)``.
    public func bind(_ binding: Binding) throws(SteeringError) {
        try update { $0.bind(binding) }
    }

    /// Removes a binding.
    ///
    /// - Throws: `unknownBinding` if there is no such binding, and as ``update(_:)``.
    public func unbind(_ binding: Binding) throws(SteeringError) {
        try update { policy throws(SteeringError) in
            try policy.unbind(each: [binding])
        }
    }

    /// Removes all bindings; label options and sockets stay.
    ///
    /// - Throws: As ``update(_:)``.
    public func unbindAll() throws(SteeringError) {
        try update { $0 = Policy(options: $0.options) }
    }

    /// Detaches the program; no effect on a loaded steering (see ``unload(from:bpffs:)``).
    ///
    /// Afterwards every method that uses the kernel throws `detached`. Detaching again has no effect.
    public func detach() {
        state.withLock { state in
            guard case .attached(let link, _) = state.holding else { return }
            DataPlane.detach(link)
            state.holding = .detached
        }
    }

    deinit { detach() }

    /// Returns the counters since the steering was attached or loaded.
    ///
    /// - Throws: `detached`, `networkNamespaceGone`; for a loaded steering as ``open(_:bpffs:for:)``.
    public func metrics() throws(SteeringError) -> SteeringMetrics {
        try reading { state throws(SteeringError) in
            let counters = try Counters(state.plane)
            var metrics = SteeringMetrics()
            for label in state.numbers.labels {
                for destination in Destination.all(of: label) {
                    let number = destination.number(labelNumber: state.numbers[label]!)
                    metrics.destinations[destination] = try counters.destination(number)
                }
            }
            (metrics.refused, metrics.passed) = try counters.withoutLabel()
            return metrics
        }
    }

    /// Runs the program once, without a packet, and returns the verdict and the socket that it selected.
    package func testRun(
        _ transport: TransportProtocol, from source: SocketAddress? = nil, to destination: SocketAddress
    ) throws(SteeringError) -> (verdict: UInt32, cookie: SocketCookie?) {
        try state.withLock { state throws(SteeringError) in
            try state.plane.testRun(transport, from: source, to: destination)
        }
    }

    // MARK: - Access to the state

    /// Sets how long changes of this loaded steering wait while another process changes it, before they throw `busy`.
    package func waitForWriters(atMost patience: Duration) {
        self.patience.store(Int(patience / .milliseconds(1)), ordering: .relaxed)
    }

    /// Lends the current state for reading, without blocking writers in other processes or waiting for them.
    func reading<Result: Sendable>(
        _ body: (borrowing State) throws(SteeringError) -> Result
    ) throws(SteeringError) -> Result {
        try state.withLock { state throws(SteeringError) in
            try refresh(&state)
            return try body(state)
        }
    }

    /// Lends the state to one writer at a time, among all processes.
    func changing<Result: Sendable>(
        _ body: (inout State) throws(SteeringError) -> Result
    ) throws(SteeringError) -> Result {
        try state.withLock { state throws(SteeringError) in
            let pins: Pins
            switch state.holding {
            case .attached, .detached:
                try refresh(&state)
                return try body(&state)
            case .read: throw .openedForReading
            case .loaded(let place, _, _, _): pins = place
            }
            let lock = try PinLock(pins, patience: patience.load(ordering: .relaxed))
            defer { lock.release() }
            try pins.finish()
            do throws(SteeringError) { try refresh(&state) } catch {
                // Do not leave a lock behind where nothing is loaded.
                if error.code == .notLoaded { lock.remove() }
                throw error
            }
            try dropLeftovers(&state)
            return try body(&state)
        }
    }
}
