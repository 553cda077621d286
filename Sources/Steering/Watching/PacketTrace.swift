/// A packet that matched a binding.
public struct TracedPacket: Sendable, Hashable {
    /// The packet.
    ///
    /// Its interface is nil before Linux 5.17, and if the interface no longer exists or its name may not be looked up.
    public let packet: Packet
    /// The outcome.
    public let outcome: Outcome
    /// The binding that decided; nil if the policy had changed before the packet was read.
    public let binding: Binding?
    /// The time of the lookup by CLOCK_MONOTONIC, in nanoseconds.
    public let nanoseconds: UInt64

    /// The destination that the packet went to; nil if it was refused or passed.
    public var destination: Destination? {
        guard case .label(let label) = outcome else { return nil }
        return Destination(label, packet.destination.address.family, packet.transport)
    }
}

/// A live trace of the packets that match a binding: see ``SocketSteering/observe(in:label:oneIn:)``.
///
/// Tracing ends with this value or with the process, even if it is killed.
public struct PacketTrace: ~Copyable {
    private let steering: SocketSteering
    private let label: Label?
    private let oneIn: UInt32
    private let stream: EventStream
    /// The latest policies, the newest last; events carry the generation of the one that decided.
    private var policies: [TracedPolicy]
    private var attachment: Attachment
    private var interfaces: [UInt32: InterfaceName]
    private var checked: ContinuousClock.Instant

    /// The interval at which policy and tables are checked for changes.
    private static let interval = Duration.milliseconds(100)
    private static let keptPolicies = 8

    fileprivate init(
        _ steering: SocketSteering, in namespace: borrowing NetworkNamespace, _ label: Label?, _ oneIn: UInt32
    ) throws(SteeringError) {
        let snapshot = try steering.snapshot(in: namespace)
        if let label, !snapshot.policy.records.labels.values.contains(label) { throw .unknownLabel(label) }
        let attachment = try Attachment(snapshot, label, oneIn)
        // Everything that may fail comes first, since a noncopyable value must be initialized as a whole.
        let stream = try EventStream(snapshot.tables, attachment.filter, in: namespace)
        self.stream = stream
        (interfaces, checked) = ([:], .now)
        self.attachment = attachment
        policies = [TracedPolicy(snapshot)]
        self.steering = steering
        self.label = label
        self.oneIn = oneIn
    }

    /// Waits for the next packet.
    ///
    /// About 3,600 packets are buffered in the kernel. Packets that find the buffer full are lost, and counted. A
    /// change of the policy, also by another process, is noticed within 100 ms while this is being called. If the
    /// change made the tables grow, packets may until then be reported with outcomes of the former policy.
    ///
    /// - Parameter timeout: The longest time to wait.
    /// - Returns: The packet; nil if none arrived in time.
    /// - Throws: `missingCapability` if the tables have grown and CAP_BPF was dropped; `detached`,
    ///   `networkNamespaceGone`; for a loaded steering as ``SocketSteering/open(_:bpffs:for:)``.
    public mutating func next(within timeout: Duration) throws(SteeringError) -> TracedPacket? {
        let deadline = ContinuousClock.now + timeout
        while true {
            if ContinuousClock.now - checked > Self.interval { try refresh() }
            if let event = try stream.next() { return try traced(event) }
            let left = min(deadline - .now, Self.interval)
            if left <= .zero { return nil }
            // Rounded up: a fraction of a millisecond would otherwise be no wait at all.
            try stream.wait(milliseconds: CInt(left / .milliseconds(1)) + 1)
        }
    }

    /// Returns the number of packets to be traced, before sampling, and of sampled packets that found the buffer full.
    ///
    /// - Throws: `systemCall`.
    public func counts() throws(SteeringError) -> (seen: UInt64, lost: UInt64) { try stream.counts() }

    /// The tables and the filter of the attached program.
    private struct Attachment: Equatable {
        let tables: UInt32
        let filter: PacketFilter

        init(_ snapshot: SteeringSnapshot, _ label: Label?, _ oneIn: UInt32) throws(SteeringError) {
            tables = try snapshot.tables.mapID
            if let label {
                filter = snapshot.numbers[label].map { PacketFilter(label: $0, oneIn: oneIn) } ?? .nothing(oneIn: oneIn)
            } else {
                filter = PacketFilter(label: nil, oneIn: oneIn)
            }
        }
    }

    private mutating func refresh() throws(SteeringError) {
        let snapshot = try steering.snapshot()
        let attachment = try Attachment(snapshot, label, oneIn)
        if attachment != self.attachment {
            try stream.resume(snapshot.tables, attachment.filter)
            self.attachment = attachment
        }
        if snapshot.generation != policies.last!.generation {
            policies.append(TracedPolicy(snapshot))
            policies.removeFirst(max(0, policies.count - Self.keptPolicies))
        }
        checked = .now
    }

    private mutating func traced(_ event: PacketEvent) throws(SteeringError) -> TracedPacket {
        if policies.last!.generation < event.generation { try refresh() }
        let policy = policies.last { $0.generation == event.generation } ?? policies.last!
        if event.interface != 0, interfaces[event.interface] == nil {
            // Without permission to look up names, packets have no interface.
            interfaces = (try? steering.interfaces.names()) ?? [:]
        }
        let packet = Packet(
            event.transport, to: event.destination, from: event.source, on: interfaces[event.interface])
        let winner = policy.winner(for: packet, on: event.interface)
        let outcome: Outcome =
            switch event.verdict {
            case .label(let number): policy.labels[number].map { .label($0) } ?? winner?.outcome ?? .pass
            case .refuse: .refuse
            case .pass: .pass
            }
        return TracedPacket(
            packet: packet, outcome: outcome, binding: winner?.outcome == outcome ? winner : nil,
            nanoseconds: event.nanoseconds)
    }
}

/// A policy, prepared to find the winning bindings of packets.
private struct TracedPolicy {
    let generation: UInt64
    let finder: BindingFinder
    let labels: [UInt32: Label]
    private let interfaces: BoundInterfaces

    /// Returns the winning binding for a packet that arrived on the interface with an index, 0 if unknown.
    func winner(for packet: Packet, on interface: UInt32) -> Binding? {
        guard interface != 0 else { return finder.winner(for: packet) }
        return interfaces.views(of: packet, on: interface).lazy.compactMap { finder.winner(for: $0) }
            .max { $0.precedence < $1.precedence }
    }

    init(_ snapshot: SteeringSnapshot) {
        interfaces = BoundInterfaces(snapshot.interfaceIndices)
        generation = snapshot.generation
        finder = BindingFinder(snapshot.policy)
        labels = snapshot.numbers.byNumber
    }
}

/// The parts of a steering's state that observers use.
struct SteeringSnapshot: Sendable {
    let policy: Policy
    let numbers: LabelNumbers
    let generation: UInt64
    /// The indices of the policy's interfaces in the tables.
    let interfaceIndices: [InterfaceName: UInt32]
    /// The map of the tables in force.
    let tables: SharedDescriptor
}

extension SocketSteering {
    /// Starts a live trace of the packets that match a binding, or of a sample of them.
    ///
    /// Attaches a second program beside the steering program. It selects no sockets, reads the same tables, and reports
    /// packets to this process. It is attached for as long as the returned value lives, so there is no cost while
    /// nobody observes. While observing, each first packet costs about twice as much, and each reported packet more.
    ///
    ///     var trace = try steering.observe(in: namespace, label: "web", oneIn: 100)
    ///     while let seen = try trace.next(within: .seconds(10)) { print(seen.packet, seen.outcome) }
    ///
    /// The trace shows socket lookups: for the first packet of each TCP connection, and for every datagram to an
    /// unconnected socket. It also shows lookups without such a packet: those made by ``explain(_:in:)``, and those for
    /// the sender of a datagram when an ICMP error arrives.
    ///
    /// - Parameters:
    ///   - namespace: The steering's network namespace; it may be closed afterwards.
    ///   - label: The label whose packets are traced; nil for all packets, including those that bindings refuse or
    ///     pass.
    ///   - oneIn: The sampling rate: one packet in this many, chosen at random; 1 for every packet. Must not be 0.
    /// - Returns: The trace.
    /// - Throws: `missingCapability` without CAP_BPF, the only one needed; `unknownLabel` if no binding leads to the
    ///   label; `tooManyPrograms`; `networkNamespaceUnavailable` if the namespace is not the steering's; `detached`,
    ///   `networkNamespaceGone`; for a loaded steering as ``open(_:bpffs:for:)``.
    ///
    /// ## Kernel
    /// Linux 5.9; `BPF_MAP_TYPE_RINGBUF`, `BPF_LINK_CREATE`. Interface names need Linux 5.17, and CAP_SYS_ADMIN if the
    /// namespace is not the calling thread's.
    public func observe(
        in namespace: borrowing NetworkNamespace, label: Label? = nil, oneIn: UInt32 = 1
    ) throws(SteeringError) -> PacketTrace {
        precondition(oneIn > 0, "oneIn must not be 0")
        return try PacketTrace(self, in: namespace, label, oneIn)
    }

    /// Returns a snapshot, after checking that a namespace is the steering's.
    func snapshot(in namespace: borrowing NetworkNamespace) throws(SteeringError) -> SteeringSnapshot {
        let inode = namespace.inode
        return try reading { state throws(SteeringError) in
            guard inode == state.namespace.inode else { throw .otherNamespace }
            return SteeringSnapshot(state)
        }
    }

    func snapshot() throws(SteeringError) -> SteeringSnapshot {
        try reading { state throws(SteeringError) in SteeringSnapshot(state) }
    }
}

extension SteeringSnapshot {
    fileprivate init(_ state: borrowing SocketSteering.State) {
        self.init(
            policy: state.policy, numbers: state.numbers, generation: state.generation,
            interfaceIndices: state.interfaceIndices, tables: state.plane.sharing([.policy])[.policy]!)
    }
}

extension SteeringError {
    fileprivate static let otherNamespace = SteeringError(
        .networkNamespaceUnavailable, "the steering belongs to another network namespace: give that one")

    fileprivate static func unknownLabel(_ label: Label) -> SteeringError {
        SteeringError(
            .unknownLabel,
            "no binding leads to label \(label), so no packet would be seen: `steer bindings` lists labels")
    }
}
