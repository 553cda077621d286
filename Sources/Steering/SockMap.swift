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
        try add(descriptor, as: label) { destination, slots, socket throws(SteeringError) in
            let others = slots.compactMap { $0 }
            if others.contains(where: { $0.cookie == socket.cookie }) { return nil }
            if others.isEmpty { return 0 }
            guard others.contains(where: { $0.isGroup(with: socket) }) else { throw .occupied(destination) }
            return slots.firstIndex(of: nil)
        }
    }

    /// Registers a socket in place of those that the label has for its protocol and families.
    ///
    /// One step: each packet finds the former socket or the new one. Connections that wait in the former
    /// one's queue stay there, for its owner to accept.
    ///
    /// - Throws: As `register`, except `destinationOccupied`.
    public func replace(_ descriptor: CInt, as label: Label) throws(SteeringError) {
        try add(descriptor, as: label, clearing: true) { _, slots, socket in
            slots[0]?.cookie == socket.cookie ? nil : 0
        }
    }

    /// Registers several sockets, as `register` and `replace` do one: all of them, or none.
    ///
    /// - Parameters:
    ///   - sockets: The sockets, each with its label.
    ///   - replacing: Whether they take the place of those that the labels have.
    /// - Returns: What is registered of them now, once for each destination.
    /// - Throws: As `register`. Sockets that were replaced until then do not come back.
    @discardableResult
    public func register(
        _ sockets: [(descriptor: CInt, label: Label)], replacing: Bool = false
    ) throws(SteeringError) -> [RegisteredSocket] {
        // Those that cannot be steered to are found before anything is changed.
        var steerable: [SteerableSocket] = []
        for socket in sockets { steerable.append(try SteerableSocket(socket.descriptor)) }
        let own = Set(zip(sockets, steerable).map { Registered(cookie: $1.cookie, label: $0.label) })
        func registered() throws(SteeringError) -> [RegisteredSocket] {
            try list().filter { own.contains(Registered(cookie: $0.cookie, label: $0.destination.label)) }
        }
        let former = Set(try registered())
        var replaced: Set<Destination> = []
        do throws(SteeringError) {
            for (socket, facts) in zip(sockets, steerable) {
                let destinations = facts.families.map { Destination(socket.label, $0, facts.transport) }
                // Members of a group stand beside the first that took the place.
                if replacing, replaced.isDisjoint(with: destinations) {
                    replaced.formUnion(destinations)
                    try replace(socket.descriptor, as: socket.label)
                } else {
                    try register(socket.descriptor, as: socket.label)
                }
            }
        } catch {
            for done in (try? registered()) ?? [] where !former.contains(done) {
                try? unregister(done.cookie, from: done.destination.label)
            }
            throw error
        }
        return try registered()
    }

    private struct Registered: Hashable {
        let cookie: SocketCookie
        let label: Label
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
            let taken = try SocketSlots(state.plane).all().compactMap { taken in
                Destination(number: taken.destination, labels).map { ($0, taken.slot, taken.registration) }
            }
            var last: Destination?
            return taken.sorted { ($0.0, $0.1) < ($1.0, $1.1) }.map { destination, _, registration in
                defer { last = destination }
                return RegisteredSocket(
                    destination: destination, cookie: registration.cookie,
                    boundAddress: registration.boundAddress, isStandIn: last == destination,
                    isReuseport: registration.isReuseport)
            }
        }
    }

    /// Puts a socket into the slot of each of its destinations that `choose` names; all or none.
    private func add(
        _ descriptor: CInt, as label: Label, clearing: Bool = false,
        choose: (Destination, [Registration?], Registration) throws(SteeringError) -> Int?
    ) throws(SteeringError) {
        let socket = try SteerableSocket(descriptor)
        try steering.changing { state throws(SteeringError) in
            try state.namespace.check(descriptor)
            let slots = SocketSlots(state.plane)
            let labelNumber = try number(of: label, &state)

            var places: [(destination: UInt32, slot: Int)] = []
            var surplus: [(destination: UInt32, slot: Int)] = []
            for family in socket.families {
                let destination = Destination(label, family, socket.transport)
                let number = destination.number(labelNumber: labelNumber)
                let taken = try slots.registrations(at: number)
                if let slot = try choose(destination, taken, socket.registration) { places.append((number, slot)) }
                if clearing {
                    for slot in 1..<taken.count where taken[slot] != nil { surplus.append((number, slot)) }
                }
            }
            for (index, place) in places.enumerated() {
                do throws(SteeringError) {
                    try slots.set(descriptor, socket.registration, at: place.destination, slot: place.slot)
                } catch {
                    // The first succeeded for the other family: a replaced socket cannot come back, but a
                    // kernel that takes a socket for one family takes it for both.
                    for done in places[..<index] { try slots.clear(at: done.destination, slot: done.slot) }
                    throw error
                }
            }
            for place in surplus { try slots.clear(at: place.destination, slot: place.slot) }
            try slots.forgetGone()
        }
    }

    /// A label's number; a new one is put in force before a socket depends on it.
    private func number(
        of label: Label, _ state: inout SocketSteering.State
    ) throws(SteeringError) -> UInt32 {
        if let number = state.numbers[label] { return number }
        var numbers = state.numbers
        let number = try numbers.assign(label)
        if state.pinned != nil {
            // Other processes must know it, too.
            try steering.install(state.policy, numbers, &state)
        } else {
            try Counters(state.plane).reset(label: number)
            state.numbers = numbers
        }
        return number
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
            guard !meant.isEmpty else { throw .notRegistered(label) }
            for taken in meant { try slots.clear(at: taken.destination, slot: taken.slot) }
            try slots.forgetGone()
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
