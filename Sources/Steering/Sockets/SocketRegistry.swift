/// Where a server's sockets are registered: the steering of its own process (``SockMap``), or steerd
/// (``SteeringClient``), for which it needs no privilege. The server is the same for both.
///
///     func serve(_ registry: some SocketRegistry) throws {
///         let listener = try OwnedDescriptor.listener(on: SocketAddress("127.0.0.1:0"))
///         try registry.registerSockets([listener.rawValue], as: "web", replacing: false)
///     }
///
/// Calls wait, for other writers or for steerd's answer: not to be made on an event loop.
public protocol SocketRegistry: Sendable {
    /// Registers sockets: from now on the label's packets go to them.
    ///
    /// - Parameters:
    ///   - descriptors: TCP listeners and bound UDP sockets; of the same family and protocol only when they are of one
    ///     SO_REUSEPORT group. They stay the caller's.
    ///   - label: The label.
    ///   - replacing: Whether they take the place of those that the label has.
    /// - Throws: `destinationOccupied` unless replacing; for sockets that cannot be steered to, the codes of
    ///   ``SockMap``; at steerd also `notAllowed` and `serviceUnavailable`. A socket that is registered already is no
    ///   error.
    func registerSockets(_ descriptors: [CInt], as label: Label, replacing: Bool) throws(SteeringError)

    /// Takes sockets of a label out; they stay open. What waits in them stays there, for their owner.
    ///
    /// - Throws: `socketNotRegistered` when one is not there, after the others were taken out; at steerd also
    ///   `notAllowed` and `serviceUnavailable`.
    func unregisterSockets(_ descriptors: [CInt], from label: Label) throws(SteeringError)

    /// The families and protocols of a label that bindings lead to and that have no socket: a pool of both families, say,
    /// and a listener of one. None where the registry does not know the bindings, as steerd's clients do not.
    func destinationsWithoutSocket(of label: Label) throws(SteeringError) -> [Destination]
}

extension SocketRegistry {
    /// None.
    public func destinationsWithoutSocket(of label: Label) throws(SteeringError) -> [Destination] { [] }
}

extension SockMap: SocketRegistry {
    /// Registers sockets, all of them or none.
    public func registerSockets(_ descriptors: [CInt], as label: Label, replacing: Bool) throws(SteeringError) {
        try register(descriptors.map { ($0, label) }, replacing: replacing)
    }

    /// Takes sockets of a label out.
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
    /// Registers sockets, and has steerd hold them.
    public func registerSockets(_ descriptors: [CInt], as label: Label, replacing: Bool) throws(SteeringError) {
        try register(descriptors, as: label, replacing: replacing)
    }

    /// Takes sockets of a label out, and has steerd close its duplicates.
    public func unregisterSockets(_ descriptors: [CInt], from label: Label) throws(SteeringError) {
        // None would mean all.
        if !descriptors.isEmpty { try unregister(label, descriptors) }
    }
}
