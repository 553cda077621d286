import Glibc

/// Reads /proc. A process may end while it is read; then there is nothing to read, which is no error here.
package enum ProcFS {
    /// Returns the beginning of a file, up to a limit in bytes; nil if it cannot be opened.
    static func text(_ path: String, limit: Int = 8192) -> String? {
        let opened = open(path, O_RDONLY | O_CLOEXEC)
        guard opened >= 0 else { return nil }
        let file = OwnedDescriptor(owning: opened)
        let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            while count < limit {
                let more = read(file.rawValue, buffer.baseAddress! + count, limit - count)
                if more <= 0 { break }
                count += more
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Returns the words of a field in `/proc/PROCESS/status`, such as `Uid`.
    static func status(_ field: String, of process: String) -> [Substring] {
        let lines = text("/proc/\(process)/status")?.split(separator: "\n") ?? []
        let line = lines.first { $0.hasPrefix(field) && $0.dropFirst(field.count).first == ":" }
        return line?.dropFirst(field.count + 1).split(whereSeparator: \.isWhitespace) ?? []
    }

    /// Returns the process of a thread; nil if there is no such thread.
    static func process(ofThread thread: pid_t) -> pid_t? {
        status("Tgid", of: "\(thread)").first.flatMap { pid_t($0) }
    }

    /// Whether a process is exiting, or a zombie (PF_EXITING, see proc_pid_stat(5)). Its descriptors cannot be
    /// inspected any more.
    static func isExiting(_ process: pid_t) -> Bool {
        // Skip the command, which is in parentheses and may itself contain parentheses.
        let fields = text("/proc/\(process)/stat")?.split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 6, let flags = UInt32(fields[6]) else { return false }
        return flags & 0x4 != 0
    }

    /// Whether a process waits in the kernel, where no signal reaches it (state D).
    package static func isUninterruptible(_ process: pid_t) -> Bool {
        text("/proc/\(process)/stat")?.split(separator: ")").last?.split(separator: " ").first == "D"
    }

    /// Returns the start time of a process, in clock ticks since boot, which together with the PID identifies it; nil
    /// if it has ended.
    static func startTime(of process: pid_t) -> UInt64? {
        let fields = text("/proc/\(process)/stat")?.split(separator: ")").last?.split(separator: " ") ?? []
        return fields.count > 19 ? UInt64(fields[19]) : nil
    }

    /// Returns the children of a process.
    package static func children(of process: pid_t) -> [pid_t] {
        var children: [pid_t] = []
        _ = forEachNumber(in: "/proc/\(process)/task") { _, _, thread in
            let text = text("/proc/\(process)/task/\(thread)/children", limit: 1 << 16) ?? ""
            children += text.split(separator: " ").compactMap { pid_t($0) }
            return true
        }
        return children
    }

    /// Passes each visible process to a closure, in the order of PIDs, until the closure returns false.
    static func forEachProcess(_ body: (pid_t) -> Bool) throws(SteeringError) {
        let error = forEachNumber(in: "/proc") { _, _, number in body(number) }
        if error != 0 { throw .failed("opendir(/proc)", error) }
    }

    /// Passes each socket of a process to a closure, as its descriptor and inode number, until the closure returns
    /// false.
    ///
    /// - Returns: 0, or an errno if some could not be read: EACCES, or ENOENT if the process has ended or is hidden.
    static func forEachSocket(of process: pid_t, _ body: (_ descriptor: CInt, _ inode: UInt32) -> Bool) -> CInt {
        var unreadable: CInt = 0
        let error = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 32) { link in
            forEachNumber(in: "/proc/\(process)/fd") { directory, name, descriptor in
                let length = readlinkat(directory, name, link.baseAddress!, link.count)
                if length < 0, errno == EACCES { unreadable = EACCES }
                guard length > 9, strncmp(link.baseAddress!, "socket:[", 8) == 0 else { return true }
                var inode: UInt32 = 0
                for digit in link[8..<length - 1] { inode = inode &* 10 &+ UInt32(truncatingIfNeeded: digit - 48) }
                return body(descriptor, inode)
            }
        }
        return error != 0 ? error : unreadable
    }

    /// Passes each entry of a directory with a numeric name to a closure, until the closure returns false.
    ///
    /// - Returns: 0, or an errno.
    private static func forEachNumber(
        in path: String, _ body: (_ directory: CInt, _ name: UnsafePointer<CChar>, _ number: CInt) -> Bool
    ) -> CInt {
        guard let directory = opendir(path) else { return errno }
        defer { closedir(directory) }
        let nameOffset = MemoryLayout<dirent>.offset(of: \.d_name)!
        while true {
            errno = 0
            guard let entry = readdir(directory) else { return errno }
            let name = (UnsafeRawPointer(entry) + nameOffset).assumingMemoryBound(to: CChar.self)
            guard (48...57).contains(name.pointee) else { continue }
            if !body(dirfd(directory), name, CInt(atoi(name))) { return 0 }
        }
    }
}
