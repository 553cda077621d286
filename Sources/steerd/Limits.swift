import Steering

/// Bounds on the resources that clients can make steerd use.
struct Limits: Sendable {
    /// Concurrent connections of an attendant, and of a user. A connection beyond that replaces an idle one.
    static let connectionsPerAttendant = 1024
    static let connectionsPerUser = 32
    /// Concurrent attendants of users whom the policy file allows as members of groups; further members share those.
    /// Users whom it names have one each. Clients that may not use any label share one more.
    static let attendants = 32
    /// Killed processes of all users that have not ended; at this number members of groups get no new attendant.
    static let lostProcesses = 96
    /// Clients whose processes are tracked: those of members of groups, and with the users whom the policy file names.
    /// Beyond that, clients are refused.
    static let clientsOfMembers = 384
    static let clientsWithProcess = 576
    /// Killed attendants of a user that have not ended; at this number nothing is received from the user until one has.
    static let lostAttendants = 4
    /// Connections that an attendant has been given but not taken, and descriptors that wait to be closed.
    static let untakenConnections = 192
    static let waitingDescriptors = 256
    /// Held sockets, in total and of a label; those of a label fit in one message.
    let sockets: Int
    let socketsPerLabel = MessageSocket.maximumDescriptors
    /// Processes tracked as serving a label that can be started; further workers are ignored.
    static let processesPerLabel = 32
    /// Descriptors that a user may have been sent without receiving them: those of two answers.
    static let descriptorsInFlightPerUser = 2 * MessageSocket.maximumDescriptors
    /// The part of the limit of open files up to which descriptors are sent to clients at all. The rest is for messages
    /// among steerd's own processes, which count in the kernel for the same user.
    static let partInFlight = 0.25
    /// How long a connection may be idle.
    static let silence = Duration.seconds(30)

    /// Descriptors reserved for the processes of clients, for attendants and lost processes, and for what waits to be
    /// closed.
    private static let descriptorsOfClients = 1280

    /// Raises the limit of open descriptors to its maximum, to make room for connections, sockets and one message.
    ///
    /// - Parameter startable: The number of labels that can be started.
    /// - Throws: `systemCall`, also if the maximum is too low.
    init(startable: Int) throws(SteeringError) {
        let limit = try OpenFileLimit.raise()
        let ofServices = startable * Self.processesPerLabel
        let others = Self.descriptorsOfClients + MessageSocket.maximumDescriptors + ofServices + 128
        let room = limit - others
        guard room > 0 else {
            throw SteeringError(
                .systemCall,
                "this process may open \(limit) files, and needs more than \(others): raise LimitNOFILE, or ulimit -n"
            )
        }
        sockets = min(room, 8192)
    }
}
