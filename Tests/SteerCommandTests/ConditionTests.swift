import KernelTestSupport
import Testing

/// --from and --on: bindings of a source or an interface.
@Suite(.kernel)
struct ConditionTests {
    private static let policy = """
        bindings:
          - { label: web, protocols: tcp, prefixes: 192.0.2.0/24, ports: 80 }
          - { outcome: refuse, protocols: tcp, prefixes: 192.0.2.0/24, ports: 80, from: 198.51.100.0/24 }
          - { label: admin, protocols: tcp, prefixes: 192.0.2.0/24, ports: 80, on: lo }
        """

    @Test("--dry-run tells sources and interfaces of what would change hands")
    func dryRun() async throws {
        try await withBed { bed in
            let file = try bed.write(Self.policy, to: "conditions.yaml")
            let report = try bed.json("apply --dry-run \(file)")
            try verify(report["added"].array.map { $0["from"].string }, is: ["198.51.100.0/24", nil, nil])
            try verify(report["added"].array.map { $0["on"].string }, is: [nil, "lo", nil])
            try verify(report["added"][2].keys, is: ["label", "ports", "prefix", "protocols"])
            try verify(
                report["handovers"].array.map { $0["from"].string ?? $0["on"].string },
                is: ["198.51.100.0/24", "lo", nil])
            let text = try bed.steer("apply --dry-run \(file)")
            for line in [
                "+ tcp 192.0.2.0/24 80 from 198.51.100.0/24 -> refuse",
                "  tcp 192.0.2.0/24 80 from 198.51.100.0/24: not steered -> refuse",
                "  tcp 192.0.2.0/24 80 on lo: not steered -> label admin",
            ] {
                try verify(text.split(separator: "\n").contains { $0.hasSuffix(line) }, "\(line) in\n\(text)")
            }
        }
    }

    @Test("What is not bound from there is not unbound; the nearest is named")
    func nearest() async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            try bed.refused(
                "unbind web tcp 192.0.2.0/24 80 --from 10.0.0.0/8 --on lo", "the nearest is 'tcp 192.0.2.0/24 80 -> ")
            try bed.refused(
                "unbind web tcp 192.0.2.0/24 80 --from 10.0.0.0/8 --on lo", "80 from 10.0.0.0/8 on lo -> label web' is")
        }
    }

    @Test("Each prefix with each source of its family, in one step")
    func several() async throws {
        try await withBed { bed in
            try bed.steer(
                "bind web tcp 192.0.2.0/24 2001:db8::/64 80 --from 10.0.0.0/8 --from 172.16.0.0/12 --from fd00::/8")
            try verify(
                bed.json("bindings")["bindings"].array.map { $0["from"].string },
                is: ["172.16.0.0/12", "10.0.0.0/8", "fd00::/8"])
            try verify(
                bed.steer("bindings").split(separator: "\n").map(String.init),
                is: [
                    "PROTOCOL  PREFIX         PORTS  FROM           OUTCOME",
                    "tcp       192.0.2.0/24      80  172.16.0.0/12  label web",
                    "tcp       192.0.2.0/24      80  10.0.0.0/8     label web",
                    "tcp       2001:db8::/64     80  fd00::/8       label web",
                ])
            try bed.steer("unbind web tcp 192.0.2.0/24 80 --from 10.0.0.0/8 --from 172.16.0.0/12")
            try bed.steer("bind web tcp 192.0.2.0/24 80 --on lo")
            try verify(
                bed.steer("bindings").split(separator: "\n").map(String.init),
                is: [
                    "PROTOCOL  PREFIX         PORTS  FROM      ON   OUTCOME",
                    "tcp       192.0.2.0/24      80  any       lo   label web",
                    "tcp       2001:db8::/64     80  fd00::/8  any  label web",
                ])
            let yaml = try bed.steer("bindings --file yaml")
            try verify(yaml.contains("    from: fd00::/8\n") && yaml.contains("    \"on\": lo\n"), yaml)
        }
    }

    @Test("An interface is one of the steering's namespace, from wherever it is bound")
    func elsewhere() async throws {
        try await withBed(loaded: false) { bed in
            let neighbour = try Neighbour("in0", number: 1)
            try shell("ip link add out type dummy; ip route add 198.51.100.0/24 via 10.0.1.2")
            try neighbour.shell("ip route add local 198.51.100.0/24 dev lo")
            try verify(
                shell("ip -o link show out | cut -d: -f1") != neighbour.shell("ip -o link show out | cut -d: -f1"),
                "the two have one number")
            let there = "--netns \(neighbour.path)"
            try bed.steer("load \(there)")
            try bed.steer("bind web tcp 198.51.100.0/24 80 --on out \(there)")
            let server = try Background(
                neighbour.line("socat TCP4-LISTEN:8080,bind=127.0.0.1,reuseaddr,fork SYSTEM:\"echo here\""), in: bed)
            try eventually("a server") { try neighbour.shell("ss -Hltn").contains("127.0.0.1:8080 ") }
            try bed.steer("register web --pid \(server.pid) tcp 127.0.0.1:8080")
            try verify(bed.ask("198.51.100.9", port: 80), is: "here")
            let itself = try neighbour.shell("timeout $PATIENCE socat -u TCP4:198.51.100.9:80 - 2>&1 || true")
            try verify(itself.contains("Connection refused"), itself)

            try verify(bed.json("doctor \(there)")["findings"], is: .list([]))
            let absent = try bed.run("bind web tcp 198.51.100.0/24 81 --on in0 \(there) --json")
            try verify(absent.exitCode == 0, "\(absent)")
            try verify(JSONValue(absent.output)["bound"].array.count, is: 1)
            let remark = try JSONValue(absent.error)["remark"]
            try verify(remark["subject"].string, is: "interfaces")
            try verify(remark["message"].string?.hasPrefix("there is no interface in0: ") == true, "\(remark)")
            try bed.steer("unload \(there)")
        }
    }

    @Test("explain says which decides by the source and the interface")
    func explained() async throws {
        try await withBed { bed in
            try bed.steer("apply \(bed.write(Self.policy, to: "conditions.yaml"))")
            let server = try bed.server("here", port: 8080)
            try bed.steer("register web --pid \(server.pid)")
            let refused = try bed.json("explain tcp 192.0.2.9 80 --from 198.51.100.7 --on lo")
            try verify(refused["decision"].string, is: "refused by a binding")
            try verify(refused["candidates"][0]["binding"]["from"].string, is: "198.51.100.0/24")
            try verify(
                refused["candidates"].array.map { $0["reason"].string },
                is: [nil, "a source wins over none", "an interface wins over none"])
            try verify(refused["agrees"], is: .flag(true))
            let unknown = try bed.json("explain tcp 192.0.2.9 80")
            try verify(unknown["decision"].string, is: "steered to web tcp/IPv4")
            try verify(unknown["caveats"][0].string?.contains("from 198.51.100.0/24 -> refuse") == true, "\(unknown)")
        }
    }
}
