import Glibc
import KernelTestSupport
import Testing

/// Sockets of running processes.
@Suite(.kernel)
struct RegisterTests {
    /// Listeners and receivers on 127.0.0.1: (kind, port), each with the same options.
    private func holder(_ sockets: [(String, Int)], reuseport: Bool = false, in bed: Bed) throws -> Background {
        let lines = sockets.map { kind, port in
            """
            s = socket(AF_INET, \(kind == "tcp" ? "SOCK_STREAM" : "SOCK_DGRAM")); keep.append(s)
            s.setsockopt(SOL_SOCKET, \(reuseport ? "SO_REUSEPORT" : "SO_REUSEADDR"), 1)
            s.bind(('127.0.0.1', \(port)))
            \(kind == "tcp" ? "s.listen()" : "")
            """
        }
        let program = try bed.python(
            "from socket import *; import time; keep = []\n\(lines.joined(separator: "\n"))\ntime.sleep(600)")
        for (_, port) in sockets { try bed.listens(":\(port)", sockets.count { $0.1 == port }) }
        return program
    }

    private func bound(_ bed: Bed) throws -> [String] {
        try bed.json("sockets")["sockets"].array.map {
            "\($0["label"].string!) \($0["protocol"].string!) \($0["bound"].string!)"
        }
    }

    @Test("The only candidate needs no selector; traffic goes there until it is taken out")
    func onlyOne() async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            let server = try bed.server("here", port: 8080)
            try verify(bed.ask("192.0.2.9", port: 80), is: "refused")
            try verify(bed.steer("register web --pid \(server.pid)"), is: "registered tcp 127.0.0.1:8080 as web\n")
            try verify(bed.ask("192.0.2.9", port: 80), is: "here")
            try bed.steer("register web --pid \(server.pid) tcp 127.0.0.1:8080")
            try bed.refused("register web --pid \(server.pid) udp", "tcp 127.0.0.1:8080")
            try bed.refused("register web --pid \(server.pid) tcp 127.0.0.1:1", "tcp 127.0.0.1:8080")
            try bed.steer("unregister web")
            try verify(bed.ask("192.0.2.9", port: 80), is: "refused")
            try bed.refused("unregister web", "registered as web")
        }
    }

    @Test("Of several sockets one is chosen by protocol and address; the list says among which")
    func several() async throws {
        try await withBed { bed in
            let holder = try holder([("tcp", 8001), ("tcp", 8002), ("udp", 8003)], in: bed)
            let message = try bed.refused("register web --pid \(holder.pid)", "3 sockets")
            for choice in ["tcp 127.0.0.1:8001", "tcp 127.0.0.1:8002", "udp 127.0.0.1:8003"] {
                try verify(message.contains(choice), message)
            }
            try bed.refused("register web --pid \(holder.pid) tcp", "2 sockets")
            let report = try bed.json("register web --pid \(holder.pid) udp")["registered"]
            try verify(
                report.array.count == 1 && report[0].keys == ["bound", "cookie", "families", "label", "protocol"],
                "\(report)")
            try bed.steer("register web --pid \(holder.pid) tcp 127.0.0.1:8002")
            try verify(Set(bound(bed)), is: ["web tcp 127.0.0.1:8002", "web udp 127.0.0.1:8003"])

            try bed.refused("register web --pid \(holder.pid) tcp 127.0.0.1:8001", "replace")
            try bed.steer("register web --pid \(holder.pid) tcp 127.0.0.1:8001 --replace")
            try verify(Set(bound(bed)), is: ["web tcp 127.0.0.1:8001", "web udp 127.0.0.1:8003"])
        }
    }

    @Test("A SO_REUSEPORT group is registered whole, and taken out by cookie one by one")
    func group() async throws {
        try await withBed { bed in
            let holder = try holder([("tcp", 8001), ("tcp", 8001), ("tcp", 8001)], reuseport: true, in: bed)
            try bed.steer("register web --pid \(holder.pid)")
            let sockets = try bed.json("sockets")["sockets"]
            try verify(sockets.array.map { $0["standIn"] }, is: [.flag(false), .flag(true), .flag(true)])
            try verify(sockets.array.allSatisfy { $0["owners"][0]["pid"].int == Int(holder.pid) }, "\(sockets)")

            let cookie = sockets[0]["cookie"].string!
            try bed.refused("unregister web --cookie 0", "cookie")
            try bed.refused("unregister other --cookie \(cookie)", "other")
            try bed.steer("unregister web --cookie \(cookie)")
            let left = try bed.json("sockets")["sockets"]
            try verify(left.array.map { $0["cookie"] }, is: [sockets[1]["cookie"], sockets[2]["cookie"]])
            try verify(left[0]["standIn"], is: .flag(false))
            try bed.steer("register web --pid \(holder.pid) --replace")
            try verify(bed.json("sockets")["sockets"].array.count, is: 3)
            try holder.signal("KILL")
            _ = try holder.exitCode()
            try verify(bed.json("sockets")["sockets"], is: .list([]))
        }
    }

    @Test("What is left open is told: a label without a binding, a family without a socket, members beyond 16")
    func notes() async throws {
        try await withBed { bed in
            let server = try bed.server("here", port: 8080)
            let alone = try bed.steer("register web --pid \(server.pid)")
            try verify(
                alone,
                is: """
                    registered tcp 127.0.0.1:8080 as web
                    note: no binding leads to web: steer bind web PROTOCOL PREFIX PORTS --bpffs \(bed.bpffs.path)

                    """)
            try bed.steer("bind web tcp+udp 192.0.2.0/24 80")
            try bed.steer("bind web tcp 2001:db8::/64 80")
            let missing = "web udp/IPv4 and web tcp/IPv6 have bindings and no socket: register one for it, too"
            try verify(
                bed.json("register web --pid \(server.pid)")["notes"].array.map(\.string), is: [missing])

            let dual = try bed.python(
                """
                from socket import *; import time
                s = create_server(('::', 8005), family=AF_INET6, dualstack_ipv6=True); time.sleep(600)
                """)
            try bed.listens("*:8005")
            let both = try bed.steer("register both --pid \(dual.pid)")
            try verify(both.components(separatedBy: "registered tcp").count, is: 2, both)

            let crowd = try holder(Array(repeating: ("tcp", 8006), count: 20), reuseport: true, in: bed)
            let text = try bed.steer("register crowd --pid \(crowd.pid)")
            try verify(text.contains("registered tcp 127.0.0.1:8006 as crowd (16 sockets)\n"), text)
            try verify(text.contains("note: 16 of the group's 20 sockets are registered"), text)
        }
    }

    @Test("A note's command is for the namespace and the file system of what it is about")
    func elsewhere() async throws {
        try await withBed(loaded: false) { bed in
            let neighbour = try Neighbour("in0", number: 1)
            let name = neighbour.path.split(separator: "/").last!
            let line = "socat TCP4-LISTEN:8080,bind=127.0.0.1,reuseaddr,fork SYSTEM:\"echo here\""
            let server = try Background(neighbour.line(line), in: bed)
            try eventually("a server") { try neighbour.shell("ss -Hltn").contains("127.0.0.1:8080 ") }
            try bed.steer("load --netns \(name)")
            let notes = try bed.json("register web --pid \(server.pid)")["notes"].array.map(\.string)
            let rest = "--netns \(name) --bpffs \(bed.bpffs.path)"
            try verify(notes, is: ["no binding leads to web: steer bind web PROTOCOL PREFIX PORTS \(rest)"])
            let cookie = try bed.run("unregister web --cookie 1 --pid \(server.pid)")
            try verify(cookie.error.contains("`steer sockets \(rest)`"), cookie.error)
            try bed.steer("unload --netns \(name)")
        }
    }

    @Test("A process that is gone, has no socket, or lives elsewhere is named")
    func wrongProcess() async throws {
        try await withBed { bed in
            let idle = try Background("sleep 600", in: bed)
            try bed.refused("register web --pid \(idle.pid)", "no TCP or UDP socket")
            try idle.signal("KILL")
            _ = try idle.exitCode()
            try bed.refused("register web --pid \(idle.pid)", "\(idle.pid)")
            try bed.refused("register web --pid 0", "--pid 0", exitCode: 64)
            try bed.refused("register web --pid -5", "", exitCode: 64)
            try bed.refused("register web", "LISTEN_FDS")
            try bed.refused("register", "which label", exitCode: 64)
            try bed.refused("register web tcp", "whose socket", exitCode: 64)
            let elsewhere = try Background("unshare -n socat TCP4-LISTEN:8001,fork -", in: bed)
            try eventually("it listens") { try shell("nsenter -n -t \(elsewhere.pid) ss -Hltn").contains("8001") }
            try bed.refused("register web --pid \(elsewhere.pid)", "load it first")
        }
    }

    @Test("--all takes a socket of each protocol and family, --wait has it listen first")
    func all() async throws {
        try await withBed { bed in
            let server = try bed.python(
                """
                import os, time
                from socket import *
                while not os.path.exists('\(bed.folder)/go'): time.sleep(0.02)
                kept = [create_server(('127.0.0.1', 8001)), create_server(('::1', 8001), family=AF_INET6)]
                time.sleep(0.3)
                for family, host in (AF_INET, '127.0.0.1'), (AF_INET6, '::1'):
                    s = socket(family, SOCK_DGRAM); s.bind((host, 8001)); kept.append(s)
                time.sleep(600)
                """)
            try bed.refused("register web --pid \(server.pid)", "no TCP or UDP socket")
            try bed.refused("register web --all", "give --pid", exitCode: 64)
            try bed.refused("register web --pid \(server.pid) --wait -1", "--wait", exitCode: 64)
            let waiting = try Background(bed.line("register web --pid \(server.pid) tcp --all --wait 20"), in: bed)
            usleep(200_000)
            try shell("touch \(bed.folder)/go")
            try verify(try waiting.exitCode(), is: 0)
            try verify(Set(bound(bed)), is: ["web tcp 127.0.0.1:8001", "web tcp [::1]:8001"])
            try bed.listens("[::1]:8001", 2)
            let message = try bed.refused("register dns --pid \(server.pid)", "4 sockets")
            try verify(message.contains("--all"), message)
            try bed.steer("register dns --pid \(server.pid) udp :8001 --all")
            try verify(
                bound(bed).filter { $0.hasPrefix("dns") }.sorted(),
                is: ["dns udp 127.0.0.1:8001", "dns udp [::1]:8001"])
        }
    }

    @Test("A program's sockets may be its children's; what the process itself has comes first")
    func descendants() async throws {
        try await withBed { bed in
            let parent = try bed.python(
                """
                from socket import *
                import os, sys, time
                if not os.fork(): s = create_server(('127.0.0.1', 8001)); time.sleep(600)
                while not os.path.exists('\(bed.folder)/go'): time.sleep(0.02)
                t = create_server(('127.0.0.1', 8002)); time.sleep(600)
                """)
            try bed.listens(":8001")
            try bed.steer("register web --pid \(parent.pid)")
            try verify(Set(bound(bed)), is: ["web tcp 127.0.0.1:8001"])
            try shell("touch \(bed.folder)/go")
            try bed.listens(":8002")
            try bed.steer("register other --pid \(parent.pid)")
            try verify(Set(bound(bed)), is: ["web tcp 127.0.0.1:8001", "other tcp 127.0.0.1:8002"])
        }
    }

    @Test("A Multipath TCP listener is named beside other sockets, unless the label has no use for TCP")
    func multipath() async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            try bed.steer("bind dns udp 192.0.2.0/24 53")
            let server = try bed.python(
                """
                from socket import *
                import time
                def mptcp(port): s = socket(AF_INET, SOCK_STREAM, 262); s.bind(('127.0.0.1', port)); s.listen(); return s
                kept = [mptcp(8001), mptcp(8002)]
                s = socket(type=SOCK_DGRAM); s.bind(('127.0.0.1', 8001)); time.sleep(600)
                """)
            try bed.listens("127.0.0.1:8001", 2)
            for words in ["", "tcp", "tcp 127.0.0.1:8001", "tcp :8001", "--all"] {
                let message = try bed.refused("register web --pid \(server.pid) \(words)", "GODEBUG=multipathtcp=0")
                try verify(message.contains("127.0.0.1:8001"), message)
            }
            try bed.refused("register unbound --pid \(server.pid)", "GODEBUG=multipathtcp=0")
            try bed.refused("register web --pid \(server.pid) tcp 127.0.0.1:1", "no socket tcp 127.0.0.1:1")
            // With notes on what it answers from.
            for words in ["dns --pid \(server.pid)", "web --pid \(server.pid) udp"] {
                let run = try bed.run("register \(words)")
                try verify(run.exitCode == 0 && run.output.hasPrefix("registered udp 127.0.0.1:8001"), "\(run)")
            }
        }
    }

    @Test("A socket of a protocol that no binding of the label has is not registered unless it is named")
    func otherProtocol() async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            let holder = try holder([("udp", 8001)], in: bed)
            try bed.refused("register web --pid \(holder.pid)", "the bindings of web are for tcp")
            try bed.steer("register web --pid \(holder.pid) udp")
        }
    }

    @Test("A socket that is bound to a device is refused with the remedy", arguments: ["tcp", "udp"])
    func device(kind: String) async throws {
        try await withBed { bed in
            let server = try bed.python(
                """
                from socket import *
                import time
                s = socket(AF_INET, \(kind == "tcp" ? "SOCK_STREAM" : "SOCK_DGRAM")); s.setsockopt(SOL_SOCKET, 25, b'lo')
                s.bind(('127.0.0.1', 8001))
                \(kind == "tcp" ? "s.listen()" : "")
                time.sleep(600)
                """)
            try bed.listens(":8001")
            for words in ["", "\(kind) :8001", "--follow"] {
                try bed.refused("register web --pid \(server.pid) \(words)", "`--on lo`")
            }
        }
    }
}
