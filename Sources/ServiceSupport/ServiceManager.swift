import CSteering
import Glibc
import Steering
import LinuxSockets

/// The service manager that started this process, notified as sd_notify(3) does.
package final class ServiceManager: Sendable {
    private let socket: OwnedDescriptor

    /// Connects to $NOTIFY_SOCKET; returns nil if it is not set or cannot be used.
    package init?(environment: [String: String] = environmentVariables(["NOTIFY_SOCKET"])) {
        guard let path = environment["NOTIFY_SOCKET"] else { return nil }
        // An abstract name is written with @ in place of the leading NUL.
        guard let address = UnixPath(named: path) else { return nil }
        let made = Glibc.socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard made >= 0 else { return nil }
        socket = OwnedDescriptor(owning: made)
        guard (try? address.pass(to: "connect") { connect(made, $0, $1) }) != nil else { return nil }
    }

    /// Sends lines such as `READY=1`, without waiting.
    ///
    /// - Returns: False if there is no room for the message now: the manager's queue is full, or the kernel lacks memory
    ///   or has too many descriptors in transit. Other errors are ignored.
    package func send(_ lines: String, _ descriptors: [CInt] = []) -> Bool {
        let bytes = Array(lines.utf8)
        let sent = csteering_send_message(socket.rawValue, bytes, bytes.count, descriptors, descriptors.count)
        return ![EAGAIN, EINTR, ENOBUFS, ENOMEM, ETOOMANYREFS].contains(CInt(-min(sent, 0)))
    }

    /// Sends lines; waits up to a second while there is no room for them.
    package func notify(_ lines: String) {
        for _ in 0..<50 {
            if send(lines) { return }
            usleep(20_000)
        }
    }

    /// The interval within which the service manager expects a keep-alive ($WATCHDOG_USEC); nil for none.
    package static func watchdogInterval(
        environment: [String: String] = environmentVariables(["WATCHDOG_USEC", "WATCHDOG_PID"])
    ) -> Duration? {
        guard let microseconds = environment["WATCHDOG_USEC"].flatMap({ Int64($0) }), microseconds > 0,
            environment["WATCHDOG_PID"].map({ pid_t($0) == getpid() }) ?? true
        else { return nil }
        return .microseconds(microseconds)
    }

    /// The time in microseconds to send with `RELOADING=1` (CLOCK_MONOTONIC).
    package static var monotonicMicroseconds: Int64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1_000
    }
}
