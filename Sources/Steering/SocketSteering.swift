import CSteering
import Synchronization

/// The steering of one network namespace: a policy in force, and the sockets that its labels lead to.
///
/// Attached to the process: it ends, and traffic takes the kernel's ordinary way again, when the last
/// reference to it is gone or the process ends. Established connections are never touched, neither by a
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
/// Once attached, changes need no capability (tables beyond one page, some thousands of prefixes, need
/// CAP_BPF): attach, drop privileges, go on.
///
/// ## Kernel
/// Linux 5.9 or newer; `BPF_PROG_TYPE_SK_LOOKUP`. Addresses must be routed to the host, for example by
/// `ip route add local 192.0.2.0/24 dev lo`.
public final class SocketSteering: Sendable {
    struct State: ~Copyable {
        var link: OwnedDescriptor?
        var memory: PolicyMemory
        var policy = Policy()
        var numbers = LabelNumbers()
        /// What was registered; some may have been closed since, which the map knows.
        var registered: [Label: [SocketCookie: SteerableSocket]] = [:]
    }

    let plane: DataPlane
    let namespace: NamespaceIdentity
    private let state: Mutex<State>

    /// Loads the program and attaches it to the calling thread's network namespace.
    ///
    /// Several steerings, and other sk_lookup programs, may be attached to one namespace: of those that
    /// select a socket for a packet the one attached last decides.
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

    /// Attaches another build of the program.
    package init(_ namespace: borrowing NetworkNamespace, object: [UInt8]?) throws(SteeringError) {
        self.namespace = try NamespaceIdentity(namespace)
        plane = try DataPlane(object: object)
        let memory = try PolicyMemory(plane)
        state = Mutex(State(link: try plane.attach(to: namespace), memory: memory))
    }

    /// The sockets that labels lead to.
    public var sockets: SockMap { SockMap(self) }

    /// The policy in force.
    public var policy: Policy { state.withLock { $0.policy } }

    /// Replaces the whole policy. Applying the one in force again changes nothing.
    ///
    /// - Throws: `emptyPolicy` (see ``unbindAll()``), `conflictingBindings`, `tooManyLabels`,
    ///   `tablesTooLarge`, `missingCapability`, `detached`, `networkNamespaceGone`. A label without a
    ///   socket is no error.
    public func apply(_ policy: Policy) throws(SteeringError) {
        guard !policy.isEmpty else { throw .emptyPolicy }
        try update { $0 = policy }
    }

    /// Applies a policy in one form of tables.
    package func apply(_ policy: Policy, as form: Tables.Form) throws(SteeringError) {
        try whileAttached { state throws(SteeringError) in try install(policy, &state, forms: [form]) }
    }

    /// Changes the policy: reads, changes and applies it while no one else can.
    ///
    /// - Throws: What the closure throws, then as ``apply(_:)``; a policy may become empty here.
    public func update(_ change: (inout Policy) throws(SteeringError) -> Void) throws(SteeringError) {
        try whileAttached { state throws(SteeringError) in
            var policy = state.policy
            try change(&policy)
            if policy != state.policy { try install(policy, &state) }
        }
    }

    /// Binds each prefix of a pool to a label. Bindings that are there already are no error.
    ///
    /// - Parameters:
    ///   - label: Where the packets go.
    ///   - protocols: TCP, UDP or both.
    ///   - pool: The destination addresses.
    ///   - ports: The destination ports, `.all` for every one.
    /// - Throws: `invalidBinding`, and as ``update(_:)``.
    public func bind(
        _ label: Label, _ protocols: ProtocolMatch, to pool: PrefixPool, ports: PortSet
    ) throws(SteeringError) {
        try update { policy throws(SteeringError) in try policy.bind(label, protocols, to: pool, ports: ports) }
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
            guard policy.unbind(binding) else { throw .unknownBinding(binding) }
        }
    }

    /// Removes every binding; label options and sockets stay.
    ///
    /// - Throws: As ``update(_:)``.
    public func unbindAll() throws(SteeringError) {
        try update { $0 = Policy(options: $0.options) }
    }

    /// Detaches the program. Afterwards every call throws `detached`; a second time does nothing.
    public func detach() {
        state.withLock { state in
            if let link = state.link.take() { DataPlane.detach(link) }
        }
    }

    deinit { detach() }

    /// The counters since the steering was attached.
    ///
    /// - Throws: `detached`, `networkNamespaceGone`.
    public func metrics() throws(SteeringError) -> SteeringMetrics {
        try whileAttached { state throws(SteeringError) in
            let counters = try Counters(plane)
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
        try plane.testRun(transport, from: source, to: destination)
    }

    /// Lends the state to a closure while the steering lives.
    func whileAttached<Result: Sendable>(
        _ body: (inout State) throws(SteeringError) -> Result
    ) throws(SteeringError) -> Result {
        try state.withLock { state throws(SteeringError) in
            guard state.link != nil else { throw .steeringDetached }
            guard try LinkInfo(state.link!).namespaceInode != 0 else { throw .namespaceGone }
            return try body(&state)
        }
    }

    /// Compiles a policy and puts it in force; on failure nothing has changed.
    private func install(
        _ policy: Policy, _ state: inout State, forms: [Tables.Form] = Tables.Form.allCases
    ) throws(SteeringError) {
        let labels = policy.labels
        var numbers = state.numbers
        for label in Array(numbers.labels) where !labels.contains(label) {
            if try sockets(of: label, numbers).isEmpty { numbers.release(label) }
        }
        let fresh = labels.filter { numbers[$0] == nil }
        for label in fresh { _ = try numbers.assign(label) }

        let tables = try Tables(policy, forms: forms) { numbers[$0]! }
        for label in fresh { try resetCounters(numbers[label]!) }
        try state.memory.publish(tables, plane)
        state.policy = policy
        state.numbers = numbers
        state.registered = state.registered.filter { numbers[$0.key] != nil }
    }

    /// The cookies in a label's slots, by destination and slot.
    func sockets(
        of label: Label, _ numbers: LabelNumbers
    ) throws(SteeringError) -> [(destination: Destination, number: UInt32, slot: Int, cookie: SocketCookie)] {
        guard let labelNumber = numbers[label] else { return [] }
        var found: [(Destination, UInt32, Int, SocketCookie)] = []
        for destination in Destination.all(of: label) {
            let number = destination.number(labelNumber: labelNumber)
            for (slot, cookie) in try SocketSlots(plane).cookies(at: number).enumerated() {
                if let cookie { found.append((destination, number, slot, cookie)) }
            }
        }
        return found
    }

    func resetCounters(_ labelNumber: UInt32) throws(SteeringError) {
        let counters = try Counters(plane)
        for number in 0..<UInt32(STEERING_DESTINATIONS_PER_LABEL) {
            try counters.reset(labelNumber * UInt32(STEERING_DESTINATIONS_PER_LABEL) + number)
        }
    }
}

extension SteeringError {
    static let steeringDetached = SteeringError(
        .detached, "the steering was detached and steers nothing any more: attach a new one")

    static let namespaceGone = SteeringError(
        .networkNamespaceGone,
        "the network namespace has ended, and the steering with it: attach to one that lives")
}
