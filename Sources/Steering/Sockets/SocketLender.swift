/// Registers the sockets of a running program, with a steering's map or with steerd. Only the program holds them, so a
/// socket that it closes is gone from the map, too.
package protocol SocketLender: Sendable {
    /// Registers sockets without keeping a duplicate; if `replacing`, in place of those that the label has.
    func lend(_ sockets: [CInt], to label: Label, replacing: Bool) throws(SteeringError)

    /// Unregisters a socket that other processes than the program still hold.
    func takeBack(_ socket: SocketCookie, from label: Label) throws(SteeringError)

    /// Registers a ``StandbySocket``, which receives packets while the label has no other socket.
    func standBy(_ socket: CInt, for label: Label) throws(SteeringError)

    /// Returns the number of what is loaded, which changes when it is unloaded and loaded again: then all registrations
    /// are lost. Nil if it is unknown.
    ///
    /// - Throws: `notLoaded`; others if it may be known later.
    func attachment() throws(SteeringError) -> UInt32?
}

extension SockMap: SocketLender {
    package func lend(_ sockets: [CInt], to label: Label, replacing: Bool) throws(SteeringError) {
        try register(sockets.map { ($0, label) }, replacing: replacing)
    }

    package func takeBack(_ socket: SocketCookie, from label: Label) throws(SteeringError) {
        try unregister(socket, from: label)
    }

    package func attachment() throws(SteeringError) -> UInt32? { try steering.attachment() }
}

extension SteeringClient: SocketLender {}
