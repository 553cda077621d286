import Glibc
import Testing

/// Programs of this package that tests run in processes of their own.
public enum Programs {
    /// The path of a built product: beside the test bundle.
    public static func path(of product: String) throws -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let folder = String(decoding: buffer[..<max(0, count)], as: UTF8.self).split(separator: "/").dropLast()
        let path = "/" + folder.joined(separator: "/") + "/" + product
        try verify(access(path, X_OK) == 0, "\(path) is not built")
        return path
    }

    /// Runs a shell command in a fresh network namespace with loopback up; its output and exit code.
    public static func run(_ command: String) throws -> (output: String, exitCode: Int32) {
        let quoted = command.replacing("'", with: "'\\''")
        let (output, status) = Commands.run("exec unshare -n sh -c 'ip link set lo up; \(quoted)'")
        return (output, status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f)
    }
}
