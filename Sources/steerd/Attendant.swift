import Glibc
import ServiceSupport
import Steering

/// Serves the clients of one user in a process of its own that steerd can afford to lose: receiving, inspecting and
/// closing descriptors can take as long as the client that sent them likes. steerd itself gets only messages, and
/// sockets that can be steered to.
///
/// Each turn answers at most one message per user, from the connection that was served least recently, so that a user
/// with many busy connections does not slow down others who share the attendant.
final class Attendant {
    private let steerd: MessageSocket
    private let takesDescriptors: Bool
    private var poll: EventPoll
    private var connections = Connections()
    /// Connections that steerd has not closed yet. If one were closed here first, steerd would have to close it, with
    /// everything queued in it.
    private var coming: [Connection] = []
    private var turn: UInt64 = 0
    private var nextSweep = ContinuousClock.now
    private var isFinishing = false

    init(_ steerd: MessageSocket, takesDescriptors: Bool) throws(SteeringError) {
        self.steerd = steerd
        self.takesDescriptors = takesDescriptors
        poll = try EventPoll()
        try poll.watch(steerd.socket.rawValue)
    }

    /// Serves until steerd has ended or no longer needs the attendant.
    func serve() throws(SteeringError) {
        while true {
            let ready = try poll.wait(isFinishing ? .zero : connections.isEmpty ? nil : .seconds(1))
            if isFinishing, ready.isEmpty {
                isFinishing = false
                try tell(.finished)
                continue
            }
            turn += 1
            if ready.contains(steerd.socket.rawValue) {
                guard let message = try receive() else { return }
                try obey(message)
            }
            try serve(ready.compactMap { connections[$0] })
            if nextSweep < .now {
                nextSweep = .now + .seconds(1)
                for connection in connections.closeSilent() { try tell(.gone(connection.number)) }
            }
        }
    }

    // MARK: - steerd

    private func receive() throws(SteeringError) -> MessageSocket.Message? {
        try steerd.receive(limit: ActivationReply.maximumSize + 64)
    }

    private func tell(_ report: AttendantReport) throws(SteeringError) {
        try steerd.send(report.bytes, report.descriptors)
    }

    private func obey(_ message: MessageSocket.Message) throws(SteeringError) {
        switch AttendantOrder(message.bytes) {
        case .take(let number, let user):
            guard let descriptor = message.descriptors.first else { return }
            coming.append(Connection(MessageSocket(descriptor), number, user))
        case .begin:
            try tell(.taken)
            for connection in coming { try begin(connection) }
            coming = []
        case .finish: isFinishing = true
        case .answer, nil: break
        }
    }

    private func begin(_ connection: Connection) throws(SteeringError) {
        let (hasRoom, closed) = connections.add(connection)
        if let closed { try tell(.gone(closed.number)) }
        if hasRoom {
            try poll.watch(connection.rawValue)
        } else {
            try? connection.send(ActivationReply(.tooManyConnections).bytes, [])
            try tell(.gone(connection.number))
        }
    }

    // MARK: - Clients

    /// Answers one message of each user.
    private func serve(_ ready: [Connection]) throws(SteeringError) {
        var served: Set<uid_t> = []
        for connection in ready.sorted(by: { $0.served < $1.served }) where served.insert(connection.user).inserted {
            connection.served = turn
            guard try !serve(connection) else { continue }
            connections.close(connection)
            try tell(.gone(connection.number))
        }
    }

    /// Answers one message, and returns whether the connection goes on.
    private func serve(_ connection: Connection) throws(SteeringError) -> Bool {
        do throws(SteeringError) {
            // Otherwise answers that the client does not read would pile up.
            if connection.socket.hasUnread {
                // With descriptors in flight it stays open, but is not read: see keepsDescriptors.
                guard connection.keepsDescriptors() else { return false }
                try poll.mute(connection.rawValue)
                return true
            }
            guard
                let message = try connection.socket.receive(
                    limit: ActivationRequest.maximumSize, takingDescriptors: takesDescriptors)
            else { return false }
            connection.lastActive = .now
            return try answer(connection, ClientMessage(message))
        } catch {
            return error.errno == EAGAIN
        }
    }

    /// Passes a message to steerd and its answer to the client. Descriptors in the message are closed last, once steerd
    /// has closed its own.
    private func answer(_ connection: Connection, _ message: ClientMessage) throws(SteeringError) -> Bool {
        do throws(SteeringError) { try tell(.asks(connection.number, message)) } catch {
            guard error.errno == ETOOMANYREFS else { leave() }
            try connection.send(ActivationReply(.tooManyInFlight).bytes, [])
            return true
        }
        defer { withExtendedLifetime(message) {} }
        while true {
            guard let answer = try? receive() else { leave() }
            guard case .answer(let reply, let isLast)? = AttendantOrder(answer.bytes) else {
                try obey(answer)
                continue
            }
            do throws(SteeringError) {
                // Optimized code would otherwise release the descriptors, which closes them, as soon as it has their
                // numbers.
                defer { withExtendedLifetime(answer) {} }
                try pass(reply, answer.descriptors.map(\.rawValue), to: connection)
            } catch {
                guard error.errno == ETOOMANYREFS else { throw error }
                try connection.send(ActivationReply(.tooManyInFlight).bytes, [])
            }
            return !isLast
        }
    }

    /// Sends an answer to a client, without descriptors if too many are in flight already.
    private func pass(
        _ reply: [UInt8], _ descriptors: [CInt], to connection: Connection
    ) throws(SteeringError) {
        guard !descriptors.isEmpty else { return try connection.send(reply, []) }
        let present = connections.descriptorsInFlight(of: connection.user)
        guard present + descriptors.count <= Limits.descriptorsInFlightPerUser else { throw .tooManyInFlight }
        try OpenFileLimit.lowered(toPart: Limits.partInFlight) { () throws(SteeringError) in
            try connection.send(reply, descriptors)
        }
    }

    /// Exits because steerd has ended.
    private func leave() -> Never { _exit(0) }
}

extension SteeringError {
    fileprivate static let tooManyConnections = SteeringError(
        .busy, "this user has as many connections as steerd allows: close some, and read their answers")
}
