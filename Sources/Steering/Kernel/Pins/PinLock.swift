import Glibc

/// The exclusive right to change the pins of a network namespace. It ends with this value, or with the process.
///
/// An flock on a directory that only root can open, so that no other user can hold up the writers.
struct PinLock: ~Copyable {
    private let path: String
    private let descriptor: OwnedDescriptor

    /// How long a writer waits unless it says otherwise, in milliseconds.
    static let patience = 10_000

    /// Takes the lock, waiting until its holder releases it.
    ///
    /// - Parameters:
    ///   - pins: The pins to lock.
    ///   - patience: How long to wait, in milliseconds; 0 to try once.
    /// - Throws: `busy` after that time, naming the holder; `storageUnavailable`.
    init(_ pins: Pins, patience: Int = PinLock.patience) throws(SteeringError) {
        let path = pins.lock
        self.path = path
        var waited = 0
        while true {
            try Pins.makeDirectory(path, 0o700)
            let candidate: OwnedDescriptor
            do throws(SteeringError) {
                candidate = OwnedDescriptor(
                    owning: try systemCall("open") {
                        open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                    })
            } catch {
                // The holder removed the directory between mkdir and open.
                if error.errno == ENOENT { continue }
                throw .storage("opening", path, error.errno)
            }
            while flock(candidate.rawValue, LOCK_EX | LOCK_NB) != 0 {
                guard errno == EWOULDBLOCK || errno == EINTR else { throw .storage("locking", path, errno) }
                guard waited < patience else {
                    throw .busy(path, after: patience, holder: Self.holder(of: candidate.rawValue))
                }
                usleep(1_000)
                waited += 1
            }
            // A former holder may have removed and replaced the directory; only a lock on the current one counts.
            if try Pins.identity(of: path) == Self.inode(candidate.rawValue) {
                descriptor = candidate
                return
            }
        }
    }

    /// Releases the lock.
    func release() { flock(descriptor.rawValue, LOCK_UN) }

    /// Removes the lock directory, together with the state that it protects.
    func remove() {
        // A lock directory that remains is harmless.
        try? settled { () throws(SteeringError) in try Pins.unlink(path) }
    }

    private static func inode(_ descriptor: CInt) -> UInt64 {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? UInt64(status.st_ino) : 0
    }

    /// Returns the process that holds the lock, from /proc/locks: `1: FLOCK  ADVISORY  WRITE 4711 00:20:1234 0 EOF`.
    private static func holder(of descriptor: CInt) -> String {
        guard let locks = ProcFS.text("/proc/locks", limit: 1 << 20) else { return "another process" }
        let suffix = ":\(inode(descriptor))"
        for line in locks.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 5, fields[1] == "FLOCK", fields[5].hasSuffix(suffix) else { continue }
            guard let owner = pid_t(fields[4]).flatMap({ SocketOwner(pid: $0) }) else { return "process \(fields[4])" }
            return "process \(owner.pid) (\(owner.command))"
        }
        return "another process"
    }
}

extension SteeringError {
    static func busy(_ path: String, after milliseconds: Int, holder: String) -> SteeringError {
        let wait = milliseconds < 1_000 ? "" : " and did not finish within \(milliseconds / 1_000) s"
        return SteeringError(
            .busy, "\(holder) is changing the steering\(wait): wait for it, or end it and try again")
    }
}
