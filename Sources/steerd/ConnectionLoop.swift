import Glibc
import Logging
import ServiceSupport
import Steering

/// Accepts clients and answers the requests that attendants pass on, in one thread that never waits for a client.
///
/// steerd itself accepts connections, since an attendant that is stuck would keep the listening socket open. It
/// receives nothing from them, and does not close one while it may have the last reference to descriptors that the
/// client has sent.
final class ConnectionLoop {
    private let listener: MessageListener
    private let control: Control
    private let keeper: SocketKeeper
    private let reception: Reception
    private let manager: Notifier?
    private let onDemand: OnDemand?
    private let logger: Logger
    private var poll: EventPoll
    private var nextSweep = ContinuousClock.now
    /// A client that could not be admitted yet.
    private var postponed: MessageSocket?
    /// When to accept again after a lack of room, and whether that lack has been logged.
    private var pauseEnd: ContinuousClock.Instant?
    private var isPauseTold = false
    /// When to end, even if clients still have requests; nil unless stopping.
    private var end: ContinuousClock.Instant?

    /// How long to accept clients before answering those already admitted.
    private static let longestAccepting = Duration.milliseconds(2)

    init(
        _ listener: MessageListener, _ control: Control, _ keeper: SocketKeeper, _ reception: Reception,
        _ deputy: Deputy, _ manager: Notifier?, _ onDemand: OnDemand?, _ logger: Logger
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
        try poll.watch(deputy.rawValue)
        if let onDemand { try poll.watch(onDemand.rawValue) }
    }

    /// Serves until it is ordered to stop and has answered all requests up to then.
    ///
    /// - Throws: `serviceUnavailable` if attendants can no longer be made, which a restart of steerd fixes;
    ///   `systemCall`.
    func run() throws(SteeringError) {
        manager?.notify("READY=1\nSTATUS=\(keeper.status)")
        while true {
            // It also wakes up without an event: for attendants, the watchdog, services to be started again, and to
            // check whether the steering has been unloaded.
            let now = ContinuousClock.now
            let waits = [
                reception.nextTurn, manager?.nextTurn, onDemand?.nextTurn, pauseEnd.map { $0 - now },
                end.map { $0 - now }, keeper.nextTurn, ServiceState.interval,
            ]
            let ready = try poll.wait(waits.compactMap { $0 }.min().map { max($0, .zero) })
            manager?.turn()
            if ready.contains(reception.end) { throw .noAttendants }
            if ready.contains(control.rawValue) { obey(control.take()) }
            reception.turn { message, client in
                let (reply, descriptors) = keeper.answer(message, from: client)
                return (reply, descriptors, keeper.standing(of: client.peer) == .stranger)
            }
            keeper.correct()
            onDemand?.turn()
            keeper.lookAfterSteering()
            if let end {
                if reception.hasFinished && manager?.isEmpty != false || end < .now { return }
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
            try? keeper.reloadEventually()
            manager?.notify("READY=1\nSTATUS=\(keeper.status)")
        }
        if orders.stop, end == nil {
            manager?.notify("STOPPING=1")
            // Clients that have connected by now are admitted, too.
            acceptSome()
            if pauseEnd == nil { poll.forget(listener.socket.rawValue) }
            reception.finish()
            end = .now + .seconds(1)
        }
    }

    // MARK: - Accepting clients

    /// Accepts many clients at a time: one that connects incessantly must not fill the queue in which all wait.
    private func acceptSome() {
        acceptMany()
        reception.beginServing()
    }

    private func acceptMany() {
        let end = ContinuousClock.now + Self.longestAccepting
        while .now < end {
            guard reception.hasRoom else { return pauseAccepting(for: .milliseconds(1)) }
            do throws(SteeringError) {
                guard let socket = try nextClient() else {
                    isPauseTold = false
                    return
                }
                let isAdmitted = reception.admit(
                    socket, standing: keeper.standing, groups: keeper.groups, hasProcess: onDemand != nil)
                postponed = isAdmitted ? nil : socket
                if !isAdmitted { return pauseAccepting(for: .milliseconds(20)) }
            } catch {
                // Most likely no descriptor is left. New clients stay in the queue; an immediate retry would loop
                // forever.
                if !isPauseTold {
                    logger.error(
                        "cannot accept; retrying every second", metadata: ["message": "\(error.message)"])
                }
                isPauseTold = true
                return pauseAccepting(for: .seconds(1))
            }
        }
    }

    private func nextClient() throws(SteeringError) -> MessageSocket? {
        if let postponed { return postponed }
        return try listener.accept(disposal: reception.disposal)
    }

    private func pauseAccepting(for pause: Duration) {
        if pauseEnd == nil { poll.forget(listener.socket.rawValue) }
        pauseEnd = .now + pause
    }

    private func resumeAccepting() {
        guard let pauseEnd, pauseEnd < .now, end == nil else { return }
        self.pauseEnd = nil
        do throws(SteeringError) { try poll.watch(listener.socket.rawValue) } catch {
            return pauseAccepting(for: .seconds(1))
        }
        if postponed != nil { acceptSome() }
    }
}

extension SteeringError {
    fileprivate static let noAttendants = SteeringError(
        .serviceUnavailable, "the process that creates attendants has ended: restart steerd")
}
