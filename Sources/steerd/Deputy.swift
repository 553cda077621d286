import Glibc
import ServiceSupport
import Steering
import Synchronization

/// Whom a lost process is charged to: the user who asked, or the label whose sockets steerd looks after by itself.
enum Charge: Hashable {
    case user(uid_t)
    case label(Label)
}

/// Makes the calls that take a socket's lock in a process of its own that steerd can afford to lose: another holder of
/// the socket can keep the lock for ever, and waiting for it cannot be interrupted.
///
/// steerd waits for the process only for a moment. One that is stuck is killed, which takes effect once it gets the lock,
/// and replaced. Until then nothing is tried with the sockets that it was given, and whoever has too many such processes
/// is refused at once.
final class Deputy: LockingCalls {
    /// A process that was given up, and has not ended.
    fileprivate struct Lost {
        let process: SharedDescriptor
        let charge: Charge
        let label: Label
        let sockets: Set<SocketCookie>
        let late: LateEntry?
    }

    fileprivate struct State: ~Copyable {
        var made: AttendantMaker.Made?
        var lost: [Lost] = []
        var work: (charge: Charge, label: Label)?
        /// How long the present work may still wait.
        var patience = Duration.zero
        /// Readable when a lost process has ended.
        var poll: EventPoll
    }

    private let maker: AttendantMaker
    private let state: Mutex<State>
    /// Readable when ``takeEnded()`` has something to return.
    let rawValue: CInt

    /// How long the calls for one request may wait for locks, and how long for a processor.
    private static let patience = Duration.milliseconds(40)
    private static let longestPatience = Duration.seconds(2)

    init(_ maker: AttendantMaker) throws(SteeringError) {
        self.maker = maker
        let poll = try EventPoll()
        rawValue = poll.rawValue
        state = Mutex(State(poll: poll))
    }

    /// Begins work on the sockets of a label, which may wait for a moment.
    func begin(_ charge: Charge, _ label: Label) {
        state.withLock { state in
            state.work = (charge, label)
            state.patience = Self.patience
        }
    }

    /// Whether a lost process waits for the lock of a socket.
    func isLocked(_ cookie: SocketCookie) -> Bool {
        state.withLock { state in state.lost.contains { $0.sockets.contains(cookie) } }
    }

    /// Returns what the lost processes that have ended since the last call may have left in maps, with the label that
    /// each worked on.
    func takeEnded() -> [(label: Label, late: LateEntry?)] {
        state.withLock { state in
            let ended = state.lost.filter { ChildProcess.hasEnded($0.process) }
            guard !ended.isEmpty else { return [] }
            for one in ended { state.poll.forget(one.process.rawValue) }
            state.lost.removeAll { lost in ended.contains { $0.process === lost.process } }
            return ended.map { ($0.label, $0.late) }
        }
    }

    // MARK: - The calls

    func inspect(_ descriptors: [CInt]) throws(SteeringError) -> [Result<SteerableSocket, SteeringError>] {
        var found: [Result<SteerableSocket, SteeringError>] = []
        while found.count < descriptors.count {
            let some = Array(descriptors[found.count...].prefix(MessageSocket.maximumDescriptors))
            let answer = try ask(.inspect, some, about: some) { _ in nil }
            let parts = answer.split(separator: DeputyOrder.separator, omittingEmptySubsequences: false)
            guard parts.count == some.count else { throw .gaveUp }
            found += parts.map { DeputyOrder.facts(Array($0)) }
        }
        return found
    }

    func put(_ descriptor: CInt, into map: CInt, at slot: UInt32) throws(SteeringError) {
        let answer = try ask(.put(slot), [descriptor, map], about: [descriptor]) { cookie in
            try? LateEntry(cookie, map, slot)
        }
        if let error = DeputyOrder.error(answer) { throw error }
    }

    private func ask(
        _ order: DeputyOrder, _ descriptors: [CInt], about sockets: [CInt], late: (SocketCookie) -> LateEntry?
    ) throws(SteeringError) -> [UInt8] {
        var cookies: Set<SocketCookie> = []
        for socket in sockets { cookies.insert(try SteerableSocket.cookie(socket)) }
        return try state.withLock { state throws(SteeringError) in
            guard let work = state.work else { throw .gaveUp }
            let own = state.lost.filter { $0.charge == work.charge && !ChildProcess.hasEnded($0.process) }
            guard own.count < Limits.lostAttendants, state.lost.count < Limits.lostProcesses else {
                throw .tooManyLocked
            }
            guard !state.lost.contains(where: { !$0.sockets.isDisjoint(with: cookies) }) else { throw .gaveUp }
            let made: AttendantMaker.Made
            if let present = state.made { made = present } else { made = try maker.start(.makeCalls) }
            state.made = made
            do throws(SteeringError) { try made.channel.send(order.bytes, descriptors) } catch {
                // Nothing has been sent, so the process can go on.
                throw error.errno == ETOOMANYREFS || error.errno == EAGAIN ? .tooManyInFlight : error
            }
            if let answer = state.answer(of: made, Self.longestPatience) { return answer }
            ChildProcess.forceEnd(of: made.process)
            state.made = nil
            let lost = Lost(
                process: made.process, charge: work.charge, label: work.label, sockets: cookies,
                late: cookies.first.flatMap(late))
            state.lost.append(lost)
            try? state.poll.watch(made.process.rawValue)
            throw .gaveUp
        }
    }

    // MARK: - The process

    /// Runs the process.
    static func makeCalls(for steerd: MessageSocket) throws(SteeringError) {
        while let answer = try answer(steerd) { try steerd.send(answer) }
    }

    /// Carries out an order, and returns the answer once the descriptors are closed here: steerd still has its own, so
    /// that closing these cannot block.
    private static func answer(_ steerd: MessageSocket) throws(SteeringError) -> [UInt8]? {
        guard let message = try steerd.receive(limit: 64) else { return nil }
        return withExtendedLifetime(message) {
            let numbers = message.descriptors.map(\.rawValue)
            switch DeputyOrder(message.bytes) {
            case .inspect:
                guard let found = try? DirectCalls().inspect(numbers) else { return [] }
                return Array(found.map(DeputyOrder.bytes).joined(separator: [DeputyOrder.separator]))
            case .put(let slot):
                guard numbers.count == 2 else { return DeputyOrder.bytes(.gaveUp) }
                do throws(SteeringError) {
                    try DirectCalls().put(numbers[0], into: numbers[1], at: slot)
                    return DeputyOrder.done
                } catch { return DeputyOrder.bytes(error) }
            case nil: return []
            }
        }
    }
}

extension Deputy.State {
    /// Returns the answer of the process; nil if it is stuck, or has ended. One that merely lacks a processor is waited
    /// for.
    fileprivate mutating func answer(of made: AttendantMaker.Made, _ longest: Duration) -> [UInt8]? {
        let began = ContinuousClock.now
        defer { patience -= .now - began }
        while true {
            let left = max(patience - (.now - began), .milliseconds(5))
            if made.channel.isReadable(within: left) {
                return (try? made.channel.receive(limit: DeputyOrder.maximumSize))?.bytes
            }
            if ChildProcess.isUninterruptible(made.pid) || began + longest < .now { return nil }
        }
    }
}

/// An order to the process, and the answers to it.
enum DeputyOrder {
    /// Inspects the sockets in the message.
    case inspect
    /// Puts the socket in the message into the map in the message, at a slot.
    case put(UInt32)

    /// The maximum size of an answer, in bytes.
    static let maximumSize = 1 << 17
    /// What separates the answers about several sockets. No sentence contains it.
    static let separator: UInt8 = 0
    static let done = Array("done".utf8)

    var bytes: [UInt8] {
        switch self {
        case .inspect: Array("inspect".utf8)
        case .put(let slot): Array("put \(slot)".utf8)
        }
    }

    init?(_ bytes: [UInt8]) {
        let words = String(decoding: bytes, as: UTF8.self).split(separator: " ")
        switch (words.first, words.count) {
        case ("inspect", 1): self = .inspect
        case ("put", 2):
            guard let slot = UInt32(words[1]) else { return nil }
            self = .put(slot)
        default: return nil
        }
    }

    static func bytes(_ result: Result<SteerableSocket, SteeringError>) -> [UInt8] {
        switch result {
        case .success(let facts):
            let families = facts.families.count > 1 ? "both" : facts.families == [.ipv4] ? "4" : "6"
            return Array(
                "\(facts.cookie) \(facts.transport) \(families) \(facts.isReuseport ? 1 : 0) \(facts.localAddress)".utf8
            )
        case .failure(let error): return bytes(error)
        }
    }

    static func bytes(_ error: SteeringError) -> [UInt8] {
        Array("error \(error.errno)\n".utf8) + ActivationReply(error).bytes.prefix(400)
    }

    /// Returns the error in an answer; nil if there is none.
    static func error(_ bytes: [UInt8]) -> SteeringError? {
        guard bytes != done else { return nil }
        guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")), bytes.starts(with: Array("error ".utf8)),
            case .refused(let code, let sentence)? = try? ActivationReply(Array(bytes[(end + 1)...])),
            let number = Int32(String(decoding: bytes[6..<end], as: UTF8.self))
        else { return .gaveUp }
        return SteeringError(code, sentence, cause: number == 0 ? nil : .systemCall("system call", errno: number))
    }

    static func facts(_ bytes: [UInt8]) -> Result<SteerableSocket, SteeringError> {
        let words = String(decoding: bytes, as: UTF8.self).split(separator: " ")
        guard words.count == 5, let cookie = SocketCookie(words[0]), let address = try? SocketAddress(String(words[4]))
        else { return .failure(error(bytes) ?? .gaveUp) }
        let families: [IPFamily] = words[2] == "both" ? IPFamily.allCases : words[2] == "4" ? [.ipv4] : [.ipv6]
        return .success(
            SteerableSocket(
                cookie, words[1] == "tcp" ? .tcp : .udp, families, address, isReuseport: words[3] == "1"))
    }
}

extension SteeringError {
    fileprivate static let gaveUp = SteeringError(
        .busy, "a socket is locked by a system call in progress, such as a send: try again once that has returned")

    fileprivate static let tooManyLocked = SteeringError(
        .busy, "sockets that this user has sent are locked by system calls that do not return: end those first")

    static let tooManyInFlight = SteeringError(
        .busy, "too many descriptors are in flight to clients that do not receive them: try again",
        cause: .systemCall("sendmsg", errno: ETOOMANYREFS))
}
