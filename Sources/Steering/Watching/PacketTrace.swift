/// A packet that a binding decided about.
public struct TracedPacket: Sendable, Hashable {
    /// The packet. Its interface is nil before Linux 5.17, and where the interface has gone or may not be looked up.
    public let packet: Packet
    /// What happened to it.
    public let outcome: Outcome
    /// The binding that decided; nil when the policy had changed again before the packet was looked at.
    public let binding: Binding?
    /// When, by CLOCK_MONOTONIC, in nanoseconds.
    public let nanoseconds: UInt64

    /// Where a label led it.
    public var destination: Destination? {
        guard case .label(let label) = outcome else { return nil }
        return Destination(label, packet.destination.address.family, packet.transport)
    }
}

/// The packets that a steering decides about, as they come: see ``SocketSteering/observe(in:label:oneIn:)``.
///
/// Observing ends when this value does, or its process, however that ends.
public struct PacketTrace: ~Copyable {
    private let steering: SocketSteering
    private let label: Label?
    private let oneIn: UInt32
    private let stream: EventStream
    /// The latest policies, the newest last: events name the one that they were judged by.
    private var policies: [TracedPolicy]
    private var attachment: Attachment
    private var interfaces: [UInt32: InterfaceName]
    private var checked: ContinuousClock.Instant

    /// How often it is looked whether policy and tables are still the same.
    private static let interval = Duration.milliseconds(100)
    private static let keptPolicies = 8

    fileprivate init(
        _ steering: SocketSteering, in namespace: borrowing NetworkNamespace, _ label: Label?, _ oneIn: UInt32
    ) throws(SteeringError) {
        let snapshot = try steering.snapshot(in: namespace)
        if let label, !snapshot.policy.records.labels.values.contains(label) { throw .unknownLabel(label) }
        let attachment = try Attachment(snapshot, label, oneIn)
        // All that may fail comes first: a value that is not copied is made in one go.
        let stream = try EventStream(snapshot.tables, attachment.filter, in: namespace)
        self.stream = stream
        (interfaces, checked) = ([:], .now)
        self.attachment = attachment
        policies = [TracedPolicy(snapshot)]
        self.steering = steering
        self.label = label
        self.oneIn = oneIn
    }

    /// The next packet; nil when none came in time. Packets wait in the kernel, some 3,600 of them; what finds no
    /// room is lost, and counted.
    ///
    /// A change of the policy, also by another process, is noticed within a tenth of a second, so long as this is
    /// being called. After a change that made the tables grow it may be so long that packets are told as the
    /// former policy has them.
    ///
    /// - Throws: `missingCapability` when tables have grown and CAP_BPF was dropped; `detached`,
    ///   `networkNamespaceGone`; for a loaded steering as ``SocketSteering/open(_:bpffs:for:)``.
    public mutating func next(within timeout: Duration) throws(SteeringError) -> TracedPacket? {
        let deadline = ContinuousClock.now + timeout
        while true {
            if ContinuousClock.now - checked > Self.interval { try keepUp() }
            if let event = try stream.next() { return try traced(event) }
            let left = min(deadline - .now, Self.interval)
            if left <= .zero { return nil }
            // Rounded up, for less than a millisecond would not wait at all.
            try stream.wait(milliseconds: CInt(left / .milliseconds(1)) + 1)
        }
    }

    /// Packets so far that were to be traced, sampled or not; and those of the sampled ones that found no room.
    ///
    /// - Throws: `systemCall`.
    public func counts() throws(SteeringError) -> (seen: UInt64, lost: UInt64) { try stream.counts() }

    /// What decides which packets are told of.
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

    private mutating func keepUp() throws(SteeringError) {
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
        if policies.last!.generation < event.generation { try keepUp() }
        let policy = policies.last { $0.generation == event.generation } ?? policies.last!
        if event.interface != 0, interfaces[event.interface] == nil {
            // Where names may not be asked for, packets have none.
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

/// What packets are judged by.
private struct TracedPolicy {
    let generation: UInt64
    let finder: BindingFinder
    let labels: [UInt32: Label]
    private let interfaces: BoundInterfaces

    /// The binding that decides about a packet from the interface of a number; 0 where that is not known.
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

/// What those who observe need of a steering at a moment.
struct SteeringSnapshot: Sendable {
    let policy: Policy
    let numbers: LabelNumbers
    let generation: UInt64
    /// Of the interfaces that the tables in force know.
    let interfaceIndices: [InterfaceName: UInt32]
    /// The map of the tables in force.
    let tables: SharedDescriptor
}

extension SocketSteering {
    /// Watches packets: each that a binding decides about, or one in so many, live.
    ///
    /// Beside the steering program a second one is attached that only looks, by the same tables, and tells this
    /// process. It lives as long as the value that is returned; so while nobody observes, nothing is different.
    /// While somebody does, it costs each first packet about as much as steering it, and more for each that is told.
    ///
    ///     var trace = try steering.observe(in: namespace, label: "web", oneIn: 100)
    ///     while let seen = try trace.next(within: .seconds(10)) { print(seen.packet, seen.outcome) }
    ///
    /// What is seen are the lookups that steering decides about: the first packet of a TCP connection, every
    /// datagram of a socket that is not connected; and what looks like them: what ``explain(_:in:)`` asks the kernel,
    /// and the sender of a datagram whose ICMP error the kernel delivers.
    ///
    /// - Parameters:
    ///   - namespace: The steering's network namespace; it may be closed afterwards.
    ///   - label: Only packets that this label receives; nil for all, also those that bindings refuse or pass.
    ///   - oneIn: Of so many packets one, chosen at random; 1 for each.
    /// - Throws: `missingCapability`: this needs CAP_BPF, and no other. `unknownLabel` when no binding leads to
    ///   the label; `tooManyPrograms`; `detached`, `networkNamespaceGone`; for a loaded steering as
    ///   ``open(_:bpffs:for:)``.
    ///
    /// ## Kernel
    /// Linux 5.9; names of interfaces 5.17, and in another namespace than the calling thread's CAP_SYS_ADMIN.
    /// `BPF_MAP_TYPE_RINGBUF`, `BPF_LINK_CREATE`.
    public func observe(
        in namespace: borrowing NetworkNamespace, label: Label? = nil, oneIn: UInt32 = 1
    ) throws(SteeringError) -> PacketTrace {
        precondition(oneIn > 0, "one packet in none")
        return try PacketTrace(self, in: namespace, label, oneIn)
    }

    /// Checks that a namespace is the steering's, too.
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
        .networkNamespaceUnavailable, "the steering is of another network namespace: give its own")

    fileprivate static func unknownLabel(_ label: Label) -> SteeringError {
        SteeringError(
            .unknownLabel,
            "no binding leads to label \(label), so no packet would be seen: `steer bindings` lists labels")
    }
}
