import Glibc

/// Replaces a file in one step: readers see all of the old text or all of the new one.
enum ReplacedFile {
    /// The errno of the call that failed.
    struct Failure: Error {
        let errno: CInt
    }

    /// Writes a file beside the old one and renames it.
    ///
    /// The new file has the owner, group and mode of the old one; without one, the mode 0644.
    ///
    /// - Throws: ``Failure``, EPERM if this user cannot keep the owner. The old file is unchanged then, and nothing is
    ///   left beside it.
    static func write(_ bytes: [UInt8], to path: String) throws(Failure) {
        let beside = beside(path)
        // A command that was killed can have left one.
        unlink(beside)
        let file = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Failure(errno: Glibc.errno) }
        defer { close(file) }
        do throws(Failure) {
            try keepOwnerAndMode(of: path, file)
            try write(bytes, file)
            guard fsync(file) == 0, rename(beside, path) == 0 else { throw Failure(errno: Glibc.errno) }
        } catch {
            unlink(beside)
            throw error
        }
    }

    /// A hidden name in the same directory, so that renaming is one step.
    private static func beside(_ path: String) -> String {
        let name = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
        return "\(path[..<name]).\(path[name...]).new"
    }

    private static func keepOwnerAndMode(of path: String, _ file: CInt) throws(Failure) {
        var old = stat(), new = stat()
        var mode: mode_t = 0o644
        if stat(path, &old) == 0, fstat(file, &new) == 0 {
            mode = old.st_mode & 0o7777
            if old.st_uid != new.st_uid || old.st_gid != new.st_gid {
                guard fchown(file, old.st_uid, old.st_gid) == 0 else { throw Failure(errno: Glibc.errno) }
            }
        }
        guard fchmod(file, mode) == 0 else { throw Failure(errno: Glibc.errno) }
    }

    private static func write(_ bytes: [UInt8], _ file: CInt) throws(Failure) {
        var left = bytes[...]
        while !left.isEmpty {
            let count = Glibc.write(file, Array(left), left.count)
            if count < 0, Glibc.errno == EINTR { continue }
            guard count > 0 else { throw Failure(errno: Glibc.errno) }
            left.removeFirst(count)
        }
    }
}
