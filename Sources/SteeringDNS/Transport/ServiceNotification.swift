import Glibc

/// What a service tells the service manager that started it, as sd_notify(3) does.
public enum ServiceNotification {
    /// Sends lines such as `READY=1`; nothing where there is no service manager ($NOTIFY_SOCKET).
    public static func send(_ lines: String) {
        guard let path = getenv("NOTIFY_SOCKET").map({ Array(String(cString: $0).utf8) }), !path.isEmpty else { return }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        withUnsafeMutableBytes(of: &address.sun_path) { name in
            name.copyBytes(from: path)
            // An abstract name is written with @ in the place of the NUL that it begins with.
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

    /// `RELOADING=1`, with the time as it must go along (CLOCK_MONOTONIC).
    public static func sendReloading() {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        send("RELOADING=1\nMONOTONIC_USEC=\(Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1_000)")
    }
}
