import Glibc
import Steering

/// The limit of open files (RLIMIT_NOFILE).
///
/// The kernel compares it with the descriptors in flight, too: those that the processes of the sender's user have sent and
/// nobody has received. Sending fails with ETOOMANYREFS while there are more than the sending process may open.
enum OpenFileLimit {
    /// Raises the limit to the maximum, and returns that.
    ///
    /// - Throws: `systemCall`.
    @discardableResult
    static func raise() throws(SteeringError) -> Int {
        var limit = try read()
        limit.rlim_cur = limit.rlim_max
        try write(limit)
        return Int(clamping: limit.rlim_max)
    }

    /// Runs a closure with a part of the maximum as the limit, which is 0 to 1, and then restores the limit. Files that
    /// are open already stay open.
    static func lowered<Result>(
        toPart part: Double, _ body: () throws(SteeringError) -> Result
    ) throws(SteeringError) -> Result {
        let present = try read()
        var limit = present
        limit.rlim_cur = min(limit.rlim_cur, rlim_t(Double(Int(clamping: limit.rlim_max)) * part))
        try write(limit)
        defer { try? write(present) }
        return try body()
    }

    private static func read() throws(SteeringError) -> rlimit {
        var limit = rlimit()
        try systemCall("getrlimit") { getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) }
        return limit
    }

    private static func write(_ limit: rlimit) throws(SteeringError) {
        var limit = limit
        try systemCall("setrlimit") { setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) }
    }
}
