import Glibc

/// A process that holds a socket.
public struct SocketOwner: Sendable, Hashable, CustomStringConvertible {
    /// The PID, as the calling process's /proc shows it.
    public let pid: pid_t
    /// The name of the process, as `ps -o comm` shows it: at most 15 bytes, with `?` for control characters.
    public let command: String
    /// The effective user ID.
    public let userID: uid_t

    /// Reads the process's entry in /proc; returns nil if it has ended or is hidden.
    ///
    /// - Parameter pid: The PID.
    public init?(pid: pid_t) {
        guard let name = ProcFS.text("/proc/\(pid)/comm", limit: 64) else { return nil }
        // Not the owner of /proc/PID, which is root for processes that changed their user.
        guard let user = ProcFS.status("Uid", of: "\(pid)").dropFirst().first.flatMap({ uid_t($0) }) else { return nil }
        let shown = name.unicodeScalars.dropLast().map { $0.properties.generalCategory == .control ? "?" : $0 }
        command = String(String.UnicodeScalarView(shown))
        userID = user
        self.pid = pid
    }

    /// `nginx (pid 12)`.
    public var description: String { "\(command) (pid \(pid))" }
}

/// The processes that hold given sockets, as `ss -p` shows them.
package struct SocketOwners: Sendable {
    /// By inode number of the socket, in the order of PIDs.
    private let owners: [UInt32: [SocketOwner]]
    /// Whether every process was inspected. If not, a socket without an owner may belong to a hidden process; finding
    /// it takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH.
    package let isComplete: Bool

    /// How many owners of a socket to find.
    package enum Search: Sendable {
        /// The owner with the lowest PID; the search ends as soon as every socket has one.
        case first
        /// All owners.
        case every
    }

    /// Searches /proc for the owners of sockets.
    ///
    /// Skips processes that cannot be inspected: see ``isComplete``.
    ///
    /// - Parameters:
    ///   - inodes: The inode numbers of the sockets.
    ///   - search: Whether to find the first or every owner of each socket.
    /// - Throws: `systemCall` if /proc is not mounted.
    package init(of inodes: some Sequence<UInt32>, _ search: Search = .every) throws(SteeringError) {
        let wanted = Set(inodes)
        var owners: [UInt32: [SocketOwner]] = [:]
        // With hidepid=2, /proc does not even list other users' processes, such as PID 1.
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

    /// The owners of a socket, by inode number.
    package subscript(inode: UInt32) -> [SocketOwner] { owners[inode] ?? [] }
}
