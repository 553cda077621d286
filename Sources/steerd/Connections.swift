import Glibc
import Steering

/// A client's connection.
final class Connection {
    let socket: MessageSocket
    /// Its number at steerd.
    let number: UInt64
    let user: uid_t
    var lastActive = ContinuousClock.now
    /// The last turn in which it was served.
    var served: UInt64 = 0
    /// The number of descriptors sent that the client may not have received yet.
    private var sentDescriptors = 0

    init(_ socket: MessageSocket, _ number: UInt64, _ user: uid_t) {
        self.socket = socket
        self.number = number
        self.user = user
    }

    var rawValue: CInt { socket.socket.rawValue }

    func send(_ reply: [UInt8], _ descriptors: [CInt]) throws(SteeringError) {
        try socket.send(reply, descriptors)
        sentDescriptors = descriptors.count
    }

    /// Whether descriptors are in flight. If the connection were closed here, they would stay so until the client
    /// closes its end; while it is open, it counts against the client's limit.
    func keepsDescriptors() -> Bool {
        descriptorsInFlight > 0
    }

    var descriptorsInFlight: Int {
        if sentDescriptors > 0, !socket.hasUnread { sentDescriptors = 0 }
        return sentDescriptors
    }
}

/// The connections of an attendant by user, and the choice of which to close when there are too many.
struct Connections {
    private var byDescriptor: [CInt: Connection] = [:]
    private var byUser: [uid_t: [Connection]] = [:]

    var isEmpty: Bool { byDescriptor.isEmpty }

    subscript(descriptor: CInt) -> Connection? { byDescriptor[descriptor] }

    /// Adds a connection, and closes another if there are too many.
    ///
    /// - Returns: Whether there is room, and the connection that was closed for it.
    mutating func add(_ connection: Connection) -> (hasRoom: Bool, closed: Connection?) {
        let own = byUser[connection.user] ?? []
        var closed: Connection?
        if own.count >= Limits.connectionsPerUser {
            closed = closeSilent(of: own)
            if closed == nil { return (false, nil) }
        } else if byDescriptor.count >= Limits.connectionsPerAttendant {
            closed = closeSilent(of: byDescriptor.values)
            if closed == nil { return (false, nil) }
        }
        byDescriptor[connection.rawValue] = connection
        byUser[connection.user, default: []].append(connection)
        return (true, closed)
    }

    /// Returns how many descriptors were sent to a user who has not received them.
    func descriptorsInFlight(of user: uid_t) -> Int {
        (byUser[user] ?? []).reduce(0) { $0 + $1.descriptorsInFlight }
    }

    /// Closes a connection: with the last reference, the kernel closes its descriptor and removes it from epoll.
    mutating func close(_ connection: Connection) {
        guard byDescriptor.removeValue(forKey: connection.rawValue) != nil else { return }
        byUser[connection.user]?.removeAll { $0 === connection }
        if byUser[connection.user]?.isEmpty == true { byUser[connection.user] = nil }
    }

    /// Closes connections that have been idle for too long.
    mutating func closeSilent() -> [Connection] {
        let limit = ContinuousClock.now - Limits.silence
        let silent = byDescriptor.values.filter { $0.lastActive < limit && !$0.keepsDescriptors() }
        for connection in silent { close(connection) }
        return silent
    }

    /// Closes the connection that has been idle for the longest.
    private mutating func closeSilent(of some: some Sequence<Connection>) -> Connection? {
        let candidates = some.filter { !$0.keepsDescriptors() }
        guard let silent = candidates.min(by: { $0.lastActive < $1.lastActive }) else { return nil }
        close(silent)
        return silent
    }
}
