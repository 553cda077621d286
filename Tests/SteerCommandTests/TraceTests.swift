import KernelTestSupport
import Steering
import Testing

/// `trace` and `metrics --per-binding`.
@Suite(.kernel)
struct TraceTests {
    private static let reader = "setpriv --reuid 65534 --regid 65534 --clear-groups"
    private static let onlyBPF =
        "\(reader) --bounding-set -all,+bpf --inh-caps -all,+bpf --ambient-caps -all,+bpf --no-new-privs"

    /// Starts an observer, and waits until its program is attached.
    private func observer(_ arguments: String, in bed: Bed, under wrapper: String = "") throws -> Background {
        let before = try attached()
        let observer = try Background(bed.line(arguments, under: wrapper), in: bed)
        try eventually("it observes: \(observer.error)") { try attached() == before + 1 }
        return observer
    }

    private func attached() throws -> Int { try NetworkNamespace.current().attachedPrograms().count }

    private func send(_ count: Int, _ address: String, _ port: Int) throws {
        try shell(
            "\(Bed.python) -c \"from socket import *; s = socket(AF_INET, SOCK_DGRAM); [s.sendto(b'x', ('\(address)', \(port))) for _ in range(\(count))]\""
        )
    }

    @Test(
        "A line a packet and a summary; SIGINT, SIGTERM and SIGHUP end it in order", arguments: ["INT", "TERM", "HUP"])
    func lines(signal: String) async throws {
        try await withBed { bed in
            try bed.steer("bind web udp 192.0.2.0/24 80")
            try bed.steer("bind --refuse udp 192.0.2.0/24 81 --on lo")
            let trace = try observer("trace", in: bed)
            try send(1, "192.0.2.7", 80)
            try send(1, "192.0.2.8", 81)
            try send(1, "192.0.2.8", 82)
            try eventually("two lines") { try trace.output.split(separator: "\n").count == 2 }
            try trace.signal(signal)
            try verify(trace.exitCode(), is: 0)
            let lines = try trace.output.split(separator: "\n")
            try verify(lines[0].hasSuffix(" -> 192.0.2.7:80  lo  udp 192.0.2.0/24 80 -> label web"), "\(lines[0])")
            try verify(lines[1].hasSuffix(" -> 192.0.2.8:81  lo  udp 192.0.2.0/24 81 on lo -> refuse"), "\(lines[1])")
            try verify(trace.error, is: "2 seen, 2 shown, 0 lost\n")
            try verify(attached(), is: 1)
        }
    }

    @Test("--json, --label, --count, --sample")
    func options() async throws {
        try await withBed { bed in
            try bed.steer("bind web udp 192.0.2.0/24 80")
            try bed.steer("bind dns udp 192.0.2.0/24 53 --from 192.0.2.0/24")
            let trace = try observer("trace --json --label dns --count 2", in: bed)
            try send(3, "192.0.2.7", 80)
            try send(5, "192.0.2.7", 53)
            try verify(trace.exitCode(), is: 0)
            let lines = try trace.output.split(separator: "\n").map { try JSONValue(String($0)) }
            try verify(lines.count, is: 2)
            for line in lines {
                try verify(
                    line.keys, is: ["binding", "destination", "interface", "label", "protocol", "source", "time"])
                try verify(line["binding"]["from"].string, is: "192.0.2.0/24")
                try verify(line["destination"].string, is: "192.0.2.7:53")
                try verify(line["label"].string, is: "dns")
                try verify(line["time"].string?.count, is: "2026-01-31T12:34:56.789012Z".count)
            }
            let summary = try JSONValue(trace.error)
            try verify(summary.keys, is: ["lost", "seen", "shown"])

            let sampled = try observer("trace --sample 1000000", in: bed)
            try send(50, "192.0.2.7", 80)
            try sampled.signal("INT")
            try verify(sampled.exitCode(), is: 0)
            let summary50 = try sampled.error
            try verify(summary50.hasPrefix("50 seen, "), summary50)

            for (line, hint) in [
                ("trace --sample 0", "--sample"), ("trace --count 0", "--count"), ("trace --label a/b", "a/b"),
                ("metrics --for 1", "--per-binding"), ("metrics --per-binding --for 0", "0.1"),
                ("metrics --per-binding --for 1 --listen 127.0.0.1:0", "without --listen"),
            ] {
                try bed.refused(line, hint, exitCode: 64)
            }
            try bed.refused("trace --label nothere", "no binding leads to label nothere")
            try bed.refused("trace --netns /nowhere", "/nowhere")
        }
    }

    @Test("A killed observer leaves nothing", arguments: ["trace", "metrics --per-binding --for 600"])
    func killed(verb: String) async throws {
        try await withBed { bed in
            try bed.steer("bind web udp 192.0.2.0/24 80")
            let before = (try bed.bpffs.listing(), try attached())
            for _ in 0..<5 {
                let observer = try observer(verb, in: bed)
                try observer.signal("KILL")
                try eventually("its program goes") { try attached() == before.1 }
            }
            try verify(bed.bpffs.listing(), is: before.0)
            try verify(
                bed.json("explain udp 192.0.2.1 80")["decision"].string, is: "refused: web udp/IPv4 has no socket")
        }
    }

    @Test("CAP_BPF and what readers have suffice; without CAP_BPF it is asked for")
    func privileges() async throws {
        try await withBed(loaded: false) { bed in
            try bed.steer("load --readers 65534")
            try bed.steer("bind web udp 192.0.2.0/24 80")
            for verb in ["trace", "metrics --per-binding"] {
                try bed.refused(verb, "CAP_BPF", under: Self.reader)
                try verify(
                    try JSONValue(bed.run("\(verb) --json", under: Self.reader).error)["error"]["code"].string,
                    is: "missingCapability")
            }
            let trace = try observer("trace --count 1", in: bed, under: Self.onlyBPF)
            let counter = try observer("metrics --per-binding --for 60", in: bed, under: Self.onlyBPF)
            try send(4, "192.0.2.7", 80)
            try verify(trace.exitCode(), is: 0)
            let line = try trace.output
            try verify(line.hasSuffix("lo  udp 192.0.2.0/24 80 -> label web\n"), line)
            try counter.signal("INT")
            try verify(counter.exitCode(), is: 0)
            let table = try counter.output.split(separator: "\n")
            try verify(table.count, is: 2)
            try verify(
                table[1].hasPrefix("      4 ") && table[1].hasSuffix("  udp 192.0.2.0/24 80 -> label web"), "\(table)")
        }
    }

    @Test("Counts of bindings: a table, JSON, and for scraping; a change keeps those that stay")
    func perBinding() async throws {
        try await withBed { bed in
            try bed.steer("bind web udp 192.0.2.0/24 80")
            try bed.steer("bind web udp 192.0.2.0/24 53 --on lo")
            let counter = try observer("metrics --per-binding --for 600 --json", in: bed)
            let server = try observer("metrics --per-binding --listen 127.0.0.1:0", in: bed)
            try send(3, "192.0.2.7", 80)
            try send(9, "192.0.2.7", 53)
            try counter.signal("INT")
            try verify(counter.exitCode(), is: 0)
            let printed = try counter.output
            let report = try JSONValue(printed)
            try verify(report["bindings"].array.map { $0["binding"]["ports"].string }, is: ["53", "80"])
            try verify(printed.contains("\"packets\":9") && printed.contains("\"packets\":3"), printed)

            try eventually("it serves") { try server.output.hasSuffix("/metrics\n") }
            let url = String(try server.output.dropFirst("serving ".count).dropLast())
            func scraped() throws -> [Substring] {
                try shell("curl -s --max-time $PATIENCE \(url)").split(separator: "\n").filter {
                    $0.hasPrefix("steering_binding_")
                }
            }
            func sample(_ binding: String, _ count: Int) -> Substring {
                "steering_binding_packets_total{binding=\"\(binding)\"} \(count)"
            }
            try verify(
                scraped(),
                is: [
                    sample("udp 192.0.2.0/24 53 on lo -> label web", 9),
                    sample("udp 192.0.2.0/24 80 -> label web", 3),
                ])
            try bed.steer("unbind web udp 192.0.2.0/24 53 --on lo")
            try bed.steer("bind web udp 192.0.2.0/24 81")
            try verify(
                scraped(),
                is: [sample("udp 192.0.2.0/24 80 -> label web", 3), sample("udp 192.0.2.0/24 81 -> label web", 0)])
            // Without being asked it follows, too.
            try bed.steer("bind web udp 192.0.2.9/32 80")
            try shell("sleep 2.5")
            try send(2, "192.0.2.9", 80)
            let samples = try scraped()
            try verify(samples.contains(sample("udp 192.0.2.9/32 80 -> label web", 2)), "\(samples)")
            try server.signal("TERM")
            try verify(server.exitCode(), is: 0)
            try verify(attached(), is: 1)
            try verify(!bed.steer("metrics").contains("steering_binding_"), "nobody asked")

            let many = try bed.write(
                "bindings:\n  - { label: web, protocols: udp, prefixes-from: many.txt, ports: 80 }\n", to: "many.yaml")
            _ = try bed.write((0..<10_001).map { "10.0.\($0 >> 8).\($0 & 255)/32\n" }.joined(), to: "many.txt")
            try bed.steer("apply \(many)")
            try bed.refused("metrics --per-binding --listen 127.0.0.1:0", "10001 bindings, more than the 10000")
            try verify(
                bed.steer("metrics --per-binding --for 0.1").split(separator: "\n").count, is: 10_002, "a line each")
        }
    }
}
