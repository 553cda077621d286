import Foundation
import LinuxSockets

/// Drops the privileges that only binding needed.
enum Privileges {
    /// Becomes a user, with its primary group and no others.
    static func become(_ name: String) throws {
        guard let account = Account(named: name) else {
            throw CommandError("this machine has no user \(name): create it first, or name another")
        }
        do { try account.assume(withSupplementaryGroups: false) } catch {
            throw CommandError(
                "cannot become the user \(name) (\(String(cString: strerror(error.errno)))): start as root, or without --user"
            )
        }
    }
}
