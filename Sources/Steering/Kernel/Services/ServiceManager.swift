import CSteering
import Glibc

/// The service manager that started this process, as sd_notify(3) speaks to it.
package final class ServiceManager: Sendable {
    private let socket: OwnedDescriptor

    /// - Returns: Nil where there is none to be told anything ($NOTIFY_SOCKET).
    package init?(environment: [String: String] = environmentVariables(["NOTIFY_SOCKET"])) {
        guard let path = environment["NOTIFY_SOCKET"] else { return nil }
        // An abstract name is written with @ in the place of the NUL that it begins with.
        guard let address = UnixPath(named: path) else { return nil }
        let made = Glibc.socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard made >= 0 else { return nil }
        socket = OwnedDescriptor(owning: made)
        guard (try? address.pass(to: "connect") { connect(made, $0, $1) }) != nil else { return nil }
    }

    /// Tells it something: lines such as `READY=1`. What cannot be told is lost: nothing depends on it here.
    package func notify(_ lines: String, _ descriptors: [CInt] = []) {
        let bytes = Array(lines.utf8)
        _ = csteering_send_message(socket.rawValue, bytes, bytes.count, descriptors, descriptors.count)
    }

    /// How often it wants to hear from this process ($WATCHDOG_USEC), if at all.
    package static func watchdogInterval(
        environment: [String: String] = environmentVariables(["WATCHDOG_USEC", "WATCHDOG_PID"])
    ) -> Duration? {
        guard let microseconds = environment["WATCHDOG_USEC"].flatMap({ Int64($0) }), microseconds > 0,
            environment["WATCHDOG_PID"].map({ pid_t($0) == getpid() }) ?? true
        else { return nil }
        return .microseconds(microseconds)
    }

    /// The time as `RELOADING=1` wants it (CLOCK_MONOTONIC).
    package static var monotonicMicroseconds: Int64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1_000
    }
}
