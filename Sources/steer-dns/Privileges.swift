import Foundation

/// Drops the privileges that only binding needed.
enum Privileges {
    /// Becomes a user, with its primary group and no others.
    static func become(_ name: String) throws {
        guard let account = getpwnam(name) else {
            throw CommandError("this machine has no user \(name): create it first, or name another")
        }
        let user = account.pointee.pw_uid, group = account.pointee.pw_gid
        guard setgroups(0, nil) == 0, setgid(group) == 0, setuid(user) == 0 else {
            throw CommandError(
                "cannot become the user \(name) (\(String(cString: strerror(errno)))): start as root, or without --user"
            )
        }
    }
}
