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
        try add(descriptor, as: label) { destination, cookies, socket, known throws(SteeringError) in
            if cookies.contains(socket.cookie) { return nil }
            let others = cookies.compactMap { $0 }
            if others.isEmpty { return 0 }
            guard others.contains(where: { known[$0]?.isGroup(with: socket) ?? false }) else {
                throw .occupied(destination)
            }
            return cookies.firstIndex(of: nil)
        }
    }

    /// Registers a socket in place of those that the label has for its protocol and families.
    ///
    /// One step: each packet finds the former socket or the new one. Connections that wait in the former
    /// one's queue stay there, for its owner to accept.
    ///
    /// - Throws: As `register`, except `destinationOccupied`.
    public func replace(_ descriptor: CInt, as label: Label) throws(SteeringError) {
        try add(descriptor, as: label, clearing: true) { _, cookies, socket, _ in
            cookies[0] == socket.cookie ? nil : 0
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
        try steering.whileAttached { state throws(SteeringError) in
            var sockets: [RegisteredSocket] = []
            for label in state.numbers.labels.sorted() {
                for found in try steering.sockets(of: label, state.numbers) {
                    guard let socket = state.registered[label]?[found.cookie] else { continue }
                    sockets.append(
                        RegisteredSocket(
                            destination: found.destination, cookie: found.cookie, boundAddress: socket.localAddress,
                            isStandIn: sockets.last?.destination == found.destination))
                }
            }
            return sockets
        }
    }

    /// Puts a socket into the slot of each of its destinations that `choose` names; all or none.
    private func add(
        _ descriptor: CInt, as label: Label, clearing: Bool = false,
        choose: (Destination, [SocketCookie?], SteerableSocket, [SocketCookie: SteerableSocket]) throws(SteeringError)
            -> Int?
    ) throws(SteeringError) {
        let socket = try SteerableSocket(descriptor)
        try steering.namespace.check(descriptor)
        try steering.whileAttached { state throws(SteeringError) in
            let slots = SocketSlots(steering.plane)
            let known = state.registered[label] ?? [:]
            var numbers = state.numbers
            let isNew = numbers[label] == nil
            let labelNumber = try numbers.assign(label)

            var places: [(destination: UInt32, slot: Int)] = []
            var surplus: [(destination: UInt32, slot: Int)] = []
            for family in socket.families {
                let destination = Destination(label, family, socket.transport)
                let number = destination.number(labelNumber: labelNumber)
                let cookies = try slots.cookies(at: number)
                if let slot = try choose(destination, cookies, socket, known) { places.append((number, slot)) }
                if clearing {
                    for slot in 1..<cookies.count where cookies[slot] != nil { surplus.append((number, slot)) }
                }
            }
            if isNew { try steering.resetCounters(labelNumber) }
            for (index, place) in places.enumerated() {
                do throws(SteeringError) {
                    try slots.set(descriptor, at: place.destination, slot: place.slot)
                } catch {
                    // The first succeeded for the other family: a replaced socket cannot come back, but a
                    // kernel that takes a socket for one family takes it for both.
                    for done in places[..<index] { try slots.clear(at: done.destination, slot: done.slot) }
                    throw error
                }
            }
            for place in surplus { try slots.clear(at: place.destination, slot: place.slot) }
            state.numbers = numbers
            state.registered[label, default: [:]][socket.cookie] = socket
            try forgetClosed(label, &state)
        }
    }

    private func remove(
        from label: Label, where isMeant: (SocketCookie) -> Bool
    ) throws(SteeringError) {
        try steering.whileAttached { state throws(SteeringError) in
            let meant = try steering.sockets(of: label, state.numbers).filter { isMeant($0.cookie) }
            guard !meant.isEmpty else { throw .notRegistered(label) }
            for socket in meant { try SocketSlots(steering.plane).clear(at: socket.number, slot: socket.slot) }
            try forgetClosed(label, &state)
            if state.registered[label] == nil, !state.policy.labels.contains(label) { state.numbers.release(label) }
        }
    }

    /// Keeps what is known of a label's sockets to those that are in the map.
    private func forgetClosed(_ label: Label, _ state: inout SocketSteering.State) throws(SteeringError) {
        let present = Set(try steering.sockets(of: label, state.numbers).map(\.cookie))
        let known = state.registered[label, default: [:]].filter { present.contains($0.key) }
        state.registered[label] = known.isEmpty ? nil : known
    }
}

extension SockMap {
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

    static func notRegistered(_ label: Label) -> SteeringError {
        SteeringError(
            .socketNotRegistered, "no such socket is registered as \(label): see sockets.list() for those that are")
    }
}
