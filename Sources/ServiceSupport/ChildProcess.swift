import CSteering
import Glibc
import Steering

/// A process that this one has started or watches.
package final class ChildProcess: Sendable {
    /// The PID. That of a child cannot be reused before ``outcome()`` returns.
    package let pid: pid_t
    /// The pidfd, readable once the process has ended.
    package let descriptor: SharedDescriptor

    private init(_ pid: pid_t, _ descriptor: SharedDescriptor) {
        self.pid = pid
        self.descriptor = descriptor
    }

    /// Forks this process, which must have a single thread, and runs the closure in the child.
    ///
    /// - Throws: `systemCall`.
    package static func copy(_ body: () -> Never) throws(SteeringError) -> ChildProcess {
        let pid = try call("fork", csteering_fork())
        if pid == 0 { body() }
        let descriptor = OwnedDescriptor(owning: try call("pidfd_open", csteering_pidfd_open(pid)))
        return ChildProcess(pid, SharedDescriptor(descriptor))
    }

    /// Returns a running process. ``outcome()`` works only for children of this process, including adopted ones.
    ///
    /// - Throws: `systemCall` if no process has that PID.
    package static func running(_ pid: pid_t) throws(SteeringError) -> ChildProcess {
        ChildProcess(pid, SharedDescriptor(OwnedDescriptor(owning: try call("pidfd_open", csteering_pidfd_open(pid)))))
    }

    /// Whether a process is a child of this one, including adopted ones.
    package static func isOwn(_ pid: pid_t) -> Bool { ProcFS.children(of: getpid()).contains(pid) }

    /// Whether the process has ended.
    package var hasEnded: Bool { Self.hasEnded(descriptor) }

    /// Waits until the process ends, and returns how it ended.
    package func outcome() -> Outcome {
        var status: CInt = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        // WIFEXITED and the like are macros, which Swift does not import.
        return status & 0x7f == 0 ? .exited(status >> 8 & 0xff) : .killed(status & 0x7f)
    }

    /// How a process ended: by exiting, or by a signal.
    package enum Outcome: Sendable, Hashable, CustomStringConvertible {
        case exited(CInt)
        case killed(CInt)

        package var description: String {
            switch self {
            case .exited(let code): "exit code \(code)"
            case .killed(let signal): "signal \(signal)"
            }
        }

        /// The exit status as a shell's $? reports it.
        package var exitCode: CInt {
            switch self {
            case .exited(let code): code
            case .killed(let signal): 128 + signal
            }
        }
    }

    /// Makes this process adopt its orphaned descendants (PR_SET_CHILD_SUBREAPER), which /proc lists.
    ///
    /// - Throws: `systemCall`, also if /proc is not mounted.
    package static func adoptDescendants() throws(SteeringError) {
        guard access("/proc/self/task", F_OK) == 0 else {
            throw SteeringError(
                .systemCall,
                "/proc is not mounted, and without it neither the processes of a program nor their sockets can be found: mount it (mount -t proc proc /proc)",
                cause: .systemCall("access(/proc/self/task)", errno: errno))
        }
        try call("prctl(PR_SET_CHILD_SUBREAPER)", csteering_adopt_descendants())
    }

    /// Reaps adopted processes that have ended, but not this one.
    package func forgetOthers() {
        while true {
            var information = siginfo_t()
            guard waitid(P_ALL, 0, &information, WEXITED | WNOHANG | WNOWAIT) == 0 else { return }
            let ended = information._sifields._sigchld.si_pid
            guard ended != 0, ended != pid else { return }
            waitpid(ended, nil, 0)
        }
    }

    /// Ends all children of this process, including adopted ones, with SIGTERM, and after five seconds with SIGKILL.
    ///
    /// - Returns: Whether there were any.
    @discardableResult
    package static func endAll() -> Bool {
        var found = false
        for turn in 0..<200 {
            while waitpid(-1, nil, WNOHANG) > 0 {}
            let children = ProcFS.children(of: getpid())
            if children.isEmpty { break }
            found = true
            // Includes children adopted since the last turn.
            for child in children { kill(child, turn < 100 ? SIGTERM : SIGKILL) }
            usleep(50_000)
        }
        return found
    }

    /// Kills a process by its pidfd (SIGKILL). One that is blocked in the kernel may take longer to end.
    package static func forceEnd(of process: SharedDescriptor) { _ = csteering_pidfd_kill(process.rawValue) }

    /// Whether the process of a pidfd has ended.
    package static func hasEnded(_ process: SharedDescriptor) -> Bool {
        process.lend { number in
            var state = pollfd(fd: number, events: Int16(POLLIN), revents: 0)
            return poll(&state, 1, 0) > 0
        }
    }

    /// Whether a process waits in the kernel, where no signal reaches it (state D).
    package static func isUninterruptible(_ pid: pid_t) -> Bool { ProcFS.isUninterruptible(pid) }

    /// Forks a child that exits when the returned descriptor is closed.
    ///
    /// The child has duplicates of all descriptors. If this process closes a socket first, the child closes the last
    /// duplicate on exit, and a socket closed on exit does not linger. SIGCHLD must be ignored.
    ///
    /// - Throws: `systemCall`.
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

    /// Redirects standard input, output and error to /dev/null, because readers of its output wait until all copies are
    /// closed.
    ///
    /// - Throws: `systemCall`.
    package static func muteStandardStreams() throws(SteeringError) {
        let null = try systemCall("open") { open("/dev/null", O_RDWR | O_CLOEXEC) }
        for number in STDIN_FILENO...STDERR_FILENO { try systemCall("dup2") { dup2(null, number) } }
        if null > STDERR_FILENO { close(null) }
    }

    /// Closes all descriptors except standard input, output, error and the given one, which becomes descriptor 3.
    ///
    /// - Throws: `systemCall`.
    package static func keepOpen(_ descriptor: CInt) throws(SteeringError) {
        let kept: CInt = 3
        if descriptor != kept { try systemCall("dup2") { dup2(descriptor, kept) } }
        try systemCall("fcntl") { fcntl(kept, F_SETFD, FD_CLOEXEC) }
        try call("close_range", csteering_close_from(kept + 1))
    }
}
