import Foundation
import KernelTestSupport
import Testing

/// bindings, sockets, status, metrics: as a table and as JSON.
@Suite(.kernel)
struct ReadingTests {
    /// A bed with a label that has a server and two lookups, and one that has none and two misses.
    private func withTraffic(_ body: @escaping @Sendable (Bed, Background) throws -> Void) async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80,443")
            try bed.steer("bind none tcp 192.0.2.0/24 81")
            try bed.steer("bind --refuse udp 2001:db8::/64 all")
            let server = try bed.server("here", port: 8080)
            try bed.steer("register web --pid \(server.pid)")
            for port in [80, 443] { try verify(bed.ask("192.0.2.9", port: port), is: "here") }
            for _ in 0..<2 { try verify(bed.ask("192.0.2.9", port: 81), is: "refused") }
            try body(bed, server)
        }
    }

    @Test("bindings")
    func bindings() async throws {
        try await withTraffic { bed, _ in
            try verify(
                bed.steer("bindings").split(separator: "\n").map(String.init).sorted(),
                is: [
                    "PROTOCOL  PREFIX         PORTS   OUTCOME", "tcp       192.0.2.0/24   80,443  label web",
                    "tcp       192.0.2.0/24   81      label none", "udp       2001:db8::/64  all     refuse",
                ].sorted())
            let report = try bed.json("bindings")
            try verify(report.keys, is: ["bindings"])
            let web = report["bindings"].array.first { $0["label"].string == "web" }
            try verify(
                web,
                is: .object([
                    "label": .text("web"), "protocols": .text("tcp"), "prefix": .text("192.0.2.0/24"),
                    "ports": .text("80,443"),
                ]))
            let refused = report["bindings"].array.first { $0["outcome"] != .null }
            try verify(refused?.keys, is: ["outcome", "ports", "prefix", "protocols"])
            try verify(bed.json("bindings --label web")["bindings"].array.count, is: 1)
            try verify(bed.json("bindings --label other")["bindings"], is: .list([]))
            try bed.refused("bindings --label -x", "label", exitCode: 64)
        }
    }

    @Test("sockets")
    func sockets() async throws {
        try await withTraffic { bed, server in
            let report = try bed.json("sockets")
            try verify(report.keys, is: ["sockets"])
            let socket = report["sockets"][0]
            try verify(report["sockets"].array.count, is: 1)
            try verify(socket.keys, is: ["bound", "cookie", "family", "label", "owners", "protocol", "standIn"])
            let owner = JSONValue.object([
                "pid": .number(Double(server.pid)), "command": .text("socat"), "uid": .number(0),
            ])
            try verify(socket["owners"], is: .list([owner]))
            try verify(socket["family"].string, is: "IPv4")
            let cookie = socket["cookie"].string!
            try verify(shell("ss -Hltne").contains("sk:\(cookie)"), "the cookie of ss")
            let lines = try bed.steer("sockets").split(separator: "\n")
            try verify(lines.count, is: 2)
            try verify(
                lines[0].split(separator: " ").joined(separator: " "), is: "LABEL PROTOCOL FAMILY COOKIE BOUND TO OWNER"
            )
            for word in ["web", "tcp", "IPv4", cookie, "127.0.0.1:8080", "socat (pid \(server.pid)"] {
                try verify(lines[1].contains(word), "\(word) in \(lines[1])")
            }
        }
    }

    @Test("status")
    func status() async throws {
        try await withTraffic { bed, server in
            let report = try bed.json("status")
            try verify(report.keys, is: ["bindings", "changes", "labels", "passed", "refused"])
            try verify(report["bindings"].int, is: 3)
            try verify(report["labels"].array.map { $0["label"].string }, is: ["none", "web"])
            let (none, web) = (report["labels"][0], report["labels"][1])
            try verify(
                web.keys,
                is: ["bindings", "incompatible", "label", "lookups", "misses", "rate", "sockets", "withoutSocket"])
            try verify([web["lookups"].int, web["misses"].int, web["incompatible"].int], is: [2, 0, 0])
            try verify([none["lookups"].int, none["misses"].int], is: [2, 2])
            try verify(web["sockets"][0]["owners"][0]["pid"].int, is: Int(server.pid))
            try verify(none["sockets"], is: .list([]))
            try verify(none["withoutSocket"].string, is: "refuse")
            let text = try bed.steer("status")
            let row = text.split(separator: "\n")[2].split(separator: " ").map(String.init)
            try verify(row, is: ["web", "1", "1", "socat", "(pid", "\(server.pid))", "2", "0", "0", "0.0"])
            try verify(text.contains("3 bindings; packets refused by a binding 0"), text)
        }
    }

    @Test("status --tables")
    func tables() async throws {
        try await withTraffic { bed, _ in
            let report = try bed.json("status --tables")
            try verify(report.keys, is: ["bindings", "bytes", "memory", "nodes", "portClasses", "rows"])
            try verify([report["bindings"].int, report["memory"].int], is: [3, 4 << 20])
            let text = try bed.steer("status --tables")
            let lines = text.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
            try verify(lines[0], is: "BYTES MEMORY BINDINGS ROWS PORT CLASSES NODES")
            let numbers = ["bytes", "memory", "bindings", "rows", "portClasses", "nodes"].map {
                "\(report[$0].int ?? -1)"
            }
            try verify(lines[1], is: numbers.joined(separator: " "))
            try verify(lines.count, is: 2)

            // Each host a port of its own: rows times classes outgrow the smallest tables, and an upgrade shrinks them.
            let entries = (0..<600).map { number in
                "{\"label\":\"far\",\"protocols\":\"tcp\",\"prefixes\":\"10.0.\(number / 256).\(number % 256)/32\",\"ports\":\(2000 + 2 * number)}"
            }
            let file = try bed.write("{\"bindings\":[\(entries.joined(separator: ","))]}", to: "large.json")
            try bed.steer("apply \(file)")
            let grown = try bed.json("status --tables")
            try verify(
                [grown["memory"].int, grown["bindings"].int, grown["portClasses"].int], is: [16 << 20, 600, 601])
            try bed.steer("apply \(bed.write(bed.policy("web"), to: "small.yaml"))")
            try verify(bed.json("status --tables")["memory"].int, is: 16 << 20)
            try bed.steer("upgrade")
            try verify(bed.json("status --tables")["memory"].int, is: 4 << 20)

            let watched = try shell("\(bed.line("status 0.1 --tables --watch")) | head -n 5")
            try verify(
                watched.split(separator: "\n").count { $0.hasPrefix("BYTES ") || $0.contains("  BYTES") } >= 1, watched)
        }
    }

    @Test("status --watch prints block after block where there is no terminal, and ends with its reader")
    func watch() async throws {
        try await withTraffic { bed, _ in
            let text = try shell("\(bed.line("status 0.1 --watch")) | head -n 9")
            try verify(text.split(separator: "\n").count { $0.hasPrefix("LABEL ") } >= 2, text)
            try verify(!text.contains("\u{1b}"), "no control characters")
            let watcher = try Background(bed.line("status 86400 --watch --json"), in: bed)
            try eventually("a reading") { try watcher.output.hasSuffix("\n") }
            _ = try JSONValue(watcher.output)
            try watcher.signal("TERM")
            try verify(watcher.exitCode(), is: 143)
            try bed.refused("status 0", "interval", exitCode: 64)
        }
    }

    @Test("On a terminal the heading is bold, unless NO_COLOR says otherwise")
    func terminal() async throws {
        try await withTraffic { bed, _ in
            let bold = try shell(
                "env -u NO_COLOR TERM=xterm script -qec '\(bed.line("bindings"))' /dev/null </dev/null")
            try verify(bold.contains("\u{1b}[1mPROTOCOL"), bold)
            let plain = try shell("NO_COLOR=1 script -qec '\(bed.line("bindings"))' /dev/null </dev/null")
            try verify(plain.contains("PROTOCOL") && !plain.contains("\u{1b}"), plain)
            let empty = try shell("NO_COLOR= TERM=xterm script -qec '\(bed.line("bindings"))' /dev/null </dev/null")
            try verify(empty.contains("\u{1b}[1mPROTOCOL"), empty)
            let dumb = try shell("env -u NO_COLOR TERM=dumb script -qec '\(bed.line("bindings"))' /dev/null </dev/null")
            try verify(dumb.contains("PROTOCOL") && !dumb.contains("\u{1b}"), dumb)
        }
    }

    @Test("metrics, as Prometheus reads them")
    func metrics() async throws {
        try await withTraffic { bed, _ in
            let text = try bed.steer("metrics")
            for sample in [
                "steering_lookups_total{label=\"web\",family=\"IPv4\",protocol=\"tcp\"} 2",
                "steering_misses_total{label=\"none\",family=\"IPv4\",protocol=\"tcp\"} 2",
                "steering_sockets{label=\"web\",family=\"IPv4\",protocol=\"tcp\"} 1", "steering_bindings 3",
                "steering_refused_total 0", "steering_passed_total 0",
            ] {
                try verify(text.contains("\n\(sample)\n"), "\(sample) in\n\(text)")
            }
            let names = Set(
                text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { $0.prefix { $0 != "{" && $0 != " " } })
            for name in names {
                try verify(text.components(separatedBy: "# TYPE \(name) ").count, is: 2, "types of \(name)")
                try verify(text.components(separatedBy: "# HELP \(name) ").count, is: 2, "helps of \(name)")
            }
        }
    }

    @Test("Output that cannot be written is an error")
    func fullOutput() async throws {
        try await withTraffic { bed, _ in
            for command in ["bindings", "status --json", "metrics"] {
                let run = try bed.run("\(command) >/dev/full")
                try verify(run.exitCode == 1 && run.error.contains("No space left on device"), "\(run)")
            }
        }
    }
}
