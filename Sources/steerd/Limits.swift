import Glibc
import Steering

/// What clients can make steerd spend, at most.
struct Limits: Sendable {
    /// Connections at a time, of all users and of one. Whoever comes beyond takes the place of one that is silent.
    let connections = 1024
    let connectionsPerUser = 32
    /// Sockets that are held, of all labels and of one: those fit in one message.
    let sockets: Int
    let socketsPerLabel = MessageSocket.maximumDescriptors
    /// Processes that serve a label that can be started: of more than these workers the others do not count.
    static let processesPerLabel = 32
    /// How long a connection may be silent.
    let silence = Duration.seconds(30)

    /// Raises the limit of descriptors as far as it goes: connections, sockets and one message must find room.
    ///
    /// - Parameter startable: How many labels can be started.
    init(startable: Int) throws(SteeringError) {
        var limit = rlimit()
        try systemCall("getrlimit") { getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) }
        limit.rlim_cur = limit.rlim_max
        try systemCall("setrlimit") { setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) }
        let others = connections + MessageSocket.maximumDescriptors + startable * Self.processesPerLabel + 128
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
