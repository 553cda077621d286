import KernelTestSupport
import Testing

/// `doctor`: exit codes, and what mends what.
@Suite(.kernel)
struct DoctorCommandTests {
    @Test("0 in order, 1 with warnings, 2 where something is broken")
    func exitCodes() async throws {
        try await withBed { bed in
            try verify(bed.steer("doctor"), is: "all is well\n")
            try verify(bed.json("doctor"), is: .object(["findings": .list([]), "removed": .list([])]))

            try bed.steer("bind web tcp 192.0.2.0/24 80")
            let warned = try bed.run("doctor")
            try verify(warned.exitCode == 1 && warned.error.isEmpty, "\(warned)")
            try verify(
                warned.output,
                is: """
                    warning [sockets] web tcp/IPv4 has bindings but no socket: its packets are refused
                        steer register web --pid PID tcp ADDRESS:PORT

                    """)
            let report = try JSONValue(bed.run("doctor --json").output)
            try verify(report["findings"][0].keys, is: ["message", "remedy", "severity", "subject"])
            try verify(report["findings"][0]["severity"].string, is: "warning")

            let server = try bed.server("here", port: 8080)
            try bed.steer("register web --pid \(server.pid)")
            try verify(bed.steer("doctor"), is: "all is well\n")

            let broken = try bed.run("doctor --bpffs /run")
            try verify(broken.exitCode == 2 && broken.output.contains("mount -t bpf bpf /run"), "\(broken)")
            try shell("rm \(bed.bpffs.path)/steering/*/program")
            let damaged = try bed.run("doctor")
            try verify(damaged.exitCode == 2 && damaged.output.contains("steer unload"), "\(damaged)")
        }
    }

    @Test("--policy compares, --fix removes what ended namespaces left")
    func options() async throws {
        try await withBed { bed in
            let file = try bed.write(bed.policy("web"), to: "policy.yaml")
            try bed.steer("apply \(file)")
            let server = try bed.server("here", port: 8080)
            try bed.steer("register web --pid \(server.pid)")
            try verify(bed.steer("doctor --policy \(file)"), is: "all is well\n")
            let other = try bed.write(bed.policy("web", "81"), to: "other.yaml")
            let differs = try bed.run("doctor --policy \(other)")
            try verify(differs.exitCode == 1 && differs.output.contains("[policy]"), "\(differs)")
            try bed.refused("doctor --policy /nowhere.yaml", "/nowhere.yaml")

            let files = try bed.bpffs.listing()
            let process = try Background("unshare -n sleep 600", in: bed)
            let own = try shell("stat -Lc %i /proc/thread-self/ns/net")
            try eventually("its namespace") {
                try shell("stat -Lc %i /proc/\(process.pid)/ns/net") != own
            }
            try bed.steer("load --pid \(process.pid)")
            try process.signal("KILL")
            _ = try process.exitCode()
            try eventually("the end of the namespace") { try bed.run("doctor").output.contains("[pins]") }
            let fixed = try bed.run("doctor --fix")
            try verify(fixed.exitCode == 0 && fixed.output.hasPrefix("removed what network namespace"), "\(fixed)")
            try verify(bed.bpffs.listing(), is: files)
        }
    }
}
