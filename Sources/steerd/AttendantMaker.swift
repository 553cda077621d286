import Glibc
import Steering

/// The process that makes attendants and bins: a copy of steerd from before it had anything to lose, without capabilities.
/// What it makes are copies of it in turn.
final class AttendantMaker: Sendable {
    /// What such a process does.
    enum Task: String {
        /// Talks to clients, and takes the descriptors that they send.
        case attend
        /// Talks to clients who may use nothing: what they send is not received.
        case turnAway
        /// Closes descriptors.
        case close
    }

    /// A process that was made, and the connection to it, which does not block here.
    struct Made {
        let channel: MessageSocket
        /// Readable when it has ended.
        let process: SharedDescriptor
    }

    private let connection: MessageSocket

    private init(_ connection: MessageSocket) { self.connection = connection }

    /// Readable when it has ended, which nothing should make it do.
    var rawValue: CInt { connection.socket.rawValue }

    /// Makes the maker, while there is one thread.
    static func make() throws(SteeringError) -> AttendantMaker {
        let (here, there) = try MessageSocket.pair()
        _ = try ChildProcess.copy {
            // A terminal's signals are for steerd, and so are the service manager's; this one ends when steerd has.
            setsid()
            block([SIGTERM, SIGINT, SIGHUP, SIGQUIT])
            // Nobody waits for those that have ended.
            signal(SIGCHLD, SIG_IGN)
            run(over: there)
        }
        return AttendantMaker(here)
    }

    /// Makes a process.
    ///
    /// - Parameter disposal: What takes the connection to it, with all that it has sent and nobody has received.
    /// - Throws: `busy` where the system has no room for one.
    func start(_ task: Task, _ disposal: (any DescriptorDisposal)? = nil) throws(SteeringError) -> Made {
        let (here, there) = try MessageSocket.pair(disposal: disposal)
        try OwnedDescriptor.setNonblocking(here.socket.rawValue)
        try connection.send(Array(task.rawValue.utf8), [there.socket.rawValue])
        guard let answer = try connection.receive(limit: 64), let process = answer.descriptors.first else {
            throw SteeringError(.busy, "no process can be made to talk to clients: raise TasksMax, or ulimit -u")
        }
        return Made(channel: here, process: process)
    }

    private static func run(over connection: MessageSocket) -> Never {
        do throws(SteeringError) {
            try ChildProcess.keepOpen(connection.socket.rawValue)
            // One that cannot end must not keep a pipe open that somebody waits for.
            try ChildProcess.muteStandardStreams()
            try Capabilities.keep([])
            let steerd = MessageSocket(OwnedDescriptor(owning: 3))
            while let order = try steerd.receive(limit: 64) {
                guard let task = Task(rawValue: String(decoding: order.bytes, as: UTF8.self)),
                    let channel = order.descriptors.first
                else { break }
                let made = try? ChildProcess.copy { task.run(over: channel) }
                try steerd.send(
                    Array((made == nil ? "failed" : "made").utf8), made.map { [$0.descriptor.rawValue] } ?? [])
            }
        } catch {}
        _exit(0)
    }

    private static func block(_ numbers: [CInt]) {
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in numbers { sigaddset(&signals, number) }
        sigprocmask(SIG_BLOCK, &signals, nil)
    }
}

extension AttendantMaker.Task {
    fileprivate func run(over channel: SharedDescriptor) -> Never {
        do throws(SteeringError) {
            try ChildProcess.keepOpen(channel.rawValue)
            let steerd = MessageSocket(OwnedDescriptor(owning: 3))
            switch self {
            case .attend: try Attendant(steerd, takesDescriptors: true).serve()
            case .turnAway: try Attendant(steerd, takesDescriptors: false).serve()
            case .close: try Bin.closeAll(from: steerd)
            }
        } catch {}
        _exit(0)
    }
}
