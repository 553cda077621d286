/// Where the sockets of a running program are registered: the map of a steering, or steerd. Nobody but the program holds
/// them then, so that what it closes is closed, and gone from the map.
package protocol SocketLender: Sendable {
    /// Registers sockets.
    ///
    /// - Parameter replacing: Whether they take the place of those that the label has.
    func lend(_ sockets: [CInt], to label: Label, replacing: Bool) throws(SteeringError)

    /// Takes a socket out that others than the program still hold.
    func takeBack(_ socket: SocketCookie, from label: Label) throws(SteeringError)

    /// Has a ``StandbySocket`` take what comes where the label has no socket.
    func standBy(_ socket: CInt, for label: Label) throws(SteeringError)
}

extension SockMap: SocketLender {
    package func lend(_ sockets: [CInt], to label: Label, replacing: Bool) throws(SteeringError) {
        try register(sockets.map { ($0, label) }, replacing: replacing)
    }

    package func takeBack(_ socket: SocketCookie, from label: Label) throws(SteeringError) {
        try unregister(socket, from: label)
    }
}

extension SteeringClient: SocketLender {}
