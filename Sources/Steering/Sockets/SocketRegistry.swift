/// Registers a server's sockets: with the steering of its own process (``SockMap``), or with steerd
/// (``SteeringClient``), which needs no privilege.
///
/// The server's code is the same for both.
///
///     func serve(_ registry: some SocketRegistry) throws {
///         let listener = try OwnedDescriptor.listener(on: SocketAddress("127.0.0.1:0"))
///         try registry.registerSockets([listener.rawValue], as: "web", replacing: false)
///     }
///
/// Calls block until other writers are done or steerd answers: do not make them on an event loop.
public protocol SocketRegistry: Sendable {
    /// Registers sockets: from now on the label's packets go to them.
    ///
    /// - Parameters:
    ///   - descriptors: TCP listeners and bound UDP sockets. Those of one family and protocol must be members of one
    ///     SO_REUSEPORT group. They remain the caller's.
    ///   - label: The label.
    ///   - replacing: Whether they replace the sockets that the label has.
    /// - Throws: `destinationOccupied` unless replacing; for sockets that cannot be steered to, the codes of
    ///   ``SockMap``; with steerd also `notAllowed`, `unknownLabel`, `tooManySockets`, `serviceUnavailable` and `busy`.
    ///   Registering a socket again is not an error.
    func registerSockets(_ descriptors: [CInt], as label: Label, replacing: Bool) throws(SteeringError)

    /// Unregisters sockets of a label, which stay open. Connections and datagrams that wait in them remain there for
    /// their owner.
    ///
    /// - Parameters:
    ///   - descriptors: The sockets.
    ///   - label: The label.
    /// - Throws: `socketNotRegistered` if one of them is not registered: ``SockMap`` has then unregistered the others,
    ///   steerd none. With steerd also `notAllowed`, `serviceUnavailable` and `busy`.
    func unregisterSockets(_ descriptors: [CInt], from label: Label) throws(SteeringError)

    /// Returns the label's destinations that have bindings but no socket, as where a pool has both families and the
    /// listener only one.
    ///
    /// - Parameter label: The label.
    /// - Returns: The destinations; always none for a registry that does not know the bindings, such as a client of
    ///   steerd.
    /// - Throws: As ``SockMap/list()``.
    func destinationsWithoutSocket(of label: Label) throws(SteeringError) -> [Destination]
}

extension SocketRegistry {
    /// Returns no destinations, for registries that do not know the bindings.
    ///
    /// - Parameter label: The label.
    /// - Returns: An empty list.
    /// - Throws: Nothing.
    public func destinationsWithoutSocket(of label: Label) throws(SteeringError) -> [Destination] { [] }
}

extension SockMap: SocketRegistry {
    /// Registers sockets, all of them or none.
    ///
    /// - Parameters:
    ///   - descriptors: The sockets.
    ///   - label: The label.
    ///   - replacing: Whether they replace the sockets that the label has.
    /// - Throws: As ``register(_:replacing:)``.
    public func registerSockets(_ descriptors: [CInt], as label: Label, replacing: Bool) throws(SteeringError) {
        try register(descriptors.map { ($0, label) }, replacing: replacing)
    }

    /// Unregisters sockets of a label, which stay open.
    ///
    /// - Parameters:
    ///   - descriptors: The sockets.
    ///   - label: The label.
    /// - Throws: As ``unregister(_:from:)``, for the first that fails, after the others were unregistered.
    public func unregisterSockets(_ descriptors: [CInt], from label: Label) throws(SteeringError) {
        var failure: SteeringError?
        for descriptor in descriptors {
            do throws(SteeringError) {
                try unregister(SteerableSocket.cookie(descriptor), from: label)
            } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }
}

extension SteeringClient: SocketRegistry {
    /// Registers sockets with steerd, which holds them.
    ///
    /// - Parameters:
    ///   - descriptors: The sockets, 253 at most.
    ///   - label: The label.
    ///   - replacing: Whether they replace the sockets that the label has.
    /// - Throws: As `register`.
    public func registerSockets(_ descriptors: [CInt], as label: Label, replacing: Bool) throws(SteeringError) {
        try register(descriptors, as: label, replacing: replacing)
    }

    /// Unregisters sockets of a label, and has steerd close its duplicates.
    ///
    /// - Parameters:
    ///   - descriptors: The sockets, 253 at most.
    ///   - label: The label.
    /// - Throws: As ``unregister(_:_:)``.
    public func unregisterSockets(_ descriptors: [CInt], from label: Label) throws(SteeringError) {
        // An empty list would unregister all.
        if !descriptors.isEmpty { try unregister(label, descriptors) }
    }
}
