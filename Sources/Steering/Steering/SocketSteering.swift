import CSteering
import Synchronization

/// The steering of one network namespace: a policy in force, and the sockets that its labels lead to.
///
/// Attached to the process: it ends, and traffic takes the kernel's ordinary way again, when the last
/// reference to it is gone or the process ends. Optimised code lets go of a local variable after its last use: keep
/// the steering in a property, or extend its lifetime. Established connections are never touched, neither by a
/// change nor by the end.
///
///     let steering = try SocketSteering.attach()
///     try steering.sockets.register(listener, as: "echo")
///     try steering.bind("echo", .tcp, to: PrefixPool("192.0.2.0/24"), ports: [7, 7000...7999])
///
/// Register first and bind afterwards: a label that has bindings but no socket refuses.
///
/// Every change is all or nothing, takes effect in one step for all packets, and when it returns no
/// packet is still being judged by the former policy. It may be used from any thread; changes take turns.
/// Once attached, changes need no capability, so long as the tables have room (768 KiB, some ten thousand
/// prefixes; for more, CAP_BPF): attach, drop privileges, go on.
///
/// ## Kernel
/// Linux 5.9 or newer; `BPF_PROG_TYPE_SK_LOOKUP`. Addresses must be routed to the host, for example by
/// `ip route add local 192.0.2.0/24 dev lo`.
public final class SocketSteering: Sendable {
    struct State: ~Copyable {
        var plane: DataPlane
        /// Nil once detached; of a loaded steering, where it may not be opened.
        var link: SharedDescriptor?
        /// Nil where nothing may be changed.
        var memory: PolicyMemory?
        var namespace: NamespaceIdentity
        var policy = Policy()
        var numbers = LabelNumbers()
        /// Of the interfaces that the policy names, as the tables have them.
        var interfaceIndices: [InterfaceName: UInt32] = [:]
        /// The generation of the tables that policy and numbers belong to.
        var generation: UInt64 = 0
        /// Of some policy that was in force, for compiling the next: nil before this process has changed it.
        var compilation: Compilation?
        /// Of a loaded steering: the directory that all this was read from.
        var pinned: PinnedState?
    }

    /// Where a loaded steering is pinned; nil for one that is attached to this process.
    let pins: Pins?
    let state: Mutex<State>
    let interfaces: InterfaceIndices

    /// Loads the program and attaches it to the calling thread's network namespace.
    ///
    /// Several steerings, and other sk_lookup programs, may be attached to one namespace: where several select a
    /// socket for a packet, the steering attached last decides, also over programs attached after it, unless they
    /// replace selections (`BPF_SK_LOOKUP_F_REPLACE`), as steerings do.
    ///
    /// - Throws: `missingCapability` (CAP_BPF and CAP_NET_ADMIN), `unsupportedKernel`, `programRejected`,
    ///   `tooManyPrograms`.
    public static func attach() throws(SteeringError) -> SocketSteering {
        try attach(to: try NetworkNamespace.current())
    }

    /// Loads the program and attaches it to a network namespace.
    ///
    /// - Parameter namespace: The namespace; it may be closed afterwards.
    /// - Throws: As ``attach()``; `missingCapability` also without CAP_SYS_ADMIN, when the namespace is not
    ///   the calling thread's; `networkNamespaceGone`.
    public static func attach(to namespace: borrowing NetworkNamespace) throws(SteeringError) -> SocketSteering {
        try SocketSteering(namespace, object: nil)
    }

    /// Attaches another build of the program, or makes another choice of what is built for kernels and policies.
    package init(
        _ namespace: borrowing NetworkNamespace, object: [UInt8]?, size: TableSize = .smallest,
        hasIngressInterface: Bool? = nil
    ) throws(SteeringError) {
        let identity = try NamespaceIdentity(namespace)
        let plane = try DataPlane(object: object, size: size, hasIngressInterface: hasIngressInterface)
        let memory = try PolicyMemory(plane)
        pins = nil
        interfaces = InterfaceIndices(of: namespace)
        state = Mutex(
            State(plane: plane, link: try plane.attach(to: namespace), memory: memory, namespace: identity))
    }

    /// What is pinned for a namespace.
    init(opening pins: Pins, _ interfaces: InterfaceIndices, _ state: consuming sending State) {
        self.pins = pins
        self.interfaces = interfaces
        self.state = Mutex(state)
    }

    /// The sockets that labels lead to.
    public var sockets: SockMap { SockMap(self) }

    /// The policy in force.
    ///
    /// - Throws: For a loaded steering as ``open(_:bpffs:for:)``; otherwise nothing.
    public var policy: Policy {
        get throws(SteeringError) {
            try state.withLock { state throws(SteeringError) in
                if pins != nil { try refresh(&state) }
                return state.policy
            }
        }
    }

    /// Replaces the whole policy. Applying the one in force again changes nothing, but that the interfaces it names
    /// are looked up anew.
    ///
    /// - Throws: `emptyPolicy` (see ``unbindAll()``), `conflictingBindings`, `tooManyLabels`,
    ///   `tablesTooLarge`, `missingCapability`, `detached`, `networkNamespaceGone`; for bindings with an
    ///   interface `unsupportedKernel` before Linux 5.17. A label without a socket is no error, and neither is an
    ///   interface that does not exist: its bindings match nothing until it does and the policy is applied again
    ///   (see ``Doctor/remarks(on:)``).
    public func apply(_ policy: Policy) throws(SteeringError) {
        guard !policy.isEmpty else { throw .emptyPolicy }
        try update { $0 = policy }
    }

    /// Applies a policy in one form of tables.
    package func apply(_ policy: Policy, as form: Tables.Form) throws(SteeringError) {
        try changing { state throws(SteeringError) in try install(policy, &state, forms: [form]) }
    }

    /// Changes the policy: reads, changes and applies it while no one else can.
    ///
    /// - Throws: What the closure throws, then as ``apply(_:)``; a policy may become empty here.
    public func update(_ change: (inout Policy) throws(SteeringError) -> Void) throws(SteeringError) {
        try changing { state throws(SteeringError) in
            var policy = state.policy
            try change(&policy)
            let isInForce = try policy == state.policy ? hasItsInterfaces(state) : false
            if !isInForce { try install(policy, &state) }
        }
    }

    /// Binds each prefix of a pool to a label. Bindings that are there already are no error.
    ///
    /// - Parameters:
    ///   - label: Where the packets go.
    ///   - protocols: TCP, UDP or both.
    ///   - pool: The destination addresses.
    ///   - ports: The destination ports, `.all` for every one.
    ///   - source: The source addresses, of the pool's family; nil for any.
    ///   - interface: The interface on which packets arrive, nil for any; needs Linux 5.17.
    /// - Throws: `invalidBinding`, and as ``update(_:)``.
    public func bind(
        _ label: Label, _ protocols: ProtocolMatch, to pool: PrefixPool, ports: PortSet,
        from source: IPPrefix? = nil, on interface: InterfaceName? = nil
    ) throws(SteeringError) {
        try update { policy throws(SteeringError) in
            try policy.bind(label, protocols, to: pool, ports: ports, from: source, on: interface)
        }
    }

    /// Adds one binding; one that is there already is no error.
    ///
    /// - Throws: As ``update(_:)``.
    public func bind(_ binding: Binding) throws(SteeringError) {
        try update { $0.bind(binding) }
    }

    /// Removes one binding.
    ///
    /// - Throws: `unknownBinding` when it is not there, and as ``update(_:)``.
    public func unbind(_ binding: Binding) throws(SteeringError) {
        try update { policy throws(SteeringError) in
            try policy.unbind(each: [binding])
        }
    }

    /// Removes every binding; label options and sockets stay.
    ///
    /// - Throws: As ``update(_:)``.
    public func unbindAll() throws(SteeringError) {
        try update { $0 = Policy(options: $0.options) }
    }

    /// Detaches the program. Afterwards every call throws `detached`; a second time does nothing, and
    /// neither does it for a loaded steering: see ``unload(from:bpffs:)``.
    public func detach() {
        guard pins == nil else { return }
        state.withLock { state in
            if let link = state.link.take() { DataPlane.detach(link) }
        }
    }

    deinit { detach() }

    /// The counters since the steering was attached or loaded.
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

    /// Runs the program once, without a packet: the verdict, and the socket it chose.
    package func testRun(
        _ transport: TransportProtocol, from source: SocketAddress? = nil, to destination: SocketAddress
    ) throws(SteeringError) -> (verdict: UInt32, cookie: SocketCookie?) {
        try state.withLock { state throws(SteeringError) in
            try state.plane.testRun(transport, from: source, to: destination)
        }
    }

    // MARK: - Scopes

    /// Lends the state as it is. Neither blocks a writer in another process nor waits for one.
    func reading<Result: Sendable>(
        _ body: (borrowing State) throws(SteeringError) -> Result
    ) throws(SteeringError) -> Result {
        try state.withLock { state throws(SteeringError) in
            try refresh(&state)
            return try body(state)
        }
    }

    /// Lends the state to one writer at a time, of all processes.
    func changing<Result: Sendable>(
        _ body: (inout State) throws(SteeringError) -> Result
    ) throws(SteeringError) -> Result {
        try state.withLock { state throws(SteeringError) in
            guard let pins else {
                try refresh(&state)
                return try body(&state)
            }
            guard state.memory != nil else { throw .openedForReading }
            let lock = try PinLock(pins)
            defer { lock.release() }
            try pins.finish()
            do throws(SteeringError) { try refresh(&state) } catch {
                // Who finds nothing leaves nothing.
                if error.code == .notLoaded { lock.remove() }
                throw error
            }
            try dropLeftovers(&state)
            return try body(&state)
        }
    }
}

extension SteeringError {
    static let steeringDetached = SteeringError(
        .detached, "the steering was detached and steers nothing any more: attach a new one")

    static let namespaceGone = SteeringError(
        .networkNamespaceGone,
        "the network namespace has ended, and the steering with it: attach to one that lives")

    static let openedForReading = SteeringError(
        .storageUnavailable, "the steering was opened for reading, and this would change it: open it for changing")
}
