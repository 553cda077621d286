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

    /// Makes a copy of this process, which must have one thread: in a session of its own, it does what the closure says.
    package static func copy(_ body: () -> Never) throws(SteeringError) -> ChildProcess {
        let pid = try call("fork", csteering_fork())
        if pid == 0 {
            setsid()
            body()
        }
        let descriptor = OwnedDescriptor(owning: try call("pidfd_open", csteering_pidfd_open(pid)))
        return ChildProcess(pid, SharedDescriptor(descriptor))
    }

    /// Waits until it has ended; how, in words.
    package func outcome() -> String {
        var status: CInt = 0
        guard waitpid(pid, &status, 0) == pid else { return "unknown" }
        // WIFEXITED and the like are macros.
        let signal = status & 0x7f
        return signal == 0 ? "exit code \(status >> 8 & 0xff)" : "signal \(signal)"
    }

    /// Closes everything but standard input, output and error, and this one, which becomes the descriptor 3.
    package static func keepOpen(_ descriptor: CInt) throws(SteeringError) {
        let kept: CInt = 3
        if descriptor != kept { try systemCall("dup2") { dup2(descriptor, kept) } }
        try systemCall("fcntl") { fcntl(kept, F_SETFD, FD_CLOEXEC) }
        try call("close_range", csteering_close_from(kept + 1))
    }
}
