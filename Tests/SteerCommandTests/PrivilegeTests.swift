import Foundation
import KernelTestSupport
import Testing

/// Readers, strangers, and a user with exactly the two capabilities.
@Suite(.kernel)
struct PrivilegeTests {
    private static let reader = "setpriv --reuid 65534 --regid 65534 --clear-groups"
    private static let stranger = "setpriv --reuid 65533 --regid 65533 --clear-groups"
    private static let operatorCapabilities = "-all,+bpf,+net_admin"
    private static let operatorUser =
        "setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set \(operatorCapabilities) "
        + "--inh-caps \(operatorCapabilities) --ambient-caps \(operatorCapabilities)"

    /// A bed that group 65534 may read, with a binding and a server.
    private func withReaders(_ body: @escaping @Sendable (Bed) throws -> Void) async throws {
        try await withBed(loaded: false) { bed in
            try bed.steer("load --readers 65534")
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            let server = try bed.server("here", port: 8080)
            try bed.steer("register web --pid \(server.pid)")
            try body(bed)
        }
    }

    @Test("A reader reads everything without a capability, and changes nothing")
    func reader() async throws {
        try await withReaders { bed in
            for verb in ["bindings", "sockets", "status", "status --tables", "metrics", "explain tcp 192.0.2.9 80"] {
                try verify(!bed.steer(verb, under: Self.reader).isEmpty, verb)
            }
            for verb in ["bindings", "sockets"] {
                try verify(
                    bed.json(verb, under: Self.reader)[verb].array.count, is: bed.json(verb)[verb].array.count, verb)
            }
            let explained = try bed.json("explain tcp 192.0.2.9 80", under: Self.reader)
            try verify(explained["kernel"]["verdict"].string, is: "delivered")
            let doctor = try bed.run("doctor", under: Self.reader)
            try verify(
                doctor.exitCode == 1 && doctor.error.isEmpty && doctor.output.contains("[privileges]"), "\(doctor)")

            let server = try Background(bed.line("metrics --listen 127.0.0.1:0", under: Self.reader), in: bed)
            try eventually("it serves") { try server.output.hasSuffix("/metrics\n") }
            let url = try server.output.dropFirst("serving ".count).dropLast()
            try verify(shell("curl -s --max-time $PATIENCE \(url)").contains("\nsteering_bindings 1\n"), "the counters")

            let file = try bed.write(bed.policy("other"), to: "policy.yaml")
            for verb in [
                "load", "unload", "upgrade", "apply \(file)", "apply \(file) --load", "bind a tcp 192.0.2.0/25 1",
                "unbind web tcp 192.0.2.0/24 80", "register web --pid \(server.pid)", "unregister web",
            ] {
                try bed.refused(verb, "", under: Self.reader)
            }
            try verify(bed.steer("apply \(file) --dry-run", under: Self.reader).contains("changes hands"), "dry run")
        }
    }

    @Test("Someone outside the group is told so")
    func stranger() async throws {
        try await withReaders { bed in
            for verb in ["bindings", "sockets", "status", "metrics", "explain tcp 192.0.2.9 80", "unload"] {
                let message = try bed.refused("\(verb)", "member of the group", under: Self.stranger)
                try verify(message.contains("Permission denied"), message)
            }
            let run = try bed.run("bindings --json", under: Self.stranger)
            try verify(try JSONValue(run.error)["error"]["code"].string, is: "storageUnavailable")
        }
    }

    @Test("A reader holds no writer up, even when it is stopped while it reads")
    func neverBlocks() async throws {
        try await withReaders { bed in
            let reader = try Background(bed.line("status 0.1 --watch", under: Self.reader), in: bed)
            try eventually("it reads") { try reader.output.contains("LABEL") }
            try reader.signal("STOP")
            try bed.steer("bind api tcp 192.0.2.0/24 81")
            try bed.steer("upgrade")
            let lock = try shell("echo \(bed.bpffs.path)/steering/lock-*").dropLast()
            let flock = try bed.sh("\(Self.reader) flock -n \(lock) true")
            try verify(flock.exitCode != 0 && flock.error.contains("Permission denied"), "\(flock)")
            try reader.signal("CONT")
            try eventually("it sees the change") { try reader.output.contains("api") }
        }
    }

    @Test("CAP_BPF and CAP_NET_ADMIN suffice on a BPF file system of one's own")
    func exactly() async throws {
        try await withBed(loaded: false) { bed in
            try shell("chown 65534:65534 \(bed.bpffs.path)")
            let file = try bed.write(bed.policy("web"), to: "policy.yaml")
            try bed.steer("load", under: Self.operatorUser)
            try bed.steer("apply \(file)", under: Self.operatorUser)
            let program = try bed.write(
                "from socket import *; import time; s = socket(); s.bind(('127.0.0.1', 8080)); s.listen(); time.sleep(600)",
                to: "server.py")
            let server = try Background("\(Self.reader) \(Bed.python) \(program)", in: bed)
            try bed.listens(":8080")
            try bed.steer("register web --pid \(server.pid)", under: Self.operatorUser)
            let explained = try bed.json("explain tcp 192.0.2.9 80", under: Self.operatorUser)
            try verify(explained["kernel"]["verdict"].string, is: "delivered")
            try bed.steer("upgrade", under: Self.operatorUser)
            try bed.steer("unregister web", under: Self.operatorUser)
            let roots = try bed.server("here", port: 8081)
            try bed.refused("register web --pid \(roots.pid)", "\(roots.pid)", under: Self.operatorUser)
            try bed.steer("unload", under: Self.operatorUser)
            try verify(bed.bpffs.listing(), is: ["steering/"])
        }
    }

    @Test("Root without the right to trace cannot take sockets, and is told")
    func withoutTracing() async throws {
        try await withReaders { bed in
            let roots = try bed.server("here", port: 8081)
            try bed.refused(
                "register web --pid \(roots.pid) --replace", "\(roots.pid)",
                under: "capsh --drop=cap_sys_ptrace,cap_sys_admin -- -c 'exec \"$@\"' x")
        }
    }
}
