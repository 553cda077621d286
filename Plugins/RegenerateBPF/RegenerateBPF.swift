import Foundation
import PackagePlugin

/// Compiles the BPF program with the Swift toolchain's clang.
///
/// With `--check`, only checks that the committed object is what this toolchain produces from the sources, and exits
/// with status 1 if not.
@main
struct RegenerateBPF: CommandPlugin {
    func performCommand(context: PluginContext, arguments: [String]) throws {
        let root = context.package.directoryURL
        let committed = root.appending(path: "CBPF/CSteering/steering.bpf.o")
        let compiled = context.pluginWorkDirectoryURL.appending(path: "steering.bpf.o")

        let clang = try context.tool(named: "clang").url
        try run(
            clang,
            [
                "-target", "bpfel", "-O2", "-g", "-mcpu=v3", "-Wall", "-Wextra", "-Werror",
                "-I", root.appending(path: "CBPF/CSteering/include").path,
                // asm/types.h is in the multiarch directory, which clang does not search for the BPF target.
                "-idirafter", "/usr/include/x86_64-linux-gnu", "-idirafter", "/usr/include/aarch64-linux-gnu",
                "-ffile-prefix-map=\(root.path)=.", "-fdebug-compilation-dir=.",
                "-c", root.appending(path: "bpf-programs/steering.bpf.c").path, "-o", compiled.path,
            ])
        // Keeps BTF, which libbpf needs.
        try run(try context.tool(named: "llvm-objcopy").url, ["--strip-debug", compiled.path])

        let fresh = try Data(contentsOf: compiled)
        let current = try? Data(contentsOf: committed)
        if fresh == current {
            print("steering.bpf.o is up to date (\(fresh.count) bytes)")
        } else if arguments.contains("--check") {
            Diagnostics.error("steering.bpf.o is stale: run swift package regenerate-bpf and commit the result")
        } else {
            try fresh.write(to: committed)
            print("steering.bpf.o written (\(fresh.count) bytes)")
        }
    }

    private func run(_ tool: URL, _ arguments: [String]) throws {
        let process = try Process.run(tool, arguments: arguments)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw CocoaError(.executableLoad, userInfo: [NSFilePathErrorKey: tool.path])
        }
    }
}
