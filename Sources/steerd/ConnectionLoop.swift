import Glibc
import Logging
import Steering

/// Serves clients on one thread: nobody waits for anybody.
///
/// In each turn every user gets one message answered at most, of the connection that was served least recently: a user
/// with many connections that never cease slows down nobody else.
final class ConnectionLoop {
    private let listener: MessageListener
    private let control: Control
    private let keeper: SocketKeeper
    private let manager: ServiceManager?
    private let onDemand: OnDemand?
    private let logger: Logger
    private var poll: EventPoll
    private var connections: Connections
    private var turn: UInt64 = 0
    private var nextSweep = ContinuousClock.now
    /// When it ends, whatever clients still ask.
    private var end: ContinuousClock.Instant?

    init(
        _ listener: MessageListener, _ control: Control, _ keeper: SocketKeeper, _ manager: ServiceManager?,
        _ onDemand: OnDemand?, _ limits: Limits, _ logger: Logger
    ) throws(SteeringError) {
        self.listener = listener
        self.control = control
        self.keeper = keeper
        self.manager = manager
        self.onDemand = onDemand
        connections = Connections(limits)
        self.logger = logger
        poll = try EventPoll()
        try poll.watch(listener.socket.rawValue)
        try poll.watch(control.rawValue)
        if let onDemand { try poll.watch(onDemand.rawValue) }
    }

    /// Returns when it is told to stop, and has answered what was asked until then.
    func run() throws(SteeringError) {
        let watchdog = ServiceManager.watchdogInterval().map { $0 / 2 }
        manager?.notify("READY=1\nSTATUS=\(keeper.status)")
        while true {
            // Silent connections, the watchdog, services to be started again and the steering, which somebody may unload,
            // are what it wakes up for by itself.
            let sweep: Duration? = connections.isEmpty ? nil : .seconds(1)
            let pause = [sweep, watchdog, onDemand?.nextTurn, ServiceState.interval].compactMap { $0 }.min()
            let ready = try poll.wait(end == nil ? pause : .zero)
            if let end, ready.isEmpty || end < .now { return }
            if watchdog != nil { manager?.notify("WATCHDOG=1") }
            turn += 1
            if ready.contains(control.rawValue) { obey(control.take()) }
            serve(ready.compactMap { connections[$0] })
            onDemand?.turn()
            keeper.lookAfterSteering()
            if end == nil, ready.contains(listener.socket.rawValue) { acceptSome() }
            if nextSweep < .now {
                nextSweep = .now + .seconds(1)
                connections.closeSilent()
            }
        }
    }

    private func obey(_ orders: (stop: Bool, reload: Bool)) {
        if orders.reload {
            manager?.notify("RELOADING=1\nMONOTONIC_USEC=\(ServiceManager.monotonicMicroseconds)")
            try? keeper.reload()
            manager?.notify("READY=1\nSTATUS=\(keeper.status)")
        }
        if orders.stop {
            manager?.notify("STOPPING=1")
            end = .now + .seconds(1)
        }
    }

    /// Answers a message of each user.
    private func serve(_ ready: [Connection]) {
        var served: Set<uid_t> = []
        for connection in ready.sorted(by: { $0.served < $1.served }) where served.insert(connection.user).inserted {
            connection.served = turn
            if !serve(connection) { connections.close(connection) }
        }
    }

    /// - Returns: Whether the connection goes on.
    private func serve(_ connection: Connection) -> Bool {
        do throws(SteeringError) {
            // Answers that nobody reads would pile up.
            if connection.socket.hasUnread {
                // One with descriptors stays open, and unheard: see keepsDescriptors.
                guard connection.keepsDescriptors() else { return false }
                try poll.mute(connection.rawValue)
                return true
            }
            let peer = try connection.socket.peer()
            let isKnown = keeper.knows(peer)
            guard
                let message = try connection.socket.receive(
                    limit: ActivationRequest.maximumSize, takingDescriptors: isKnown)
            else { return false }
            connection.lastActive = .now
            let (reply, descriptors) = keeper.answer(message, from: peer, process: connection.socket.process)
            do throws(SteeringError) {
                try connection.send(reply, descriptors)
            } catch {
                guard error.errno == ETOOMANYREFS else { throw error }
                try connection.send(ActivationReply(.tooManyInFlight), [])
            }
            return isKnown
        } catch {
            return error.errno == EAGAIN
        }
    }

    /// Takes clients in, many at a time: who connects without cease must not fill the queue that all wait in.
    private func acceptSome() {
        for _ in 0..<1024 {
            do throws(SteeringError) {
                guard let socket = try listener.accept() else { return }
                let connection = Connection(socket, try socket.user())
                if connections.add(connection) {
                    try poll.watch(socket.socket.rawValue)
                } else {
                    try connection.send(ActivationReply(.tooManyConnections), [])
                }
            } catch {
                return logger.error("cannot accept", metadata: ["message": "\(error.message)"])
            }
        }
    }
}

extension SteeringError {
    fileprivate static let tooManyConnections = SteeringError(
        .busy, "this user has as many connections to steerd as it serves: close some, and read their answers")

    fileprivate static let tooManyInFlight = SteeringError(
        .busy, "too many descriptors are on their way to clients that do not receive them: try again")
}
