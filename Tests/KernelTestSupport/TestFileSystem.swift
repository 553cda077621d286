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

    /// Everything in it, sorted; directories end in a slash, generations are left out.
    public func listing() throws -> [String] { try Self.listing(of: path) }

    /// The same for a path.
    public static func listing(of path: String) throws -> [String] {
        try shell(
            "cd \(path) && find . -mindepth 1 ! -name '*.debug' -printf '%P%y\\n' | sed 's/d$/\\//; s/[^/]$//; s/bindings-.*/bindings/' | sort"
        )
        .split(separator: "\n").map(String.init)
    }
}
