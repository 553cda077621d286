/// Findings about the host.
extension Doctor {
    static func kernel() -> [Finding] {
        guard let version = HostFacts.kernelVersion else { return [] }
        var findings: [Finding] = []
        if version < KernelVersion(5, 9) {
            findings.append(
                Finding(.broken, "kernel", "Linux \(version) has no sk_lookup: boot Linux 5.9 or newer"))
        } else if version < KernelVersion(5, 16) {
            findings.append(
                Finding(
                    .note, "kernel", "Linux \(version) cannot exchange directories, which `steer upgrade` needs (5.16)")
            )
        }
        if let options = HostFacts.kernelOptions() {
            // One of the last two options is enough: one replaced the other.
            let needed = HostFacts.neededKernelOptions
            let missing = needed.prefix(3).filter { options[$0] == nil }
            let hasSocketMaps = needed.dropFirst(3).contains { options[$0] != nil }
            if !missing.isEmpty || !hasSocketMaps {
                let names = (missing + (hasSocketMaps ? [] : [needed[3]])).joined(separator: ", ")
                findings.append(
                    Finding(.broken, "kernel", "the kernel was built without \(names): boot one that has it"))
            }
        }
        if let limit = HostFacts.mapMemoryLimit(), limit < 16 << 20 {
            findings.append(
                Finding(
                    .broken, "memlock",
                    "this kernel counts maps as locked memory and allows \(limit) bytes of it, but about 16 MiB are needed: raise the limit (ulimit -l unlimited) in the shell that runs this"
                ))
        }
        return findings
    }

    static func privileges() -> [Finding] {
        guard let own = Capabilities.effective(), !own.contains(.sysAdmin) else { return [] }
        var findings: [Finding] = []
        let missing = Capabilities([.bpf, .netAdmin]).subtracting(own)
        if !missing.isEmpty {
            findings.append(
                Finding(
                    .warning, "privileges",
                    "this process lacks \(missing), without which it can read but not change: run it as root"))
        } else if !own.contains(.perfmon) {
            let isNeeded = HostFacts.kernelVersion.map { $0 < KernelVersion(5, 17) } ?? false
            findings.append(
                isNeeded
                    ? Finding(
                        .warning, "privileges",
                        "this process lacks CAP_PERFMON, without which a kernel before 5.17 loads no program: run it as root"
                    )
                    : Finding(
                        .note, "privileges",
                        "without CAP_PERFMON the kernel adds mitigations to programs that this process loads, which about double their cost"
                    ))
        }
        return findings
    }

    func fileSystem() -> [Finding] {
        guard let fileSystem = FileSystem(containing: bpffs), fileSystem.isBPF else {
            let absence = FileSystem.absence(at: bpffs, ours: ["steer", "doctor"] + place.options)
            let kind: Remedy.Kind = absence.mounts ? .mountFileSystem : .enterMountNamespace
            let commands = absence.commands.map { place.machine(kind, $0) }
            return [
                Finding(
                    .broken, "bpffs", "there is no BPF file system at \(bpffs) \(absence.reason)",
                    remedy: commands.isEmpty ? nil : place.sequence(commands))
            ]
        }
        guard fileSystem.isReadOnly else { return [] }
        return [
            Finding(
                .broken, "bpffs", "\(bpffs) is mounted read-only",
                remedy: place.machine(.remountWritable, ["mount", "-o", "remount,rw", bpffs]))
        ]
    }

    func stalePins() throws(SteeringError) -> [Finding] {
        guard let all = try? Pins.namespaces(bpffs: bpffs) else { return [] }
        var stale: [UInt64] = []
        for pins in all where try pins.isStale { stale.append(pins.inode) }
        guard !stale.isEmpty else { return [] }
        let numbers = stale.map(String.init).joined(separator: ", ")
        return [
            Finding(
                .warning, "pins",
                "\(bpffs)/steering has leftovers of network namespaces that have ended, or of killed commands: \(numbers)",
                remedy: place.steer(.removeStalePins, ["doctor", "--fix"]))
        ]
    }
}
