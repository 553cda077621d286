import Logging
import ServiceSupport
import Steering

/// Starts a label's service when a connection or datagram waits in a socket held for it and no process serves: neither
/// a started one, nor one that registered or claimed one of the label's sockets.
final class OnDemand {
    /// The connection to the process that starts services.
    private let starter: MessageSocket
    private let logger: Logger
    private let manager: Notifier?
    private var poll: EventPoll
    private var standbys: [Label: Standby] = [:]
    private(set) var starts = Counts<Label>()

    /// A label with a start command.
    private struct Standby {
        var sockets: [SharedDescriptor] = []
        /// The watched sockets: all of the label's, or none.
        var watched: [SharedDescriptor] = []
        /// The processes that serve, by number; each descriptor is readable when its process ends.
        var processes: [Int32: SharedDescriptor] = [:]
        var isStarting = false
        /// The number of failures in a row, and the earliest time for the next start.
        var failures = 0
        var earliest = ContinuousClock.now
        var lastStart = ContinuousClock.now

        /// A process that ends before this has failed.
        static let shortestRun = Duration.seconds(10)
        static let longestPause = Duration.seconds(60)

        var isUnserved: Bool { processes.isEmpty && !isStarting && !sockets.isEmpty }

        mutating func ends() {
            if .now - lastStart > Self.shortestRun { failures = 0 }
        }

        mutating func starts() {
            isStarting = true
            lastStart = .now
            earliest = .now + min(.seconds(1 << min(failures, 6)), Self.longestPause)
            failures += 1
        }
    }

    init(
        _ starter: MessageSocket, labels: Set<Label>, _ manager: Notifier?, _ logger: Logger
    ) throws(SteeringError) {
        self.starter = starter
        self.manager = manager
        self.logger = logger
        try OwnedDescriptor.setNonblocking(starter.socket.rawValue)
        poll = try EventPoll()
        try poll.watch(starter.socket.rawValue)
        for label in labels { standbys[label] = Standby() }
    }

    /// Readable when ``turn()`` has something to do.
    var rawValue: CInt { poll.rawValue }

    /// The time until the next pause ends; nil if there is none.
    var nextTurn: Duration? {
        standbys.values.filter { $0.isUnserved && $0.watched.isEmpty }.map { max($0.earliest - .now, .zero) }.min()
    }

    /// Replaces the sockets that are held for a label.
    func hold(_ sockets: [SharedDescriptor], _ label: Label) {
        guard standbys[label] != nil else { return }
        forget(label)
        standbys[label]!.sockets = sockets
        watch(label)
    }

    /// Records a process that serves a label's sockets, until it ends.
    func serves(_ label: Label, _ pid: Int32, _ process: SharedDescriptor) {
        guard let standby = standbys[label] else { return }
        standbys[label]!.failures = 0
        guard standby.processes[pid] == nil, standby.processes.count < Limits.processesPerLabel else { return }
        add(process, pid, to: label)
    }

    /// Has the starter reread its commands, which may have changed.
    func reload() {
        try? starter.send(Array("reload".utf8))
    }

    /// Handles the events that are ready.
    func turn() {
        for descriptor in (try? poll.wait(.zero)) ?? [] {
            if descriptor == starter.socket.rawValue {
                listen()
            } else if let (label, pid) = process(descriptor) {
                poll.forget(descriptor)
                standbys[label]!.processes[pid] = nil
                standbys[label]!.ends()
                manager?.forget(StoredName(label, .process(pid)))
                watch(label)
            } else if let label = standbys.first(where: { $0.value.watched.contains { $0.rawValue == descriptor } })?
                .key
            {
                start(label)
            }
        }
        for label in standbys.keys { watch(label) }
    }

    // MARK: - Starting

    private func start(_ label: Label) {
        forget(label)
        standbys[label]!.starts()
        starts.add(label)
        do throws(SteeringError) {
            try starter.send(Array("start \(label)".utf8), standbys[label]!.sockets.map(\.rawValue))
        } catch {
            standbys[label]!.isStarting = false
            logger.error("cannot start", metadata: ["label": "\(label)", "message": "\(error.message)"])
        }
    }

    /// Reads a report from the starter.
    private func listen() {
        guard let received = try? starter.receive(limit: 1024) else {
            logger.error("the process that starts services has ended: restart steerd to start them on demand")
            return poll.forget(starter.socket.rawValue)
        }
        let words = String(decoding: received.bytes, as: UTF8.self).split(separator: " ", maxSplits: 2)
        guard words.count == 3, let label = try? Label(words[1]), standbys[label] != nil else { return }
        switch words[0] {
        case "started":
            standbys[label]!.isStarting = false
            if let pid = Int32(words[2]), let process = received.descriptors.first { add(process, pid, to: label) }
            logger.info("started", metadata: ["label": "\(label)", "process": "\(words[2])"])
        case "failed":
            standbys[label]!.isStarting = false
            logger.error("cannot start", metadata: ["label": "\(label)", "message": "\(words[2])"])
        default:
            logger.info("ended", metadata: ["label": "\(label)", "how": "\(words[2])"])
        }
    }

    // MARK: - Watching

    private func add(_ process: SharedDescriptor, _ pid: Int32, to label: Label) {
        forget(label)
        standbys[label]!.processes[pid] = process
        try? poll.watch(process.rawValue)
        // For the next steerd, which must not start a service that runs.
        manager?.store(process, as: StoredName(label, .process(pid)))
    }

    private func process(_ descriptor: CInt) -> (Label, Int32)? {
        for (label, standby) in standbys {
            for (pid, process) in standby.processes where process.rawValue == descriptor { return (label, pid) }
        }
        return nil
    }

    /// Watches a label's sockets if no process serves and no pause is in effect.
    private func watch(_ label: Label) {
        guard let standby = standbys[label], standby.isUnserved, standby.watched.isEmpty, standby.earliest <= .now
        else { return }
        for socket in standby.sockets { try? poll.watch(socket.rawValue) }
        standbys[label]!.watched = standby.sockets
    }

    private func forget(_ label: Label) {
        for socket in standbys[label]!.watched { poll.forget(socket.rawValue) }
        standbys[label]!.watched = []
    }
}
