import Foundation
import KernelTestSupport

/// Builds of the BPF program other than the one that is shipped.
enum BPFObject {
    /// The Swift toolchain's own, which lies beside swift.
    static let toolchainCompiler = "$(dirname \"$(readlink -f \"$(command -v swift)\")\")/clang"

    /// - Parameters:
    ///   - flags: For the compiler, as a shell has them.
    ///   - clang: The compiler.
    static func compiled(_ flags: String = "", by clang: String = toolchainCompiler) throws -> [UInt8] {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path
        let object = FileManager.default.temporaryDirectory.appending(path: "steering-\(UUID()).bpf.o")
        defer { try? FileManager.default.removeItem(at: object) }
        try shell(
            """
            \(clang) -target bpfel -O2 -g -mcpu=v3 -Wall -Wextra -Werror \(flags) -I \(root)/CBPF/CSteering/include \
            -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu \
            -c \(root)/bpf-programs/steering.bpf.c -o \(object.path)
            """)
        return Array(try Data(contentsOf: object))
    }
}
