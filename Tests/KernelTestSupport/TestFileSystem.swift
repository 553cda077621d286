import Glibc
import Steering

/// A BPF file system of a test's own, mounted in the mount namespace that `scripts/test` makes; unmounted
/// with the last reference.
public final class TestFileSystem: Sendable {
    public let path: String

    public init(options: String = "mode=0755") throws {
        path = "/run/steering-test/\(UInt64.random(in: 0...UInt64.max))"
        try shell("mkdir -p \(path) && mount -t bpf -o \(options) bpf \(path)")
    }

    deinit { _ = try? shell("umount -l \(path) && rmdir \(path)") }

    /// Everything in it, sorted; directories end in a slash.
    public func listing() throws -> [String] {
        try shell("cd \(path) && find . -mindepth 1 -printf '%P%y\\n' | sed 's/d$/\\//; s/[^/]$//' | sort")
            .split(separator: "\n").map(String.init)
    }
}
