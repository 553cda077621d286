/// A socket that is registered for a destination.
public struct RegisteredSocket: Sendable, Hashable {
    /// The destination for which it is registered.
    public let destination: Destination
    /// The socket's cookie, which identifies it in the kernel.
    public let cookie: SocketCookie
    /// The address to which it was bound when it was registered.
    public let boundAddress: SocketAddress
    /// Whether it is a stand-in: another member of its SO_REUSEPORT group is registered ahead of it.
    ///
    /// The kernel distributes packets over the whole group.
    public let isStandIn: Bool
    /// Whether it has SO_REUSEPORT, so that others may be bound to the same address.
    let isReuseport: Bool
}

/// The sockets that labels lead to: the map `sockets` (SOCKMAP).
///
/// The map keeps no socket open. When the last descriptor of a socket is closed, the kernel removes it, and its label
/// is without a socket. A process that ends needs no cleanup.
public struct SockMap: Sendable {
    let steering: SocketSteering
    private let calls: any LockingCalls

    init(_ steering: SocketSteering, _ calls: any LockingCalls = DirectCalls()) {
        self.steering = steering
        self.calls = calls
    }

    /// Registers a socket: from now on the label's packets go to it.
    ///
    /// A TCP socket must be listening; a UDP socket must be bound and not connected. The address to which it is bound
    /// does not matter. A dual-stack IPv6 socket is registered for both families. Register each member of a
    /// SO_REUSEPORT group: the kernel distributes packets over the group whichever member it finds, and when one is
    /// closed another stands in. The first 16 are stored; more are not an error.
    ///
    /// The socket is not changed and remains the caller's. Registering it again is not an error.
    ///
    /// - Parameters:
    ///   - descriptor: The socket's descriptor; it may be closed as long as the socket has another.
    ///   - label: The label, with or without bindings so far.
    /// - Throws: `destinationOccupied` (use `replace` instead); `invalidDescriptor`, `notASocket`, `unixSocket`,
    ///   `multipathTCP`, `udpLite`, `unsupportedProtocol`, `socketConnected`, `socketNotListening`, `socketNotBound`,
    ///   `socketBoundToDevice`, `foreignNetworkNamespace`; `tooManyLabels`, `detached`, `networkNamespaceGone`,
    ///   `systemCall`; for a loaded steering also `busy`, and as ``SocketSteering/open(_:bpffs:for:)``.
    public func register(_ descriptor: CInt, as label: Label) throws(SteeringError) {
        try register([(descriptor, label)])
    }

    /// Registers a socket in place of those that the label has for its protocol and families.
    ///
    /// Atomic: each packet finds either the old socket or the new one. Connections that wait in the old socket's queue
    /// stay there for its owner to accept.
    ///
    /// - Parameters:
    ///   - descriptor: The socket's descriptor; it may be closed as long as the socket has another.
    ///   - label: The label.
    /// - Throws: As `register`, except `destinationOccupied`.
    public func replace(_ descriptor: CInt, as label: Label) throws(SteeringError) {
        try register([(descriptor, label)], replacing: true)
    }

    /// Registers a socket that receives a label's packets only while the label has no other, in place of an earlier one
    /// of this kind. ``list()`` does not show it.
    ///
    /// - Throws: As `register`.
    package func standBy(_ descriptor: CInt, for label: Label) throws(SteeringError) {
        let facts = try calls.inspect(descriptor)
        try register([SocketPlacement.Candidate(descriptor, label, facts, isStandby: true)], replacing: false)
    }

    /// Registers sockets that have been inspected, as `register` and `replace` do for one: all of them or none.
    @discardableResult
    package func register(
        _ sockets: [(descriptor: CInt, facts: SteerableSocket)], as label: Label, replacing: Bool = false
    ) throws(SteeringError) -> [RegisteredSocket] {
        try register(
            sockets.map { SocketPlacement.Candidate($0.descriptor, label, $0.facts) }, replacing: replacing)
    }

    /// Registers several sockets, as `register` and `replace` do for one: all of them or none.
    ///
    /// - Parameters:
    ///   - sockets: The sockets, each with its label.
    ///   - replacing: Whether they replace the sockets that the labels have.
    /// - Returns: Those of the sockets that are registered now, one entry for each destination.
    /// - Throws: As `register`.
    @discardableResult
    public func register(
        _ sockets: [(descriptor: CInt, label: Label)], replacing: Bool = false
    ) throws(SteeringError) -> [RegisteredSocket] {
        // Sockets that cannot be steered to are found before anything is changed.
        var candidates: [SocketPlacement.Candidate] = []
        for socket in sockets {
            let facts = try calls.inspect(socket.descriptor)
            candidates.append(SocketPlacement.Candidate(socket.descriptor, socket.label, facts))
        }
        return try register(candidates, replacing: replacing)
    }

    @discardableResult
    private func register(
        _ candidates: [SocketPlacement.Candidate], replacing: Bool
    ) throws(SteeringError) -> [RegisteredSocket] {
        try steering.changing { state throws(SteeringError) in
            for candidate in candidates { try state.namespace.check(candidate.descriptor) }
            let placement = try SocketPlacement(candidates, replacing: replacing) { destination throws(SteeringError) in
                guard let number = state.numbers[destination.label] else { return SocketSlots.empty }
                return try SocketSlots(state.plane).registrations(at: destination.number(labelNumber: number))
            }
            try assignNumbers(to: candidates.map(\.label), &state)
            let slots = SocketSlots(state.plane, calls)
            // Whatever became of the sockets. If removing stale records fails, the next call does it.
            defer { try? slots.forgetGone() }
            try placement.perform(state.numbers, in: slots)
            return placement.registered
        }
    }

    /// Unregisters all sockets of a label, which stay open.
    ///
    /// The label's options then decide whether its packets are refused or passed.
    ///
    /// - Parameter label: The label.
    /// - Throws: `socketNotRegistered` if the label has none; `detached`, `networkNamespaceGone`, `systemCall`; for a
    ///   loaded steering also `busy`, and as ``SocketSteering/open(_:bpffs:for:)``.
    public func unregister(_ label: Label) throws(SteeringError) {
        try remove(from: label) { _ in true }
    }

    /// Unregisters one socket of a label, which stays open.
    ///
    /// - Parameters:
    ///   - cookie: The socket's cookie.
    ///   - label: The label.
    /// - Throws: As ``unregister(_:)``; `socketNotRegistered` if this socket is not registered.
    public func unregister(_ cookie: SocketCookie, from label: Label) throws(SteeringError) {
        try remove(from: label) { $0 == cookie }
    }

    /// Returns the registered sockets by destination, each stand-in after the socket for which it stands in.
    ///
    /// - Returns: The sockets, ordered by destination.
    /// - Throws: `detached`, `networkNamespaceGone`, `systemCall`; for a loaded steering as
    ///   ``SocketSteering/open(_:bpffs:for:)``.
    public func list() throws(SteeringError) -> [RegisteredSocket] {
        try steering.reading { state throws(SteeringError) in
            let labels = state.numbers.byNumber
            let taken = try SocketSlots(state.plane).all().filter { !$0.registration.isStandby }.compactMap { taken in
                Destination(number: taken.destination, labels).map { ($0, taken.slot, taken.registration) }
            }
            var last: Destination?
            var seen: Set<SocketCookie> = []
            return taken.sorted { ($0.0, $0.1) < ($1.0, $1.1) }.compactMap { destination, _, registration in
                if last != destination { seen = [] }
                defer { last = destination }
                // If a command was killed while replacing sockets, one may be in two slots.
                guard seen.insert(registration.cookie).inserted else { return nil }
                return RegisteredSocket(
                    destination: destination, cookie: registration.cookie,
                    boundAddress: registration.boundAddress, isStandIn: last == destination,
                    isReuseport: registration.isReuseport)
            }
        }
    }

    /// Returns the label's destinations that have bindings but no socket, as where a pool has both families and the
    /// listener only one.
    ///
    /// - Parameter label: The label.
    /// - Returns: The destinations, none if every one has a socket.
    /// - Throws: As ``list()``.
    public func destinationsWithoutSocket(of label: Label) throws(SteeringError) -> [Destination] {
        let policy = try steering.policy
        let taken = Set(try list().map(\.destination))
        return Destination.all(of: label).filter { destination in
            !taken.contains(destination)
                && policy.bindings.contains {
                    $0.outcome == .label(label) && $0.prefix.family == destination.family
                        && $0.protocols.contains(destination.transport)
                }
        }
    }

    /// Assigns numbers to new labels, and puts them in force before a socket depends on them.
    private func assignNumbers(to labels: [Label], _ state: inout SocketSteering.State) throws(SteeringError) {
        var numbers = state.numbers
        let fresh = Set(labels.filter { numbers[$0] == nil })
        guard !fresh.isEmpty else { return }
        for label in fresh.sorted() { _ = try numbers.assign(label) }
        if state.isLoaded {
            // Other processes must know the numbers, too.
            try steering.install(state.policy, numbers, &state)
        } else {
            let counters = try Counters(state.plane)
            for label in fresh { try counters.reset(label: numbers[label]!) }
            state.numbers = numbers
        }
    }

    private func remove(
        from label: Label, where isMeant: (SocketCookie) -> Bool
    ) throws(SteeringError) {
        try steering.changing { state throws(SteeringError) in
            let slots = SocketSlots(state.plane)
            let labels = state.numbers.byNumber
            let meant = try slots.all().filter {
                Destination(number: $0.destination, labels)?.label == label && isMeant($0.registration.cookie)
            }
            guard meant.contains(where: { !$0.registration.isStandby }) else { throw .notRegistered(label) }
            for taken in meant {
                try settled { () throws(SteeringError) in try slots.clear(at: taken.destination, slot: taken.slot) }
            }
            try? slots.forgetGone()
        }
    }
}

extension SockMap {
    /// Registers sockets of another process, all of them or none.
    ///
    /// - Parameters:
    ///   - sockets: The sockets; they may be released afterwards.
    ///   - label: The label.
    ///   - replacing: Whether they replace the sockets that the label has.
    /// - Returns: Those of the sockets that are registered now, one entry for each destination.
    /// - Throws: As ``register(_:replacing:)``.
    @discardableResult
    public func register(
        _ sockets: [ProcessSocket], as label: Label, replacing: Bool = false
    ) throws(SteeringError) -> [RegisteredSocket] {
        // Optimized code may release the sockets, which closes the duplicates, as soon as it has their descriptors.
        try withExtendedLifetime(sockets) { () throws(SteeringError) in
            try register(sockets.map { ($0.socket.rawValue, label) }, replacing: replacing)
        }
    }

    /// Registers a socket that the caller owns.
    ///
    /// - Parameters:
    ///   - socket: The socket; it may be closed as long as it has another descriptor.
    ///   - label: The label.
    /// - Throws: As ``register(_:replacing:)``.
    public func register(_ socket: borrowing OwnedDescriptor, as label: Label) throws(SteeringError) {
        try register(socket.rawValue, as: label)
    }

    /// Registers a socket that the caller owns, in place of those that the label has for its protocol and families.
    ///
    /// - Parameters:
    ///   - socket: The socket; it may be closed as long as it has another descriptor.
    ///   - label: The label.
    /// - Throws: As ``register(_:replacing:)``, except `destinationOccupied`.
    public func replace(_ socket: borrowing OwnedDescriptor, as label: Label) throws(SteeringError) {
        try replace(socket.rawValue, as: label)
    }
}

extension SteeringError {
    static func occupied(_ destination: Destination) -> SteeringError {
        SteeringError(
            .destinationOccupied,
            "destination \(destination) already has a socket, which is not in this one's SO_REUSEPORT group: unregister it, or replace it"
        )
    }

    package static func notRegistered(_ label: Label) -> SteeringError {
        SteeringError(
            .socketNotRegistered, "no such socket is registered as \(label): list the sockets to see those that are")
    }
}
