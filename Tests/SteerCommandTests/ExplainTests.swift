import KernelTestSupport
import Testing

/// `explain`: the policy's word and the kernel's.
@Suite(.kernel)
struct ExplainTests {
    @Test("Candidates in their order, the decision, the socket, the kernel's verdict")
    func steered() async throws {
        try await withBed { bed in
            try bed.steer("bind wide tcp 192.0.2.0/24 all")
            try bed.steer("bind web tcp 192.0.2.0/25 80")
            let server = try bed.server("here", port: 8080)
            try bed.steer("register web --pid \(server.pid)")
            let report = try bed.json("explain tcp 192.0.2.9 80")
            try verify(
                report.keys,
                is: [
                    "agrees", "candidates", "caveats", "code", "decision", "incompatible", "kernel", "lookups",
                    "misses",
                    "sockets",
                ])
            try verify(report["candidates"].array.map { $0["binding"]["label"].string }, is: ["web", "wide"])
            try verify(report["candidates"][1]["reason"].string, is: "/25 is longer than /24")
            try verify(report["decision"].string, is: "steered to web tcp/IPv4")
            try verify(report["sockets"][0]["bound"].string, is: "127.0.0.1:8080")
            try verify(report["kernel"]["verdict"].string, is: "delivered")
            try verify(report["kernel"]["socket"], is: report["sockets"][0])
            try verify(report["kernel"]["socket"]["owners"][0]["pid"].int, is: Int(server.pid))
            try verify(report["kernel"]["established"], is: .flag(false))
            try verify(report["agrees"], is: .flag(true))
            try verify(report["caveats"], is: .list([]))

            let text = try bed.steer("explain tcp 192.0.2.9 80")
            for line in [
                "decides   tcp 192.0.2.0/25 80 -> label web\n", "(after the one above: /25 is longer than /24)\n",
                "decision  steered to web tcp/IPv4\n", "kernel    delivers to socket ",
            ] {
                try verify(text.contains(line), "\(line) in\n\(text)")
            }
            try verify(bed.json("explain tcp 192.0.2.200 80")["kernel"]["verdict"].string, is: "refused")
            try verify(
                bed.json("explain tcp 192.0.2.200 80")["decision"].string, is: "refused: wide tcp/IPv4 has no socket")
        }
    }

    @Test("--from and --on; what an established connection and a missing route mean")
    func caveats() async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            try bed.steer("bind web tcp 198.51.100.0/24 80")
            let server = try bed.server("here", port: 8080)
            try bed.steer("register web --pid \(server.pid)")
            try verify(bed.json("explain tcp 192.0.2.9 80 --on lo")["kernel"]["verdict"].string, is: "delivered")
            try bed.refused("explain tcp 192.0.2.9 80 --on nosuch0", "nosuch0")
            try bed.refused("explain tcp 192.0.2.9 80 --from 2001:db8::1", "famil")

            let away = try bed.json("explain tcp 198.51.100.9 80")["caveats"]
            try verify(away[0].string?.contains(": ip route add local 198.51.100.9/32 dev lo") == true, "\(away)")

            let client = try bed.python(
                """
                from socket import *; import time
                s = create_connection(('192.0.2.9', 80), source_address=('127.0.0.1', 40001)); time.sleep(600)
                """)
            try eventually("the connection") { try shell("ss -Htn").contains("127.0.0.1:40001") }
            let flow = try bed.json("explain tcp 192.0.2.9 80 --from 127.0.0.1:40001")
            // socat's child may have ended the connection's other half; the socket is there all the same.
            try verify(flow["kernel"]["established"], is: .flag(true))
            try verify(flow["caveats"][0].string?.contains("established connection") == true, "\(flow)")
            let another = try bed.json("explain tcp 192.0.2.9 80 --from 127.0.0.1:40002")
            try verify(another["kernel"]["established"], is: .flag(false))
            _ = client
        }
    }

    @Test("Netfilter may give a packet another destination first")
    func translated() async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            try bed.steer("bind web tcp 2001:db8::/64 80")
            try shell("nft 'add table ip6 web; add chain ip6 web in { type nat hook prerouting priority dstnat; }'")
            func explained(_ address: String) throws -> Bool {
                try "\(bed.json("explain tcp \(address) 80")["caveats"])".contains("`nft list chain ip6 web in`")
            }
            try verify(explained("2001:db8::9"), is: false)  // without a rule
            try shell("nft add rule ip6 web in tcp dport 80 dnat to 2001:db8::1")
            try verify(explained("2001:db8::9"), is: true)
            try verify(explained("192.0.2.9"), is: false)
            try shell("nft list chain ip6 web in")
        }
    }

    @Test("Refused, passed and not steered are told apart")
    func outcomes() async throws {
        try await withBed { bed in
            try bed.steer("bind --refuse udp 2001:db8::/64 53")
            try bed.steer("bind --pass udp 2001:db8::/64 54")
            let reports = try (53...55).map { try bed.json("explain udp 2001:db8::7 \($0)") }
            let decisions = reports.map { $0["decision"].string! }
            try verify(reports.map { $0["code"].string }, is: ["refused", "passed", "notSteered"])
            try verify(decisions[0], is: "refused by a binding")
            try verify(decisions[1], is: "passed to the ordinary lookup by a binding")
            try verify(decisions[2].hasPrefix("not steered"), decisions[2])
            for bad in ["icmp ::1 80", "tcp ::g 80", "tcp ::1 70000", "tcp ::1", "tcp ::1 80 --from x"] {
                try bed.refused("explain \(bad)", "", exitCode: 64)
            }
        }
    }
}
