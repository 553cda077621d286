import Glibc
import Steering
import Synchronization

/// Closes what clients have a share in, in a process of its own, which may be lost.
///
/// Whoever has one more descriptor of a socket can have its last closing wait at any time (SO_LINGER), and a connection is
/// closed with all that waits in it. So what steerd lets go of is passed on, and closed here while that process still has
/// it: then closing does nothing. There it is closed by the end of a process, which lingers for nobody.
final class Bin: DescriptorDisposal {
    fileprivate struct State: ~Copyable {
        var made: AttendantMaker.Made?
        /// Those that could not be passed on yet.
        var waiting: [CInt] = []
        /// How many messages it has not answered, and since when it has answered none.
        var unanswered = 0
        /// Whether it is to be told that what it has is closed here.
        var isOwed = false
        var since = ContinuousClock.now
    }

    private let maker: AttendantMaker
    private let state: Mutex<State>

    fileprivate static let descriptorsCome: [UInt8] = [1]
    fileprivate static let areClosed: [UInt8] = [2]

    /// How long one that does not answer is waited for.
    private static let patience = Duration.seconds(1)

    init(_ maker: AttendantMaker) throws(SteeringError) {
        self.maker = maker
        state = Mutex(State(made: try maker.start(.close)))
    }

    /// How many descriptors wait here.
    var count: Int { state.withLock { $0.waiting.count } }

    func dispose(of descriptor: CInt) { state.withLock { $0.waiting.append(descriptor) } }

    /// Passes on what waits, as much as is taken; makes another process in the place of one that is stuck, or has ended.
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

    /// What the process does.
    static func closeAll(from steerd: MessageSocket) throws(SteeringError) {
        var held: [SharedDescriptor] = []
        while let message = try steerd.receive(limit: 16) {
            guard message.descriptors.isEmpty else {
                held += message.descriptors
                continue
            }
            // They are closed in steerd by now.
            let copy = try ChildProcess.copyThatEnds()
            held = []
            _ = consume copy
            try steerd.send(areClosed)
        }
    }
}

extension Bin.State {
    /// Passes on what waits, a message at a time. The process closes those of a message once it is told that they are
    /// closed here.
    fileprivate mutating func passOn() {
        guard let made else { return }
        while !isOwed || tellClosed(made), !waiting.isEmpty {
            let some = Array(waiting.suffix(MessageSocket.maximumDescriptors))
            guard (try? made.channel.send(Bin.descriptorsCome, some)) != nil else { return }
            waiting.removeLast(some.count)
            for descriptor in some { close(descriptor) }
            isOwed = true
        }
    }

    /// - Returns: Whether there was room for it.
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
