import Glibc
import Steering

/// A client's connection.
final class Connection {
    let socket: MessageSocket
    let user: uid_t
    var lastActive = ContinuousClock.now
    /// The turn in which it was served.
    var served: UInt64 = 0
    /// Whether descriptors were sent that it may not have received yet.
    private var hasDescriptors = false

    init(_ socket: MessageSocket, _ user: uid_t) {
        self.socket = socket
        self.user = user
    }

    var rawValue: CInt { socket.socket.rawValue }

    func send(_ reply: ActivationReply, _ descriptors: [CInt]) throws(SteeringError) {
        try socket.send(reply.bytes, descriptors)
        hasDescriptors = !descriptors.isEmpty
    }

    /// Whether descriptors are on their way. They stay there when the connection is closed here, until the client
    /// closes it; while it is open they count as the client's.
    func keepsDescriptors() -> Bool {
        if hasDescriptors, !socket.hasUnread { hasDescriptors = false }
        return hasDescriptors
    }
}

/// The connections there are, of whom, and which has to go when there are too many.
struct Connections {
    private let limits: Limits
    private var byDescriptor: [CInt: Connection] = [:]
    private var byUser: [uid_t: [Connection]] = [:]

    init(_ limits: Limits) { self.limits = limits }

    var isEmpty: Bool { byDescriptor.isEmpty }

    subscript(descriptor: CInt) -> Connection? { byDescriptor[descriptor] }

    /// Adds one, in the place of another where there are too many already.
    ///
    /// - Returns: Whether there is room.
    mutating func add(_ connection: Connection) -> Bool {
        let own = byUser[connection.user] ?? []
        if own.count >= limits.connectionsPerUser {
            guard closeSilent(of: own) else { return false }
        } else if byDescriptor.count >= limits.connections {
            guard closeSilent(of: byDescriptor.values) else { return false }
        }
        byDescriptor[connection.rawValue] = connection
        byUser[connection.user, default: []].append(connection)
        return true
    }

    /// The kernel tells no more of one that is closed, and closes it with the last reference.
    mutating func close(_ connection: Connection) {
        guard byDescriptor.removeValue(forKey: connection.rawValue) != nil else { return }
        byUser[connection.user]?.removeAll { $0 === connection }
        if byUser[connection.user]?.isEmpty == true { byUser[connection.user] = nil }
    }

    /// Closes those that have been silent for long.
    mutating func closeSilent() {
        let limit = ContinuousClock.now - limits.silence
        for connection in byDescriptor.values where connection.lastActive < limit && !connection.keepsDescriptors() {
            close(connection)
        }
    }

    /// Closes the one that has been silent for the longest.
    private mutating func closeSilent(of some: some Sequence<Connection>) -> Bool {
        let candidates = some.filter { !$0.keepsDescriptors() }
        guard let silent = candidates.min(by: { $0.lastActive < $1.lastActive }) else { return false }
        close(silent)
        return true
    }
}
