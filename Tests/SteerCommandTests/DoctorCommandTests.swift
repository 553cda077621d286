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
                        steer register web --pid PID tcp ADDRESS:PORT --bpffs \(bed.bpffs.path)

                    """)
            let report = try JSONValue(bed.run("doctor --json").output)
            try verify(report["findings"][0].keys, is: ["message", "remedy", "severity", "subject"])
            try verify(report["findings"][0]["severity"].string, is: "warning")

            let server = try bed.server("here", port: 8080)
            try bed.steer("register web --pid \(server.pid)")
            try verify(bed.steer("doctor"), is: "all is well\n")

            let broken = try bed.run("doctor --bpffs /run")
            try verify(broken.exitCode == 2 && broken.output.contains("no BPF file system at /run"), "\(broken)")
            try shell("rm \(bed.bpffs.path)/steering/*/program")
            let damaged = try bed.run("doctor")
            try verify(damaged.exitCode == 2 && damaged.output.contains("    steer upgrade "), "\(damaged)")
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

    @Test("--policy of a file with names joins the halves: what is answered and not bound is named, and what mends it")
    func names() async throws {
        try await withBed { bed in
            let server = try bed.server("here", port: 8080)
            try bed.steer("bind web tcp 192.0.2.0/25 80")
            try bed.steer("register web --pid \(server.pid)")
            // Neither the zone nor the list is read: there is none.
            let names = """
                pools:
                  web: { prefixes: 192.0.2.0/24, drained-from: drained.txt }
                  spare: 203.0.113.0/24
                names:
                  zones: [nowhere.zone]
                  lists: { customers: nowhere.txt }
                  policies:
                    - { name: default, pool: web, ttl: 30 }
                bindings:
                  - { label: web, protocols: tcp, PREFIXES, ports: 80 }

                """
            let bound = try bed.write(names.replacing("PREFIXES", with: "prefixes: 192.0.2.0/25"), to: "half.yaml")
            let found = try bed.run("doctor --policy \(bound)")
            try verify(found.exitCode == 1 && found.error.isEmpty, "\(found)")
            try verify(
                found.output,
                is: """
                    warning [names] 192.0.2.128/25, which no binding steers, may be in answers from the pool web
                        steer bind web tcp 192.0.2.128/25 80 --bpffs \(bed.bpffs.path)

                    """)
            // What is drained is not answered.
            let drained = try bed.write("192.0.2.128/25\n", to: "drained.txt")
            try verify(bed.steer("doctor --policy \(bound)"), is: "all is well\n")
            try shell("rm \(drained)")

            let whole = try bed.write(names.replacing("PREFIXES", with: "pool: web"), to: "whole.yaml")
            let differs = try bed.run("doctor --policy \(whole)")
            try verify(differs.output.contains("[names] 192.0.2.128/25"), differs.output)
            try verify(
                differs.output.contains("\n    steer apply \(whole) --bpffs \(bed.bpffs.path)\n"), differs.output)
            try bed.steer("apply \(whole)")
            try verify(bed.steer("doctor --policy \(whole)"), is: "all is well\n")
        }
    }
}
