import Glibc
import Logging
import Steering

/// Lets clients in and answers what their attendants have received, on one thread: nobody waits for anybody.
///
/// A connection is accepted here, since an attendant that is stuck would keep the socket open that it listens at; nothing
/// is received from it, and it is not closed here while it may be the last to hold what the client has sent.
final class ConnectionLoop {
    private let listener: MessageListener
    private let control: Control
    private let keeper: SocketKeeper
    private let reception: Reception
    private let manager: ServiceManager?
    private let onDemand: OnDemand?
    private let logger: Logger
    private var poll: EventPoll
    private var nextSweep = ContinuousClock.now
    /// Until when nobody is let in, as there is no room; and whether that was said already.
    private var pauseEnd: ContinuousClock.Instant?
    private var isPauseTold = false
    /// When it ends, whatever clients still ask.
    private var end: ContinuousClock.Instant?

    /// For how long clients are let in before those who are in are answered.
    private static let longestAccepting = Duration.milliseconds(10)

    init(
        _ listener: MessageListener, _ control: Control, _ keeper: SocketKeeper, _ reception: Reception,
        _ manager: ServiceManager?, _ onDemand: OnDemand?, _ logger: Logger
    ) throws(SteeringError) {
        self.listener = listener
        self.control = control
        self.keeper = keeper
        self.reception = reception
        self.manager = manager
        self.onDemand = onDemand
        self.logger = logger
        poll = try EventPoll()
        try poll.watch(listener.socket.rawValue)
        try poll.watch(control.rawValue)
        try poll.watch(reception.rawValue)
        try poll.watch(reception.end)
        if let onDemand { try poll.watch(onDemand.rawValue) }
    }

    /// Returns when it is told to stop, and has answered what was asked until then.
    ///
    /// - Throws: Also when nobody can be made any more who talks to clients: whoever starts steerd again mends that.
    func run() throws(SteeringError) {
        let watchdog = ServiceManager.watchdogInterval().map { $0 / 2 }
        manager?.notify("READY=1\nSTATUS=\(keeper.status)")
        while true {
            // Attendants, the watchdog, services to be started again and the steering, which somebody may unload, are what it
            // wakes up for by itself.
            let now = ContinuousClock.now
            let waits = [
                reception.nextTurn, watchdog, onDemand?.nextTurn, pauseEnd.map { $0 - now }, end.map { $0 - now },
                ServiceState.interval,
            ]
            let ready = try poll.wait(waits.compactMap { $0 }.min().map { max($0, .zero) })
            if watchdog != nil { manager?.notify("WATCHDOG=1") }
            if ready.contains(reception.end) { throw .noAttendants }
            if ready.contains(control.rawValue) { obey(control.take()) }
            reception.turn { message, client in
                let (reply, descriptors) = keeper.answer(message, from: client)
                return (reply, descriptors, !keeper.knows(client.peer))
            }
            onDemand?.turn()
            keeper.lookAfterSteering()
            if let end {
                if reception.hasFinished || end < .now { return }
            } else if ready.contains(listener.socket.rawValue) {
                acceptSome()
            }
            resumeAccepting()
            if nextSweep < .now {
                nextSweep = .now + .seconds(1)
                reception.sweep()
            }
        }
    }

    private func obey(_ orders: (stop: Bool, reload: Bool)) {
        if orders.reload {
            manager?.notify("RELOADING=1\nMONOTONIC_USEC=\(ServiceManager.monotonicMicroseconds)")
            try? keeper.reload()
            manager?.notify("READY=1\nSTATUS=\(keeper.status)")
        }
        if orders.stop, end == nil {
            manager?.notify("STOPPING=1")
            // Clients that have connected by now are let in, too.
            acceptSome()
            if pauseEnd == nil { poll.forget(listener.socket.rawValue) }
            reception.finish()
            end = .now + .seconds(1)
        }
    }

    // MARK: - Clients come

    /// Takes clients in, many at a time: who connects without cease must not fill the queue that all wait in.
    private func acceptSome() {
        acceptMany()
        reception.beginServing()
    }

    private func acceptMany() {
        let end = ContinuousClock.now + Self.longestAccepting
        while .now < end {
            guard reception.hasRoom else { return pauseAccepting(for: .milliseconds(20)) }
            do throws(SteeringError) {
                guard let socket = try listener.accept(disposal: reception.disposal) else {
                    isPauseTold = false
                    return
                }
                reception.admit(socket, isKnown: keeper.knows, hasProcess: onDemand != nil)
            } catch {
                // No descriptor is left, most likely, and whoever comes waits in the queue: to try at once would be to
                // try for ever.
                if !isPauseTold {
                    logger.error(
                        "cannot accept, and tries again every second", metadata: ["message": "\(error.message)"])
                }
                isPauseTold = true
                return pauseAccepting(for: .seconds(1))
            }
        }
    }

    private func pauseAccepting(for pause: Duration) {
        if pauseEnd == nil { poll.forget(listener.socket.rawValue) }
        pauseEnd = .now + pause
    }

    private func resumeAccepting() {
        guard let pauseEnd, pauseEnd < .now, end == nil else { return }
        self.pauseEnd = nil
        do throws(SteeringError) { try poll.watch(listener.socket.rawValue) } catch {
            pauseAccepting(for: .seconds(1))
        }
    }
}

extension SteeringError {
    fileprivate static let noAttendants = SteeringError(
        .serviceUnavailable, "the process that makes those which talk to clients has ended: start steerd again")
}
