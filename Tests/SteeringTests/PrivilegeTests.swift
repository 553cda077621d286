import KernelTestSupport
import Testing

/// With exactly the capabilities named, and on kernels that refuse: seen from outside, in processes of
/// their own.
@Suite(.kernel)
struct PrivilegeTests {
    private func probe(_ command: String, under wrapper: String = "") throws -> (output: String, exitCode: Int32) {
        try Programs.run("\(wrapper) \(try Programs.path(of: "steering-probe")) \(command)")
    }

    private func withCapabilities(_ capabilities: String) -> String {
        "setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all\(capabilities) "
            + "--inh-caps -all\(capabilities) --ambient-caps -all\(capabilities)"
    }

    @Test(
        "CAP_BPF and CAP_NET_ADMIN suffice for everything, with CAP_PERFMON and without",
        arguments: [",+bpf,+net_admin,+perfmon", ",+bpf,+net_admin"])
    func bothSuffice(capabilities: String) throws {
        let result = try probe("attach", under: withCapabilities(capabilities))
        #expect(result.output == "{\"ok\":true}\n")
        #expect(result.exitCode == 0)
    }

    @Test(
        "Without one of them attaching says so",
        arguments: ["", ",+bpf", ",+net_admin", ",+sys_ptrace,+net_raw,+perfmon"])
    func oneIsMissing(capabilities: String) throws {
        let result = try probe("attach", under: withCapabilities(capabilities))
        #expect(result.exitCode == 1)
        #expect(result.output.contains("\"error\":\"missingCapability\""), "\(result.output)")
        #expect(result.output.contains("CAP_BPF and CAP_NET_ADMIN"))
    }

    @Test("Once attached, a process that drops every capability can still change everything")
    func changesNeedNone() throws {
        let result = try probe("drop")
        #expect(result.output == "{\"ok\":true}\n")
    }

    @Test("A kernel without bpf or without sk_lookup is named as such", arguments: ["ENOSYS", "EINVAL"])
    func unsupportedKernel(error: String) throws {
        let result = try probe("attach", under: "strace -f -qq -o /dev/null -e trace=bpf -e inject=bpf:error=\(error)")
        #expect(result.exitCode == 1)
        #expect(result.output.contains("\"error\":\"unsupportedKernel\""), "\(result.output)")
    }

    /// The verifier's log holds its statistics, too, where it accepted the program and something else failed.
    @Test("With any number of descriptors attaching works, or fails without blaming the program")
    func fewDescriptors() throws {
        var worked = false
        for limit in 3...40 where !worked {
            let result = try probe("attach", under: "prlimit --nofile=\(limit)")
            worked = result.exitCode == 0
            #expect(!result.output.contains("programRejected"), "\(limit): \(result.output)")
        }
        #expect(worked)
    }

    @Test(
        "Tables that outgrow their memory need CAP_BPF; without it the former policy stays, and changes that fit go on")
    func growingNeedsBPF() throws {
        let result = try probe("drop-and-outgrow")
        #expect(result.output.contains("\"error\":\"missingCapability\""), "\(result.output)")
        #expect(result.output.contains("keep CAP_BPF, or apply fewer bindings"), "\(result.output)")
    }

    /// Before Linux 6.0 a map with a value of more than 4 MiB is refused: E2BIG, which strace injects.
    @Test("Where the kernel does not make larger tables, Linux 6.0 is named, and the former policy stays")
    func kernelWithoutLargeValues() throws {
        let traced = try probe("outgrow", under: "strace -f -qq -e trace=bpf")
        #expect(traced.output.contains("\"error\":\"applied\""), "\(traced.output)")
        let calls = traced.output.split(separator: "\n").filter { $0.contains("bpf(BPF_") }
        let growing = try #require(calls.firstIndex { $0.contains("value_size=16777216") }) + 1
        let refused = try probe(
            "outgrow",
            under: "strace -f -qq -o /dev/null -e trace=bpf -e inject=bpf:error=E2BIG:when=\(growing)")
        #expect(refused.output.contains("\"error\":\"tablesTooLarge\""), "\(refused.output)")
        #expect(refused.output.contains("use Linux 6.0 or newer"), "\(refused.output)")
    }

    @Test("Thousands of attachments leave nothing behind", arguments: [300])
    func cyclesLeakNothing(count: Int) throws {
        let result = try probe("cycles \(count)")
        let (before, after) = try counts(in: result.output)
        #expect(after["descriptors"] == before["descriptors"])
        // Other tests hold some objects for a moment; what every cycle leaves behind would be more.
        for (kind, perCycle) in ["programs": 1, "maps": 9, "links": 1] {
            #expect(after[kind]! < before[kind]! + count * perCycle / 2, "\(result.output)")
        }
        #expect(after["residentKiB"]! < before["residentKiB"]! + 8192, "\(result.output)")
    }

    /// The two objects of numbers in the probe's line.
    private func counts(in output: String) throws -> (before: [String: Int], after: [String: Int]) {
        func object(_ name: String) throws -> [String: Int] {
            let start = try #require(output.range(of: "\"\(name)\":{"), "\(output)")
            let body = output[start.upperBound...].prefix { $0 != "}" }
            return Dictionary(
                uniqueKeysWithValues: body.split(separator: ",").map {
                    let parts = $0.split(separator: ":")
                    return (parts[0].filter { $0 != "\"" }, Int(parts[1])!)
                })
        }
        return (try object("before"), try object("after"))
    }
}
