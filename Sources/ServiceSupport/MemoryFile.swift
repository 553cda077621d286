import CSteering
import Glibc
import Steering

/// Files in memory (memfd), for passing bytes to another process.
package enum MemoryFile {
    /// Creates a file.
    ///
    /// - Parameters:
    ///   - name: The name that /proc/PID/fd shows.
    ///   - bytes: The contents.
    /// - Throws: `systemCall`.
    package static func make(_ name: String, _ bytes: [UInt8]) throws(SteeringError) -> SharedDescriptor {
        let file = OwnedDescriptor(owning: try call("memfd_create", csteering_memory_file(name)))
        var written = 0
        while written < bytes.count {
            let count = write(file.rawValue, Array(bytes[written...]), bytes.count - written)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw .failed("write", errno) }
            written += count
        }
        return SharedDescriptor(file)
    }

    /// Returns the contents of a file from its beginning, whatever its offset. Stops soon after the limit, in bytes.
    ///
    /// - Throws: `systemCall`.
    package static func contents(of file: SharedDescriptor, limit: Int = 1 << 20) throws(SteeringError) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        let size = chunk.count
        while bytes.count < limit {
            let count = file.lend { pread($0, &chunk, size, bytes.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .failed("pread", errno) }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        return bytes
    }
}
