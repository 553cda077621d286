import Glibc

/// A process that holds a socket.
public struct SocketOwner: Sendable, Hashable, CustomStringConvertible {
    /// The process's number, as the calling process's /proc shows it.
    public let pid: pid_t
    /// Its name, as `ps -o comm` shows it: at most 15 bytes, control characters replaced.
    public let command: String
    /// Its effective user.
    public let userID: uid_t

    /// Reads what /proc says of a process; nil where it is gone or hidden.
    public init?(pid: pid_t) {
        guard let name = ProcFS.text("/proc/\(pid)/comm", limit: 64) else { return nil }
        // Not the owner of /proc/PID: that is root for whoever changed its user.
        guard let user = ProcFS.status("Uid", of: "\(pid)").dropFirst().first.flatMap({ uid_t($0) }) else { return nil }
        let shown = name.unicodeScalars.dropLast().map { $0.properties.generalCategory == .control ? "?" : $0 }
        command = String(String.UnicodeScalarView(shown))
        userID = user
        self.pid = pid
    }

    /// `nginx (pid 12)`.
    public var description: String { "\(command) (pid \(pid))" }
}

/// The processes that hold some sockets: what `ss -p` shows.
public struct SocketOwners: Sendable {
    /// By the socket's inode, in the order of process numbers.
    private let owners: [UInt32: [SocketOwner]]
    /// Whether every process was looked at. Otherwise a socket without an owner may have one that the
    /// calling process may not see: it needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH.
    public let isComplete: Bool

    /// Which of a socket's owners are looked for.
    public enum Search: Sendable {
        /// One of each, the one with the least number: ends as soon as every socket has one.
        case first
        /// All.
        case every
    }

    /// Looks through /proc for the owners of some sockets.
    ///
    /// What may not be read is skipped: see ``isComplete``.
    ///
    /// - Parameters:
    ///   - inodes: The sockets' inodes.
    ///   - search: Whether the first owner of each is enough.
    /// - Throws: `systemCall` where /proc is not mounted.
    public init(of inodes: some Sequence<UInt32>, _ search: Search = .every) throws(SteeringError) {
        let wanted = Set(inodes)
        var owners: [UInt32: [SocketOwner]] = [:]
        // With hidepid=2 others' processes are not even listed, the first among them.
        var isComplete = access("/proc/1", F_OK) == 0
        var missing = wanted
        if !wanted.isEmpty {
            try ProcFS.forEachProcess { pid in
                var held: Set<UInt32> = []
                let error = ProcFS.forEachSocket(of: pid) { _, inode in
                    if wanted.contains(inode) { held.insert(inode) }
                    return true
                }
                if error == EACCES { isComplete = false }
                if search == .first { held.formIntersection(missing) }
                if !held.isEmpty, let owner = SocketOwner(pid: pid) {
                    for inode in held { owners[inode, default: []].append(owner) }
                    missing.subtract(held)
                }
                return search == .every || !missing.isEmpty
            }
        }
        self.owners = owners
        self.isComplete = isComplete || (search == .first && missing.isEmpty)
    }

    /// The owners of a socket, by its inode.
    public subscript(inode: UInt32) -> [SocketOwner] { owners[inode] ?? [] }
}
