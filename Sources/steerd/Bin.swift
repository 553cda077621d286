import Glibc
import ServiceSupport
import Steering
import Synchronization

/// Closes descriptors that clients may share, in a process of its own that steerd can afford to lose.
///
/// Any other holder of a socket can make its last close block at any time (SO_LINGER), and closing a connection closes
/// the descriptors queued in it. So steerd passes such descriptors to the bin's process, and closes its own while that
/// process holds them, which never blocks. They are then closed by the exit of a copy of that process: the kernel does
/// not linger for a process that exits.
final class Bin: DescriptorDisposal {
    fileprivate struct State: ~Copyable {
        var made: AttendantMaker.Made?
        /// Descriptors that have not been passed on yet, and since when the first has waited.
        var waiting: [CInt] = []
        var firstWaits = ContinuousClock.now
        /// The number of messages without an answer, and since when there has been none.
        var unanswered = 0
        /// Whether the process still has to be notified that its descriptors are closed here.
        var isOwed = false
        var since = ContinuousClock.now
    }

    private let maker: AttendantMaker
    private let state: Mutex<State>

    fileprivate static let descriptorsCome: [UInt8] = [1]
    fileprivate static let areClosed: [UInt8] = [2]

    /// How long to wait for a process that does not answer.
    private static let patience = Duration.seconds(1)
    /// How long to collect descriptors, since each message costs the process a fork.
    static let collecting = Duration.milliseconds(10)
    /// Messages without an answer, at most: their descriptors are in flight, and count against a limit.
    fileprivate static let maximumUnanswered = 4

    init(_ maker: AttendantMaker) throws(SteeringError) {
        self.maker = maker
        state = Mutex(State(made: try maker.start(.close)))
    }

    /// The number of descriptors that have not been passed on yet.
    var count: Int { state.withLock { $0.waiting.count } }

    func dispose(of descriptor: CInt) { state.withLock { $0.add(descriptor) } }

    /// Passes on as many descriptors as the process accepts; replaces a process that is stuck or has ended.
    func turn() {
        state.withLock { state in
            state.readAnswers()
            if let made = state.made, state.unanswered > 0,
                state.since + Self.patience < .now || ChildProcess.hasEnded(made.process)
            {
                ChildProcess.forceEnd(of: made.process)
                state.made = nil
            }
            if state.made == nil {
                state.made = try? maker.start(.close)
                (state.unanswered, state.isOwed) = (0, false)
            }
            state.passOn()
        }
    }

    /// Runs the bin's process.
    static func closeAll(from steerd: MessageSocket) throws(SteeringError) {
        var held: [SharedDescriptor] = []
        while let message = try steerd.receive(limit: 16) {
            guard message.descriptors.isEmpty else {
                held += message.descriptors
                continue
            }
            // steerd has closed its own by now.
            let copy = try ChildProcess.copyThatEnds()
            held = []
            _ = consume copy
            try steerd.send(areClosed)
        }
    }
}

extension Bin.State {
    fileprivate mutating func add(_ descriptor: CInt) {
        if waiting.isEmpty { firstWaits = .now }
        waiting.append(descriptor)
    }

    /// Whether enough descriptors wait, or for long enough, to pass them on.
    private var isDue: Bool {
        guard unanswered < Bin.maximumUnanswered else { return false }
        return waiting.count >= MessageSocket.maximumDescriptors
            || !waiting.isEmpty && firstWaits + Bin.collecting <= .now
    }

    /// Passes on descriptors, one message at a time. The process closes those of a message once it is notified that
    /// they are closed here.
    fileprivate mutating func passOn() {
        guard let made else { return }
        while !isOwed || tellClosed(made), isDue {
            let some = Array(waiting.suffix(MessageSocket.maximumDescriptors))
            guard (try? made.channel.send(Bin.descriptorsCome, some)) != nil else { return }
            waiting.removeLast(some.count)
            for descriptor in some { close(descriptor) }
            isOwed = true
        }
    }

    /// Notifies the process that its descriptors are closed here; returns whether there was room for the message.
    private mutating func tellClosed(_ made: AttendantMaker.Made) -> Bool {
        guard (try? made.channel.send(Bin.areClosed)) != nil else { return false }
        isOwed = false
        if unanswered == 0 { since = .now }
        unanswered += 1
        return true
    }

    fileprivate mutating func readAnswers() {
        guard let made, unanswered > 0 else { return }
        while (try? made.channel.receive(limit: 16)) != nil {
            unanswered = max(0, unanswered - 1)
            since = .now
        }
    }
}
