import KernelTestSupport
import Testing

/// load, unload, upgrade; bind and unbind.
@Suite(.kernel)
struct LifecycleTests {
    @Test("Loaded, it stays without a process; unloaded, nothing is left")
    func loadAndUnload() async throws {
        try await withBed(loaded: false) { bed in
            try bed.refused("bindings", "load it first")
            try bed.refused("unload", "load it first")
            try bed.refused("upgrade", "load it first")
            try bed.steer("load")
            try verify(bed.json("status")["bindings"].int, is: 0)
            try verify(shell("bpftool link list | grep -c 'netns_ino' || true") != "0\n", "a link is there")
            try bed.refused("load", "already")
            try bed.steer("unload")
            try verify(bed.bpffs.listing(), is: ["steering/"])
            try bed.refused("unload", "load it first")
            try bed.steer("load")
            try verify(bed.inForce(), is: [])
        }
    }

    @Test("Another namespace is meant by its path or by a process of it")
    func otherNamespace() async throws {
        try await withBed(loaded: false) { bed in
            let process = try Background("unshare -n sleep 600", in: bed)
            let own = try shell("stat -Lc %i /proc/thread-self/ns/net")
            try eventually("its namespace") {
                try shell("stat -Lc %i /proc/\(process.pid)/ns/net") != own
            }
            try bed.steer("load --pid \(process.pid)")
            try bed.steer("bind web tcp 192.0.2.0/24 80 --netns /proc/\(process.pid)/ns/net")
            try verify(bed.json("bindings --pid \(process.pid)")["bindings"].array.count, is: 1)
            try bed.refused("bindings", "load it first")
            try bed.refused("load --netns /etc/passwd", "not a network namespace")
            try bed.refused("load --netns /nowhere", "/nowhere")
            try bed.steer("unload --pid \(process.pid)")
        }
    }

    @Test("With --json every change is told as a value")
    func json() async throws {
        try await withBed(loaded: false) { bed in
            try verify(bed.steer("load --json"), is: "{\"done\":\"loaded\"}\n")
            let bound = try bed.json("bind web tcp 192.0.2.0/24 2001:db8::/64 80")["bound"]
            try verify(bound.array.map { $0["prefix"].string }, is: ["192.0.2.0/24", "2001:db8::/64"])
            try verify(bed.json("bind web tcp 192.0.2.0/24 80")["bound"], is: .list([]))
            let label = try bed.json("label web --without-socket pass")
            try verify(label["label"].string == "web" && label["withoutSocket"].string == "pass", "\(label)")
            let server = try bed.server("here", port: 8080)
            try verify(bed.json("register web --pid \(server.pid)")["registered"][0]["label"].string, is: "web")
            let counts = try bed.json("metrics")
            try verify(counts.keys, is: ["bindings", "changes", "destinations", "passed", "refused"])
            try verify(
                counts["destinations"][0].keys,
                is: ["family", "incompatible", "label", "lookups", "misses", "protocol", "sockets"])
            let out = try bed.json("unregister web")["unregistered"]
            try verify(out.array.map { $0["bound"].string }, is: ["127.0.0.1:8080"])
            try verify(
                bed.json("unbind web tcp 192.0.2.0/24 80")["unbound"].array.map { $0["label"].string }, is: ["web"])
            try verify(bed.steer("upgrade --json"), is: "{\"done\":\"upgraded\"}\n")
            try verify(bed.steer("unload --json"), is: "{\"done\":\"unloaded\"}\n")
        }
    }

    @Test("An upgrade keeps bindings, sockets and counters")
    func upgrade() async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            let server = try bed.server("here", port: 8080)
            try bed.steer("register web --pid \(server.pid)")
            try verify(bed.ask("192.0.2.9", port: 80), is: "here")
            let before = try bed.json("status")
            try verify(bed.steer("upgrade"), is: "")
            let after = try bed.json("status")
            try verify(after["labels"], is: before["labels"])
            try verify(after["bindings"], is: .number(1))
            try verify(after["labels"][0]["lookups"].int, is: 1)
            try verify(bed.ask("192.0.2.10", port: 80), is: "here")
        }
    }

    @Test("Bindings are added and removed, one by one, and take effect")
    func bindAndUnbind() async throws {
        try await withBed { bed in
            let server = try bed.server("here", port: 8080)
            try verify(bed.ask("192.0.2.1", port: 80), is: "refused")
            try verify(bed.steer("bind web tcp 192.0.2.0/24 80,443,8000-8999"), is: "")
            try bed.steer("bind web tcp 192.0.2.0/24 80,443,8000-8999")
            try bed.steer("bind dns tcp+udp 2001:db8::/64 53")
            try bed.steer("bind --refuse tcp 192.0.2.128/25 80")
            try bed.steer("bind --pass tcp 192.0.2.64/32 all")
            try verify(Set(bed.inForce()), is: ["web 80,443,8000-8999", "dns 53", "refuse 80", "pass all"])

            try bed.steer("register web --pid \(server.pid)")
            let other = try Background(
                "socat TCP4-LISTEN:80,bind=192.0.2.64,reuseaddr,fork SYSTEM:'echo other'", in: bed)
            try bed.listens("192.0.2.64:80")
            try verify(bed.ask("192.0.2.1", port: 443), is: "here")
            try verify(bed.ask("192.0.2.200", port: 80), is: "refused")
            try verify(bed.ask("192.0.2.64", port: 80), is: "other")
            _ = other

            try bed.steer("unbind --refuse tcp 192.0.2.128/25 80")
            try verify(bed.ask("192.0.2.200", port: 80), is: "here")
            try bed.steer("unbind web tcp 192.0.2.0/24 80,443,8000-8999")
            try bed.steer("unbind --pass tcp 192.0.2.64/32 all")
            try verify(bed.inForce(), is: ["dns 53"])
            try bed.refused("unbind web tcp 192.0.2.0/24 80", "not in the policy")
            try bed.refused("bind web tcp 192.0.2.1/24 80", "192.0.2.0/24", exitCode: 64)
            try bed.steer("bind web udp 192.0.2.0/24 9")
            try bed.refused("bind web2 udp 192.0.2.0/24 9", "equal precedence")
        }
    }
}
