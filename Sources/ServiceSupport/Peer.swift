import CSteering
import Glibc
import Steering

/// The credentials of the process at the other end of a connection, at the time it connected.
package struct Peer: Sendable, Hashable, CustomStringConvertible {
    package let user: uid_t
    /// Its primary group and its supplementary groups; see ``MessageSocket/peer(among:)``.
    package let groups: Set<gid_t>
    package let pid: pid_t

    package init(user: uid_t, groups: Set<gid_t>, pid: pid_t) {
        self.user = user
        self.groups = groups
        self.pid = pid
    }

    package var description: String { "user \(user), process \(pid)" }
}

extension MessageSocket {
    /// Returns the user that connected.
    ///
    /// - Throws: `systemCall`.
    package func user() throws(SteeringError) -> uid_t { try credentials().user }

    /// Returns the credentials of the process that connected.
    ///
    /// A process can be in 65,536 groups. Of more than 64 supplementary groups only those in `groups` are returned, and
    /// none are read if that is empty.
    ///
    /// - Parameter groups: The groups that matter.
    /// - Throws: `systemCall`.
    package func peer(among groups: Set<gid_t>) throws(SteeringError) -> Peer {
        let credentials = try credentials()
        return Peer(
            user: credentials.user, groups: supplementaryGroups(among: groups).union([credentials.group]),
            pid: credentials.pid)
    }

    /// Returns a pidfd of the process that connected, readable once it ends; nil if it has ended already.
    ///
    /// - Throws: `systemCall`.
    package func process() throws(SteeringError) -> SharedDescriptor? {
        let option: CInt = 77  // SO_PEERPIDFD, Linux 6.5.
        var descriptor: CInt = -1
        var size = socklen_t(MemoryLayout<CInt>.size)
        if getsockopt(socket.rawValue, SOL_SOCKET, option, &descriptor, &size) == 0 {
            return SharedDescriptor(OwnedDescriptor(owning: descriptor))
        }
        guard errno == ENOPROTOOPT else { return nil }
        // Before Linux 6.5, by PID, which is 0 for processes outside this PID namespace.
        let pid = try credentials().pid
        let opened = pid > 0 ? csteering_pidfd_open(pid) : -ESRCH
        return opened < 0 ? nil : SharedDescriptor(OwnedDescriptor(owning: opened))
    }

    private func credentials() throws(SteeringError) -> (user: uid_t, group: gid_t, pid: pid_t) {
        var (user, group, pid) = (uid_t(0), gid_t(0), pid_t(0))
        try call("getsockopt(SO_PEERCRED)", csteering_peer(socket.rawValue, &user, &group, &pid))
        return (user, group, pid)
    }

    private func supplementaryGroups(among wanted: Set<gid_t>) -> Set<gid_t> {
        let option: CInt = 59  // SO_PEERGROUPS, Linux 4.13, missing from older C libraries.
        let most = 65_536  // NGROUPS_MAX
        var groups = [gid_t](repeating: 0, count: 64)
        var size = socklen_t(groups.count * MemoryLayout<gid_t>.size)
        if getsockopt(socket.rawValue, SOL_SOCKET, option, &groups, &size) == 0 {
            return Set(groups.prefix(Int(size) / MemoryLayout<gid_t>.size))
        }
        // The kernel has set the size that is needed; the credentials do not change any more.
        let count = Int(size) / MemoryLayout<gid_t>.size
        guard errno == ERANGE, count <= most, let first = wanted.min(), let last = wanted.max() else { return [] }
        groups = [gid_t](repeating: 0, count: count)
        guard getsockopt(socket.rawValue, SOL_SOCKET, option, &groups, &size) == 0 else { return [] }
        var found: Set<gid_t> = []
        // Comparing first is much faster than hashing each of very many groups.
        for group in groups where first <= group && group <= last && wanted.contains(group) { found.insert(group) }
        return found
    }
}
