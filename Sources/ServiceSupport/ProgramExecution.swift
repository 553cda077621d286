import Glibc
import LinuxSockets
import Steering

/// A program to run in place of this one, with sockets passed as a service manager passes them: see sd_listen_fds(3).
package struct ProgramExecution: Sendable {
    /// The program, as a path or a name to find in $PATH, and its arguments.
    package let words: [String]
    /// Variables to set in addition to this process's environment or, with an account, the account's; nil unsets one.
    package let environment: [String: String?]
    /// The account to run as: without capabilities, and with the environment, working directory and umask of a service.
    /// Nil to keep the identity and privileges of this process.
    package let account: Account?

    package init(_ words: [String], environment: [String: String?] = [:], as account: Account? = nil) {
        self.words = words
        self.environment = environment
        self.account = account
    }

    /// Runs the program, with the descriptors as 3, 4 and so on. Other descriptors without close-on-exec stay open.
    ///
    /// - Parameters:
    ///   - descriptors: The descriptors to pass.
    ///   - name: The name of all of them ($LISTEN_FDNAMES).
    /// - Returns: An error, only if the program cannot be run. This process should then end: it may lack descriptors
    ///   and privileges.
    package func run(passing descriptors: [CInt] = [], as name: String = "") -> SteeringError {
        run(passing: descriptors.map { ($0, name) })
    }

    /// Runs the program, with a name for each descriptor.
    package func run(passing sockets: [(descriptor: CInt, name: String)]) -> SteeringError {
        do throws(SteeringError) {
            try pass(sockets.map(\.descriptor))
            let count = sockets.count
            let names = sockets.map(\.name).joined(separator: ":")
            // With nothing to pass, unset the variables: those of this process are not for the program.
            let passed = [
                "LISTEN_PID": "\(getpid())", "LISTEN_FDS": "\(count)", "LISTEN_FDNAMES": names,
            ].mapValues { count > 0 ? $0 : nil }
            account?.setEnvironment()
            for (name, value) in passed.merging(environment, uniquingKeysWith: { $1 }) {
                if let value { setenv(name, value, 1) } else { unsetenv(name) }
            }
            // The program would inherit the signal mask.
            var none = sigset_t()
            sigemptyset(&none)
            sigprocmask(SIG_SETMASK, &none, nil)
            if let account {
                do throws(Account.SwitchError) { try account.assume() } catch { throw .failed(error.call, error.errno) }
                try Capabilities.dropAll()
            }
            var arguments = words.map { strdup($0) } + [nil]
            try systemCall("execvp") { execvp(words[0], &arguments) }
            return .failed("execvp", 0)
        } catch {
            return cannotRun(error.errno)
        }
    }

    /// Checks that the program exists and is executable.
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
        let first = ListenDescriptors.first
        let end = first + CInt(descriptors.count)
        // First duplicate all to higher numbers, so that no dup2 overwrites one that is still needed.
        var duplicates: [CInt] = []
        for descriptor in descriptors {
            duplicates.append(try systemCall("fcntl") { fcntl(descriptor, F_DUPFD_CLOEXEC, end) })
        }
        for (number, duplicate) in zip(first..., duplicates) { try systemCall("dup2") { dup2(duplicate, number) } }
    }
}
