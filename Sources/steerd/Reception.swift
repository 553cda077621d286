import Glibc
import Logging
import ServiceSupport
import Steering

/// The attendants, and the clients of each. Used by one thread, which waits for none of them.
final class Reception {
    /// A client, as the kernel identified it when it connected.
    struct Client {
        let peer: Peer
        /// Its process; nil if it is not needed, or has ended.
        let process: SharedDescriptor?
    }

    private let maker: AttendantMaker
    private let bin: Bin
    /// Takes connections that are released.
    var disposal: any DescriptorDisposal { bin }
    private var poll: EventPoll
    private var attendances: [CInt: Attendance] = [:]
    /// The attendants of users who may use a label; all others share `strangers`.
    private var byUser: [uid_t: Attendance] = [:]
    private var strangers: Attendance?
    /// Processes that were killed but have not ended, by user; nil for strangers.
    private var lost: [uid_t?: [SharedDescriptor]] = [:]
    private var lastNumber: UInt64 = 0
    private var failures: LimitedLog

    /// How long an attendant may need to take connections, and how long one without any is kept.
    private static let patience = Duration.seconds(2)
    private static let idleness = Duration.seconds(5)

    init(_ maker: AttendantMaker, _ bin: Bin, _ logger: Logger) throws(SteeringError) {
        self.maker = maker
        self.bin = bin
        failures = LimitedLog(logger, .error, rest: "closed more connections")
        poll = try EventPoll()
    }

    /// Readable when ``turn(_:)`` has something to do.
    var rawValue: CInt { poll.rawValue }

    /// Readable when no attendant can be made any more.
    var end: CInt { maker.rawValue }

    /// The time until the next turn, if one is needed without an event.
    var nextTurn: Duration? { bin.count > 0 ? Bin.collecting : attendances.isEmpty ? nil : .seconds(1) }

    /// Whether more clients can be admitted: connections that wait to be closed use up descriptors.
    var hasRoom: Bool { bin.count < Limits.waitingDescriptors }

    // MARK: - Admitting clients

    /// Passes a client's connection to its attendant. If there is none, or it is not taking connections, the connection
    /// is closed without an answer; the reason is logged.
    ///
    /// - Parameters:
    ///   - socket: The connection.
    ///   - standing: Returns how the policy file knows a client.
    ///   - groups: The groups that matter for that.
    ///   - hasProcess: Whether the client's process is needed.
    /// - Returns: False if too many descriptors are in flight: try again later.
    func admit(_ socket: MessageSocket, standing: (Peer) -> Standing, groups: Set<gid_t>, hasProcess: Bool) -> Bool {
        do throws(SteeringError) {
            let peer = try socket.peer(among: groups)
            let standing = standing(peer)
            let hasProcess = hasProcess && standing != .stranger
            if hasProcess, !hasRoom(forProcessOf: standing) {
                try socket.send(ActivationReply(.tooManyClients).bytes)
                return true
            }
            let attendance = try attendance(of: peer.user, standing)
            guard attendance.untaken + attendance.coming < Limits.untakenConnections else { return true }
            let process = hasProcess ? (try? socket.process()) ?? nil : nil
            lastNumber += 1
            try attendance.tell(.take(lastNumber, peer.user), [socket.socket.rawValue])
            socket.socket.holdElsewhere()
            attendance.clients[lastNumber] = Client(peer: peer, process: process)
            attendance.coming += 1
        } catch {
            if error.errno == ETOOMANYREFS { return false }
            failures.add("closed a connection without an answer") {
                ["code": "\(error.code)", "message": "\(error.message)"]
            }
        }
        return true
    }

    /// Lets attendants serve the admitted connections, which must be closed here by now.
    func beginServing() {
        for attendance in attendances.values { attendance.begin() }
    }

    /// Whether the process of one more client can be tracked: what remains free is for steerd's own work.
    private func hasRoom(forProcessOf standing: Standing) -> Bool {
        let count = attendances.values.reduce(0) { $0 + ($1.user == nil ? 0 : $1.clients.count) }
        return count < (standing == .named ? Limits.clientsWithProcess : Limits.clientsOfMembers)
    }

    private func attendance(of uid: uid_t, _ standing: Standing) throws(SteeringError) -> Attendance {
        let user = standing == .stranger ? nil : uid
        if let known = user.map({ byUser[$0] }) ?? strangers { return known }
        if standing == .member {
            // Users whom the policy file names share with nobody: it bounds their number.
            let shared = Array(byUser.values.filter(\.isMember))
            if shared.count >= Limits.attendants { return shared[Int(uid) % shared.count] }
        }
        for user in lost.keys { lost[user]!.removeAll(where: ChildProcess.hasEnded) }
        lost = lost.filter { !$0.value.isEmpty }
        let all = lost.values.reduce(0) { $0 + $1.count }
        guard lost[user, default: []].count < Limits.lostAttendants,
            standing != .member || all < Limits.lostProcesses
        else { throw SteeringError(.busy, "descriptors that this user has sent keep processes from exiting") }
        let attendance = Attendance(
            user, isMember: standing == .member, try maker.start(user == nil ? .turnAway : .attend, bin))
        try poll.watch(attendance.rawValue)
        attendances[attendance.rawValue] = attendance
        if let user { byUser[user] = attendance } else { strangers = attendance }
        return attendance
    }

    // MARK: - Answering clients

    /// Handles one message of each attendant that has any, and passes released descriptors to the bin.
    ///
    /// - Parameter answer: Returns the answer, its descriptors, and whether it is the last for this client.
    func turn(_ answer: (ClientMessage, Client) -> (reply: ActivationReply, descriptors: [CInt], isLast: Bool)) {
        for descriptor in (try? poll.wait(.zero)) ?? [] {
            guard let attendance = attendances[descriptor] else { continue }
            do throws(SteeringError) {
                if try !hear(attendance, answer) { lose(attendance) }
            } catch {
                if error.errno != EAGAIN { lose(attendance) }
            }
        }
        bin.turn()
    }

    /// Handles one message, and returns whether the attendant goes on.
    private func hear(
        _ attendance: Attendance, _ answer: (ClientMessage, Client) -> (ActivationReply, [CInt], Bool)
    ) throws(SteeringError) -> Bool {
        guard let message = try attendance.channel.receive(limit: AttendantReport.maximumSize, disposal: bin) else {
            return false
        }
        switch AttendantReport(message) {
        case .taken: attendance.hasTaken()
        case .gone(let number): attendance.clients[number] = nil
        case .finished: attendance.hasFinished = true
        case .asks(let number, let message):
            guard let client = attendance.clients[number] else { return false }
            let (reply, descriptors, isLast) = answer(message, client)
            do throws(SteeringError) {
                try attendance.tell(.answer(reply.bytes, isLast: isLast), descriptors)
            } catch {
                guard error.errno == ETOOMANYREFS else { throw error }
                try attendance.tell(.answer(ActivationReply(.tooManyInFlight).bytes, isLast: isLast))
            }
        case nil: return false
        }
        return true
    }

    /// Kills attendants that are stuck, and releases those that are idle; call it every second.
    func sweep() {
        let now = ContinuousClock.now
        for attendance in attendances.values {
            if attendance.isStuck(at: now, for: Self.patience) {
                lose(attendance)
            } else if attendance.isIdle, attendance.lastUse + Self.idleness < now {
                // It ends when its channel is closed.
                forget(attendance)
            }
        }
    }

    private func lose(_ attendance: Attendance) {
        ChildProcess.forceEnd(of: attendance.process)
        forget(attendance)
        if !ChildProcess.hasEnded(attendance.process) { lost[attendance.user, default: []].append(attendance.process) }
    }

    private func forget(_ attendance: Attendance) {
        poll.forget(attendance.rawValue)
        attendances[attendance.rawValue] = nil
        if let user = attendance.user { byUser[user] = nil } else { strangers = nil }
    }

    // MARK: - Stopping

    /// Has attendants answer everything that clients have sent so far.
    func finish() {
        for attendance in attendances.values { attendance.finish() }
    }

    /// Whether everything is answered.
    var hasFinished: Bool { attendances.values.allSatisfy(\.hasFinished) }
}

/// An attendant and its clients.
private final class Attendance {
    /// Its user; nil for clients that may not use any label.
    let user: uid_t?
    /// Whether it is for a member of a group, and may be shared with others.
    let isMember: Bool
    let channel: MessageSocket
    let process: SharedDescriptor
    var clients: [UInt64: Reception.Client] = [:]
    /// The number of connections passed on that it may not serve yet; and the orders to serve that it has not
    /// confirmed.
    var coming = 0
    private var ordered: [(count: Int, since: ContinuousClock.Instant)] = []
    private(set) var lastUse = ContinuousClock.now
    var hasFinished = false

    init(_ user: uid_t?, isMember: Bool, _ made: AttendantMaker.Made) {
        self.user = user
        self.isMember = isMember
        channel = made.channel
        process = made.process
    }

    var rawValue: CInt { channel.socket.rawValue }
    var untaken: Int { ordered.reduce(0) { $0 + $1.count } }

    func tell(_ order: AttendantOrder, _ descriptors: [CInt] = []) throws(SteeringError) {
        try channel.send(order.bytes, descriptors)
    }

    /// Orders it to serve the connections passed on. If there is no room for the order, the next call repeats it.
    func begin() {
        guard coming > 0 else { return }
        guard (try? tell(.begin)) != nil else { return }
        ordered.append((coming, .now))
        coming = 0
        lastUse = .now
    }

    func hasTaken() { if !ordered.isEmpty { ordered.removeFirst() } }

    var isIdle: Bool { clients.isEmpty && coming == 0 && ordered.isEmpty }

    func isStuck(at now: ContinuousClock.Instant, for patience: Duration) -> Bool {
        ordered.first.map { $0.since + patience < now } == true
    }

    func finish() { hasFinished = (try? tell(.finish)) == nil }
}

extension SteeringError {
    fileprivate static let tooManyClients = SteeringError(
        .busy, "steerd has as many clients as it has room for: close connections, or try again")
}
