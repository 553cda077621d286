import Glibc
import ServiceSupport
import Steering

/// The process that makes attendants, bins and deputies: a copy of steerd with at most the capabilities that registering
/// takes, forked before steerd held anything of value. Its children are copies of it in turn; only deputies keep those.
final class AttendantMaker: Sendable {
    /// The task of such a process.
    enum Task: String {
        /// Serves clients, and receives the descriptors that they send.
        case attend
        /// Serves clients that may not use any label: the kernel drops the descriptors that they send.
        case turnAway
        /// Closes descriptors.
        case close
        /// Makes the calls that take a socket's lock.
        case makeCalls
    }

    /// A new process, and this end of the connection to it, which is non-blocking.
    struct Made {
        let channel: MessageSocket
        /// Readable when the process has ended.
        let process: SharedDescriptor
        let pid: pid_t
    }

    private let connection: MessageSocket

    private init(_ connection: MessageSocket) { self.connection = connection }

    /// Readable if the maker has ended, which should never happen.
    var rawValue: CInt { connection.socket.rawValue }

    /// Forks the maker; this process must have one thread.
    static func make() throws(SteeringError) -> AttendantMaker {
        let (here, there) = try MessageSocket.pair()
        _ = try ChildProcess.copy {
            // Signals from the terminal or the service manager are for steerd; the maker ends when steerd does.
            setsid()
            block([SIGTERM, SIGINT, SIGHUP, SIGQUIT])
            // Have the kernel reap children: nobody waits for them.
            signal(SIGCHLD, SIG_IGN)
            run(over: there)
        }
        return AttendantMaker(here)
    }

    /// Makes a process.
    ///
    /// - Parameters:
    ///   - task: The task of the process.
    ///   - disposal: Takes the connection when it is released, with messages that were not received; nil to close it.
    /// - Returns: The process and the connection to it.
    /// - Throws: `busy` if the system has no room for a process, or too many descriptors are in flight; `systemCall`.
    func start(_ task: Task, _ disposal: (any DescriptorDisposal)? = nil) throws(SteeringError) -> Made {
        let (here, there) = try MessageSocket.pair(disposal: disposal)
        try OwnedDescriptor.setNonblocking(here.socket.rawValue)
        do throws(SteeringError) { try connection.send(Array(task.rawValue.utf8), [there.socket.rawValue]) } catch {
            throw error.errno == ETOOMANYREFS ? .tooManyInFlight : error
        }
        guard let answer = try connection.receive(limit: 64) else { throw .noMaker }
        let words = String(decoding: answer.bytes, as: UTF8.self).split(separator: " ")
        guard words.count == 2, let number = Int32(words[1]) else { throw .noMaker }
        guard words[0] == "made", let process = answer.descriptors.first else {
            throw number == ETOOMANYREFS ? .tooManyInFlight : .noProcess(number)
        }
        return Made(channel: here, process: process, pid: number)
    }

    private static func run(over connection: MessageSocket) -> Never {
        do throws(SteeringError) {
            try ChildProcess.keepOpen(connection.socket.rawValue)
            // A process that is stuck must not keep open a pipe whose end somebody awaits.
            try ChildProcess.muteStandardStreams()
            try Capabilities.dropAll(except: HostFacts.capabilitiesToRegister())
            try OpenFileLimit.raise()
            let steerd = MessageSocket(OwnedDescriptor(owning: 3))
            while let order = try steerd.receive(limit: 64) {
                guard let task = Task(rawValue: String(decoding: order.bytes, as: UTF8.self)),
                    let channel = order.descriptors.first
                else { break }
                do throws(SteeringError) {
                    let made = try ChildProcess.copy { task.run(over: channel) }
                    do throws(SteeringError) {
                        try steerd.send(Array("made \(made.pid)".utf8), [made.descriptor.rawValue])
                    } catch {
                        ChildProcess.forceEnd(of: made.descriptor)
                        throw error
                    }
                } catch { try steerd.send(Array("failed \(error.errno)".utf8)) }
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
            if self != .makeCalls { try Capabilities.dropAll() }
            switch self {
            case .attend: try Attendant(steerd, takesDescriptors: true).serve()
            case .turnAway: try Attendant(steerd, takesDescriptors: false).serve()
            case .close: try Bin.closeAll(from: steerd)
            case .makeCalls: try Deputy.makeCalls(for: steerd)
            }
        } catch {}
        _exit(0)
    }
}

extension SteeringError {
    fileprivate static let noMaker = SteeringError(
        .serviceUnavailable, "the process that creates attendants has ended: restart steerd")

    fileprivate static func noProcess(_ error: CInt) -> SteeringError {
        SteeringError(
            .busy,
            "cannot create a process to talk to clients (\(describe(errno: error))): raise TasksMax, or ulimit -u")
    }
}
