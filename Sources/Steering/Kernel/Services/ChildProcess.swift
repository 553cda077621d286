import CSteering
import Glibc

/// A process that this one has made.
package final class ChildProcess: Sendable {
    /// Its number, which means it until ``outcome()`` was asked for.
    package let pid: pid_t
    /// Readable when it has ended (pidfd).
    package let descriptor: SharedDescriptor

    private init(_ pid: pid_t, _ descriptor: SharedDescriptor) {
        self.pid = pid
        self.descriptor = descriptor
    }

    /// Makes a copy of this process, which must have one thread; it does what the closure says.
    package static func copy(_ body: () -> Never) throws(SteeringError) -> ChildProcess {
        let pid = try call("fork", csteering_fork())
        if pid == 0 { body() }
        let descriptor = OwnedDescriptor(owning: try call("pidfd_open", csteering_pidfd_open(pid)))
        return ChildProcess(pid, SharedDescriptor(descriptor))
    }

    /// A process that runs already. Its ``outcome()`` is told only of one that this process has adopted.
    ///
    /// - Throws: `systemCall` where there is none of that number.
    package static func running(_ pid: pid_t) throws(SteeringError) -> ChildProcess {
        ChildProcess(pid, SharedDescriptor(OwnedDescriptor(owning: try call("pidfd_open", csteering_pidfd_open(pid)))))
    }

    /// Whether this process has started or adopted it.
    package static func isOwn(_ pid: pid_t) -> Bool { ProcFS.children(of: getpid()).contains(pid) }

    /// Whether it has ended.
    package var hasEnded: Bool { Self.hasEnded(descriptor) }

    /// How it ended. Waits until it has.
    package func outcome() -> Outcome {
        var status: CInt = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        // WIFEXITED and the like are macros.
        return status & 0x7f == 0 ? .exited(status >> 8 & 0xff) : .killed(status & 0x7f)
    }

    /// How a process ended: by itself, or by a signal.
    package enum Outcome: Sendable, Hashable, CustomStringConvertible {
        case exited(CInt)
        case killed(CInt)

        package var description: String {
            switch self {
            case .exited(let code): "exit code \(code)"
            case .killed(let signal): "signal \(signal)"
            }
        }

        /// What a shell's $? is.
        package var exitCode: CInt {
            switch self {
            case .exited(let code): code
            case .killed(let signal): 128 + signal
            }
        }
    }

    /// Has processes whose parent ends become this one's children, of all that descend from it.
    package static func adoptDescendants() throws(SteeringError) {
        try call("prctl(PR_SET_CHILD_SUBREAPER)", csteering_adopt_descendants())
    }

    /// Forgets adopted processes that have ended, but not this one.
    package func forgetOthers() {
        while true {
            var information = siginfo_t()
            guard waitid(P_ALL, 0, &information, WEXITED | WNOHANG | WNOWAIT) == 0 else { return }
            let ended = information._sifields._sigchld.si_pid
            guard ended != 0, ended != pid else { return }
            waitpid(ended, nil, 0)
        }
    }

    /// Ends all processes that this one has started or adopted: kindly at first, with force after five seconds.
    ///
    /// - Returns: Whether there was any.
    @discardableResult
    package static func endAll() -> Bool {
        var found = false
        for turn in 0..<200 {
            while waitpid(-1, nil, WNOHANG) > 0 {}
            let children = ProcFS.children(of: getpid())
            if children.isEmpty { break }
            found = true
            // Those that it adopts meanwhile have not been told yet.
            for child in children { kill(child, turn < 100 ? SIGTERM : SIGKILL) }
            usleep(50_000)
        }
        return found
    }

    /// Ends a process at once (SIGKILL), by the descriptor that means it. One that waits in the kernel may stay for longer.
    package static func forceEnd(of process: SharedDescriptor) { _ = csteering_pidfd_kill(process.rawValue) }

    /// Whether the process that a descriptor means has ended.
    package static func hasEnded(_ process: SharedDescriptor) -> Bool {
        process.lend { number in
            var state = pollfd(fd: number, events: Int16(POLLIN), revents: 0)
            return poll(&state, 1, 0) > 0
        }
    }

    /// Makes a copy of this process that ends when what is returned is closed. A descriptor that both have is then closed by
    /// ending, for which no socket lingers. SIGCHLD must be ignored.
    package static func copyThatEnds() throws(SteeringError) -> OwnedDescriptor {
        var ends: [CInt] = [-1, -1]
        try systemCall("pipe") { pipe(&ends) }
        let reading = OwnedDescriptor(owning: ends[0])
        let writing = OwnedDescriptor(owning: ends[1])
        guard try call("fork", csteering_fork()) == 0 else { return writing }
        close(writing.release())
        var byte: UInt8 = 0
        while read(reading.rawValue, &byte, 1) < 0, errno == EINTR {}
        _exit(0)
    }

    /// Lets go of standard input, output and error: whoever reads what a process prints waits for its end.
    package static func muteStandardStreams() throws(SteeringError) {
        let null = try systemCall("open") { open("/dev/null", O_RDWR | O_CLOEXEC) }
        for number in STDIN_FILENO...STDERR_FILENO { try systemCall("dup2") { dup2(null, number) } }
        if null > STDERR_FILENO { close(null) }
    }

    /// Closes everything but standard input, output and error, and this one, which becomes the descriptor 3.
    package static func keepOpen(_ descriptor: CInt) throws(SteeringError) {
        let kept: CInt = 3
        if descriptor != kept { try systemCall("dup2") { dup2(descriptor, kept) } }
        try systemCall("fcntl") { fcntl(kept, F_SETFD, FD_CLOEXEC) }
        try call("close_range", csteering_close_from(kept + 1))
    }
}
