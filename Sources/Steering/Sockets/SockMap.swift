/// A socket that is registered for a destination.
public struct RegisteredSocket: Sendable, Hashable {
    /// What it is registered for.
    public let destination: Destination
    /// The kernel's identity of it.
    public let cookie: SocketCookie
    /// Where it was bound when it was registered.
    public let boundAddress: SocketAddress
    /// Whether it only stands in: another member of its SO_REUSEPORT group is registered before it, and
    /// the kernel spreads over the whole group.
    public let isStandIn: Bool
    /// Whether it has SO_REUSEPORT, so that others may be bound as it is.
    let isReuseport: Bool
}

/// The sockets that labels lead to: the map `sockets` (SOCKMAP).
///
/// The kernel keeps no registered socket open. When its last descriptor is closed it is gone from here,
/// and its label without a socket; a process that ends needs no clean-up.
public struct SockMap: Sendable {
    private let steering: SocketSteering

    init(_ steering: SocketSteering) { self.steering = steering }

    /// Registers a socket: from now on the label's packets go to it.
    ///
    /// A TCP socket must listen; a UDP socket must be bound and not connected. Where they are bound does
    /// not matter. A dual-stack IPv6 socket is registered for both families. Of a SO_REUSEPORT group each
    /// member should be registered: the kernel spreads over the group whichever of them it finds, and when
    /// one is closed another stands in. The first 16 are remembered; more are no error.
    ///
    /// The socket is not changed and stays the caller's. A socket that is registered already is no error.
    ///
    /// - Parameters:
    ///   - descriptor: The socket's descriptor; it may be closed when others of the same socket exist.
    ///   - label: The label; it may have bindings already or get them later.
    /// - Throws: `destinationOccupied` (`replace` takes the place); `invalidDescriptor`, `notASocket`,
    ///   `unixSocket`, `multipathTCP`, `udpLite`, `unsupportedProtocol`, `socketConnected`,
    ///   `socketNotListening`, `socketNotBound`, `foreignNetworkNamespace`; `tooManyLabels`, `detached`,
    ///   `networkNamespaceGone`.
    public func register(_ descriptor: CInt, as label: Label) throws(SteeringError) {
        try register([(descriptor, label)])
    }

    /// Registers a socket in place of those that the label has for its protocol and families.
    ///
    /// One step: each packet finds the former socket or the new one. Connections that wait in the former
    /// one's queue stay there, for its owner to accept.
    ///
    /// - Throws: As `register`, except `destinationOccupied`.
    public func replace(_ descriptor: CInt, as label: Label) throws(SteeringError) {
        try register([(descriptor, label)], replacing: true)
    }

    /// Has a socket take what comes for a label where the label has no other: behind those that are registered and will
    /// be, in the place of an earlier one of its kind. The lists do not show it.
    ///
    /// - Throws: As `register`.
    package func standBy(_ descriptor: CInt, for label: Label) throws(SteeringError) {
        let candidate = try SocketPlacement.Candidate(descriptor, label, isStandby: true)
        try register([candidate], replacing: false)
    }

    /// Registers several sockets, as `register` and `replace` do one: all of them, or none.
    ///
    /// - Parameters:
    ///   - sockets: The sockets, each with its label.
    ///   - replacing: Whether they take the place of those that the labels have.
    /// - Returns: What is registered of them now, once for each destination.
    /// - Throws: As `register`.
    @discardableResult
    public func register(
        _ sockets: [(descriptor: CInt, label: Label)], replacing: Bool = false
    ) throws(SteeringError) -> [RegisteredSocket] {
        // Those that cannot be steered to are found before anything is changed.
        var candidates: [SocketPlacement.Candidate] = []
        for socket in sockets { candidates.append(try SocketPlacement.Candidate(socket.descriptor, socket.label)) }
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
            let slots = SocketSlots(state.plane)
            try placement.perform(state.numbers, in: slots)
            // They are registered: what is remembered of others the next one forgets.
            try? slots.forgetGone()
            return placement.registered
        }
    }

    /// Takes every socket of a label out; without a socket, the label says what becomes of its packets.
    ///
    /// The sockets themselves stay open.
    ///
    /// - Throws: `socketNotRegistered` when the label has none; `detached`, `networkNamespaceGone`.
    public func unregister(_ label: Label) throws(SteeringError) {
        try remove(from: label) { _ in true }
    }

    /// Takes one socket of a label out.
    ///
    /// - Throws: `socketNotRegistered` when it is not there; `detached`, `networkNamespaceGone`.
    public func unregister(_ cookie: SocketCookie, from label: Label) throws(SteeringError) {
        try remove(from: label) { $0 == cookie }
    }

    /// The registered sockets, by destination, stand-ins behind the one they stand in for.
    ///
    /// - Throws: `detached`, `networkNamespaceGone`.
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
                // Where a command was killed that replaced sockets, one may be there twice.
                guard seen.insert(registration.cookie).inserted else { return nil }
                return RegisteredSocket(
                    destination: destination, cookie: registration.cookie,
                    boundAddress: registration.boundAddress, isStandIn: last == destination,
                    isReuseport: registration.isReuseport)
            }
        }
    }

    /// The families and protocols of a label that bindings lead to and that have no socket: a pool of both families, say,
    /// and a listener of one.
    ///
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

    /// Gives labels their numbers; new ones are put in force before a socket depends on them.
    private func assignNumbers(to labels: [Label], _ state: inout SocketSteering.State) throws(SteeringError) {
        var numbers = state.numbers
        let fresh = Set(labels.filter { numbers[$0] == nil })
        guard !fresh.isEmpty else { return }
        for label in fresh.sorted() { _ = try numbers.assign(label) }
        if state.pinned != nil {
            // Other processes must know them, too.
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
    /// Registers sockets of another process as a label, all of them or none.
    ///
    /// - Parameters:
    ///   - sockets: The sockets; they may be let go of afterwards.
    ///   - label: The label.
    ///   - replacing: Whether they take the place of those that the label has.
    /// - Returns: What is registered of them now, once for each destination.
    /// - Throws: As ``register(_:replacing:)``.
    @discardableResult
    public func register(
        _ sockets: [ProcessSocket], as label: Label, replacing: Bool = false
    ) throws(SteeringError) -> [RegisteredSocket] {
        // Optimised code may let go of them, which closes the duplicates, as soon as the descriptors are known.
        try withExtendedLifetime(sockets) { () throws(SteeringError) in
            try register(sockets.map { ($0.socket.rawValue, label) }, replacing: replacing)
        }
    }

    /// Registers a socket that is owned here.
    public func register(_ socket: borrowing OwnedDescriptor, as label: Label) throws(SteeringError) {
        try register(socket.rawValue, as: label)
    }

    /// Registers a socket that is owned here in place of others.
    public func replace(_ socket: borrowing OwnedDescriptor, as label: Label) throws(SteeringError) {
        try replace(socket.rawValue, as: label)
    }
}

extension SteeringError {
    static func occupied(_ destination: Destination) -> SteeringError {
        SteeringError(
            .destinationOccupied,
            "destination \(destination) has a socket already, which is not of this one's SO_REUSEPORT group: unregister it, or replace it"
        )
    }

    package static func notRegistered(_ label: Label) -> SteeringError {
        SteeringError(
            .socketNotRegistered, "no such socket is registered as \(label): list the sockets for those that are")
    }
}
