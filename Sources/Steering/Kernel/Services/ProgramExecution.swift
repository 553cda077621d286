import Glibc

/// Another program in the place of this one, with sockets as a service manager passes them: sd_listen_fds(3).
package struct ProgramExecution: Sendable {
    /// The program, by its path or where $PATH has it, and its arguments.
    package let words: [String]
    /// Variables beside those that this process has, or beside the account's; nil takes one away.
    package let environment: [String: String?]
    /// As whom it runs, without any capability, and with the environment, directory and umask that a service manager gives;
    /// nil for who this process is, with all that it has.
    package let account: Account?

    package init(_ words: [String], environment: [String: String?] = [:], as account: Account? = nil) {
        self.words = words
        self.environment = environment
        self.account = account
    }

    /// Runs it, with descriptors as its own 3, 4 and so on. What else is open here, and not close-on-exec, stays open.
    ///
    /// - Parameter name: What all of them are called ($LISTEN_FDNAMES).
    /// - Returns: Only where it cannot be run. This process may then lack descriptors and privileges: it should end.
    package func run(passing descriptors: [CInt] = [], as name: String = "") -> SteeringError {
        run(passing: descriptors.map { ($0, name) })
    }

    /// The same, with a name for each.
    package func run(passing sockets: [(descriptor: CInt, name: String)]) -> SteeringError {
        do throws(SteeringError) {
            try pass(sockets.map(\.descriptor))
            let count = sockets.count
            let names = sockets.map(\.name).joined(separator: ":")
            // Of nothing that is passed there is nothing to tell: what this process was told is not meant for it.
            let passed = [
                "LISTEN_PID": "\(getpid())", "LISTEN_FDS": "\(count)", "LISTEN_FDNAMES": names,
            ].mapValues { count > 0 ? $0 : nil }
            account?.setEnvironment()
            for (name, value) in passed.merging(environment, uniquingKeysWith: { $1 }) {
                if let value { setenv(name, value, 1) } else { unsetenv(name) }
            }
            // What is blocked here would be so there.
            var none = sigset_t()
            sigemptyset(&none)
            sigprocmask(SIG_SETMASK, &none, nil)
            if let account {
                try account.assume()
                try Capabilities.keep([])
            }
            var arguments = words.map { strdup($0) } + [nil]
            try systemCall("execvp") { execvp(words[0], &arguments) }
            return .failed("execvp", 0)
        } catch {
            return cannotRun(error.errno)
        }
    }

    /// Looks whether there is such a program, before anything is done for it.
    ///
    /// - Throws: `programUnavailable`.
    package func check() throws(SteeringError) {
        let folders = (environmentVariables(["PATH"])["PATH"] ?? "/bin:/usr/bin").split(separator: ":")
        let paths = words[0].contains("/") ? [words[0]] : folders.map { "\($0)/\(words[0])" }
        guard !paths.contains(where: { access($0, X_OK) == 0 }) else { return }
        throw cannotRun(paths.contains { access($0, F_OK) == 0 } ? EACCES : ENOENT)
    }

    private func cannotRun(_ error: CInt) -> SteeringError {
        SteeringError(
            .programUnavailable,
            "cannot run \(words[0]) (\(describe(errno: error))): give a program that \(whose) may run",
            cause: .systemCall("execvp", errno: error))
    }

    private var whose: String { account.map { "user \($0.user)" } ?? "this user" }

    private func pass(_ descriptors: [CInt]) throws(SteeringError) {
        let first: CInt = 3  // SD_LISTEN_FDS_START
        let end = first + CInt(descriptors.count)
        // Out of the way first: one of them may have the number that another is to get.
        var duplicates: [CInt] = []
        for descriptor in descriptors {
            duplicates.append(try systemCall("fcntl") { fcntl(descriptor, F_DUPFD_CLOEXEC, end) })
        }
        for (number, duplicate) in zip(first..., duplicates) { try systemCall("dup2") { dup2(duplicate, number) } }
    }
}

/// Who a process can be: a user, with the groups that the machine knows it to have.
package struct Account: Sendable, Hashable {
    package let user: uid_t
    private let group: gid_t
    private let groups: [gid_t]
    private let name, home, shell: String

    /// - Returns: Nil where the machine has no such user.
    package init?(user: uid_t) {
        guard let entry = getpwuid(user)?.pointee else { return nil }
        self.user = user
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

    /// Gives the calling process what a service of this account begins with, and nothing that was meant for this one.
    func setEnvironment() {
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

    /// Makes the calling process this one's, for good. Another user's needs CAP_SETUID and CAP_SETGID.
    func assume() throws(SteeringError) {
        guard user != geteuid() else { return }
        try systemCall("setgroups") { setgroups(groups.count, groups) }
        try systemCall("setgid") { setgid(group) }
        try systemCall("setuid") { setuid(user) }
    }
}
