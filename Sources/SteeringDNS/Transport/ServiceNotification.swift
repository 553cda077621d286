import Glibc

/// Notifications to the service manager that started this process, as with sd_notify(3).
public enum ServiceNotification {
    /// Sends state lines to $NOTIFY_SOCKET, if that is set; errors are ignored.
    ///
    /// - Parameter lines: Assignments such as `READY=1`, separated by newlines.
    public static func send(_ lines: String) {
        guard let path = getenv("NOTIFY_SOCKET").map({ Array(String(cString: $0).utf8) }), !path.isEmpty else { return }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        withUnsafeMutableBytes(of: &address.sun_path) { name in
            name.copyBytes(from: path)
            // `@` denotes an abstract socket name, which starts with a NUL byte.
            if path[0] == UInt8(ascii: "@") { name[0] = 0 }
        }
        let number = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { return }
        defer { close(number) }
        let text = Array(lines.utf8)
        let size = socklen_t(MemoryLayout.offset(of: \sockaddr_un.sun_path)! + path.count)
        withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = sendto(number, text, text.count, CInt(MSG_NOSIGNAL), $0, size)
            }
        }
    }

    /// Sends `RELOADING=1` with the current time (CLOCK_MONOTONIC), as the protocol requires.
    public static func sendReloading() {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        send("RELOADING=1\nMONOTONIC_USEC=\(Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1_000)")
    }
}
