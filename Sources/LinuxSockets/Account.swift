import Glibc

/// A user to run as, with the user's groups.
package struct Account: Sendable, Hashable {
    package let user: uid_t
    private let group: gid_t
    private let groups: [gid_t]
    private let name, home, shell: String

    /// Looks up a user and its groups by the user's number; returns nil if there is no such user.
    package init?(user: uid_t) { self.init(getpwuid(user)) }

    /// Looks up a user and its groups by the user's name; returns nil if there is no such user.
    package init?(named name: String) { self.init(getpwnam(name)) }

    private init?(_ entry: UnsafeMutablePointer<passwd>?) {
        guard let entry = entry?.pointee else { return nil }
        user = entry.pw_uid
        group = entry.pw_gid
        name = String(cString: entry.pw_name)
        home = String(cString: entry.pw_dir)
        shell = String(cString: entry.pw_shell)
        var count: CInt = 64
        while true {
            let room = count
            var found = [gid_t](repeating: 0, count: Int(room))
            if getgrouplist(entry.pw_name, entry.pw_gid, &found, &count) >= 0 {
                groups = Array(found.prefix(Int(count)))
                return
            }
            guard count > room else { return nil }
        }
    }

    /// Replaces the environment, working directory and umask of the calling process with those of a service of this
    /// account.
    package func setEnvironment() {
        let kept = environmentVariables(["LANG", "LANGUAGE", "LC_ALL", "TZ", "JOURNAL_STREAM"])
        clearenv()
        let own = [
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": home, "USER": name, "LOGNAME": name, "SHELL": shell,
        ]
        for (variable, value) in own.merging(kept, uniquingKeysWith: { own, _ in own }) { setenv(variable, value, 1) }
        umask(0o022)
        _ = chdir("/")
    }

    /// Switches the calling process to this account irrevocably. Switching to another user takes CAP_SETUID and
    /// CAP_SETGID.
    ///
    /// - Parameter withSupplementaryGroups: Whether to join the account's supplementary groups, too.
    /// - Throws: ``Account/SwitchError``.
    package func assume(withSupplementaryGroups: Bool = true) throws(SwitchError) {
        guard user != geteuid() else { return }
        let groups = withSupplementaryGroups ? groups : []
        guard setgroups(groups.count, groups) == 0 else { throw SwitchError(call: "setgroups", errno: errno) }
        guard setgid(group) == 0 else { throw SwitchError(call: "setgid", errno: errno) }
        guard setuid(user) == 0 else { throw SwitchError(call: "setuid", errno: errno) }
    }

    /// A system call that failed while switching to an account.
    package struct SwitchError: Error {
        package let call: String
        package let errno: CInt
    }
}
