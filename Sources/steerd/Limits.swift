import Glibc
import Steering

/// What clients can make steerd spend, at most.
struct Limits: Sendable {
    /// Connections at a time, of all users of an attendant and of one. Whoever comes beyond takes the place of one that is
    /// silent.
    static let connectionsPerAttendant = 1024
    static let connectionsPerUser = 32
    /// Attendants at a time; users beyond share one. Those who may use no label have one for all of them.
    static let attendants = 32
    /// Attendants of a user that were lost and cannot end: of whoever has that many, no more is received until one has.
    static let lostAttendants = 4
    /// Connections that an attendant was given, and has not taken yet; and that wait to be closed.
    static let untakenConnections = 192
    static let waitingDescriptors = 256
    /// Sockets that are held, of all labels and of one: those fit in one message.
    let sockets: Int
    let socketsPerLabel = MessageSocket.maximumDescriptors
    /// Processes that serve a label that can be started: of more than these workers the others do not count.
    static let processesPerLabel = 32
    /// How long a connection may be silent.
    static let silence = Duration.seconds(30)

    /// Processes of clients, and what leads to their attendants.
    private static let descriptorsOfClients = 1024

    /// Raises the limit of descriptors as far as it goes: connections, sockets and one message must find room.
    ///
    /// - Parameter startable: How many labels can be started.
    init(startable: Int) throws(SteeringError) {
        var limit = rlimit()
        try systemCall("getrlimit") { getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) }
        limit.rlim_cur = limit.rlim_max
        try systemCall("setrlimit") { setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) }
        let ofServices = startable * Self.processesPerLabel
        let others = Self.descriptorsOfClients + MessageSocket.maximumDescriptors + ofServices + 128
        let room = Int(clamping: limit.rlim_max) - others
        guard room > 0 else {
            throw SteeringError(
                .systemCall,
                "this process may open \(limit.rlim_max) files, and needs more than \(others): raise LimitNOFILE, or ulimit -n"
            )
        }
        sockets = min(room, 8192)
    }
}
