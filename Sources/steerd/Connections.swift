import Glibc
import Steering

/// A client's connection.
final class Connection {
    let socket: MessageSocket
    /// What steerd calls it.
    let number: UInt64
    let user: uid_t
    var lastActive = ContinuousClock.now
    /// The turn in which it was served.
    var served: UInt64 = 0
    /// Whether descriptors were sent that it may not have received yet.
    private var hasDescriptors = false

    init(_ socket: MessageSocket, _ number: UInt64, _ user: uid_t) {
        self.socket = socket
        self.number = number
        self.user = user
    }

    var rawValue: CInt { socket.socket.rawValue }

    func send(_ reply: [UInt8], _ descriptors: [CInt]) throws(SteeringError) {
        try socket.send(reply, descriptors)
        hasDescriptors = !descriptors.isEmpty
    }

    /// Whether descriptors are on their way. They stay there when the connection is closed here, until the client
    /// closes it; while it is open they count as the client's.
    func keepsDescriptors() -> Bool {
        if hasDescriptors, !socket.hasUnread { hasDescriptors = false }
        return hasDescriptors
    }
}

/// The connections of an attendant, of whom, and which has to go when there are too many.
struct Connections {
    private var byDescriptor: [CInt: Connection] = [:]
    private var byUser: [uid_t: [Connection]] = [:]

    var isEmpty: Bool { byDescriptor.isEmpty }

    subscript(descriptor: CInt) -> Connection? { byDescriptor[descriptor] }

    /// Adds one, in the place of another where there are too many already.
    ///
    /// - Returns: Whether there is room, and the one that was closed for it.
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

    /// The kernel tells no more of one that is closed, and closes it with the last reference.
    mutating func close(_ connection: Connection) {
        guard byDescriptor.removeValue(forKey: connection.rawValue) != nil else { return }
        byUser[connection.user]?.removeAll { $0 === connection }
        if byUser[connection.user]?.isEmpty == true { byUser[connection.user] = nil }
    }

    /// Closes those that have been silent for long.
    mutating func closeSilent() -> [Connection] {
        let limit = ContinuousClock.now - Limits.silence
        let silent = byDescriptor.values.filter { $0.lastActive < limit && !$0.keepsDescriptors() }
        for connection in silent { close(connection) }
        return silent
    }

    /// Closes the one that has been silent for the longest.
    private mutating func closeSilent(of some: some Sequence<Connection>) -> Connection? {
        let candidates = some.filter { !$0.keepsDescriptors() }
        guard let silent = candidates.min(by: { $0.lastActive < $1.lastActive }) else { return nil }
        close(silent)
        return silent
    }
}
