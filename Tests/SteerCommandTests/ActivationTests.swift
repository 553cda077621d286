import KernelTestSupport
import Testing

/// Sockets from a service manager: `$LISTEN_FDS`.
@Suite(.kernel)
struct ActivationTests {
    /// Runs `steer ...` with sockets as a service manager passes them; a second process keeps them open.
    private func activated(
        _ arguments: String, sockets: String = "tcp(8001), udp(8002)", names: String? = nil, in bed: Bed
    ) throws -> Bed.Run {
        let named = names.map { "os.environ['LISTEN_FDNAMES'] = '\($0)'" } ?? ""
        let program = try bed.write(
            """
            from socket import *; import os, sys, time
            def tcp(port):
                s = socket(); s.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1); s.bind(('127.0.0.1', port)); s.listen(); return s
            def udp(port): s = socket(type=SOCK_DGRAM); s.bind(('127.0.0.1', port)); return s
            def unix(): return socketpair()[0]
            made = [s.detach() for s in [\(sockets)]]
            if os.fork() == 0:
                os.setsid(); null = os.open('/dev/null', os.O_RDWR)
                for d in range(3): os.dup2(null, d)
                open('\(bed.folder)/keeper', 'w').write(str(os.getpid())); time.sleep(120); os._exit(0)
            while not os.path.exists('\(bed.folder)/keeper') or not open('\(bed.folder)/keeper').read(): time.sleep(0.01)
            high = [os.dup2(d, 100 + i) for i, d in enumerate(made)]
            for i, d in enumerate(high): os.dup2(d, 3 + i)
            os.environ['LISTEN_PID'] = str(os.getpid()); os.environ['LISTEN_FDS'] = str(len(made)); \(named)
            os.execv('\(bed.steer)', ['steer'] + sys.argv[1:])
            """, to: "activate.py")
        defer { _ = try? shell("kill -9 $(cat \(bed.folder)/keeper.old)") }
        try shell("cd \(bed.folder); [ ! -e keeper ] || { kill -9 $(cat keeper); rm keeper; }")
        let words = arguments.split(separator: " ", maxSplits: 1)
        return try bed.sh("\(Bed.python) \(program) \(words[0]) --bpffs \(bed.bpffs.path) \(words[1])")
    }

    private func end(_ bed: Bed) throws { try shell("kill -9 $(cat \(bed.folder)/keeper)") }

    private func bound(_ bed: Bed) throws -> [String] {
        try bed.json("sockets")["sockets"].array.map { "\($0["label"].string!) \($0["bound"].string!)" }.sorted()
    }

    @Test("Every socket that was passed goes to the label")
    func all() async throws {
        try await withBed { bed in
            let run = try activated("register web", in: bed)
            try verify(run.exitCode == 0 && run.error.isEmpty, "\(run)")
            try verify(
                run.output.split(separator: "\n").sorted(),
                is: [
                    "note: no binding leads to web: steer bind web PROTOCOL PREFIX PORTS --bpffs \(bed.bpffs.path)",
                    "registered tcp 127.0.0.1:8001 as web", "registered udp 127.0.0.1:8002 as web",
                ])
            try verify(bound(bed), is: ["web 127.0.0.1:8001", "web 127.0.0.1:8002"])
            try end(bed)
        }
    }

    @Test("--names leads each name to its label, and says which is missing")
    func names() async throws {
        try await withBed { bed in
            let run = try activated("register --names http=web,dns", names: "http:dns", in: bed)
            try verify(run.exitCode == 0, "\(run)")
            try verify(bound(bed), is: ["dns 127.0.0.1:8002", "web 127.0.0.1:8001"])
            let missing = try activated("register --names http=web,smtp=mail", names: "http:dns", in: bed)
            try verify(missing.exitCode == 1 && missing.output.isEmpty, "\(missing)")
            try verify(missing.error.contains("\"smtp\"") && missing.error.contains("dns, http"), missing.error)
            let unnamed = try activated("register --names http", in: bed)
            try verify(unnamed.exitCode == 1 && unnamed.error.contains("no names"), "\(unnamed)")
            let wrong = try activated("register --names http=web,dns", names: "http", in: bed)
            try verify(wrong.exitCode == 1 && wrong.error.contains("LISTEN_FDNAMES"), "\(wrong)")
            try end(bed)
        }
    }

    @Test("All of them are registered, or none", arguments: ["tcp(8001), unix()", "tcp(8001), tcp(8002)"])
    func allOrNone(sockets: String) async throws {
        try await withBed { bed in
            let run = try activated("register web", sockets: sockets, in: bed)
            try verify(run.exitCode == 1 && run.output.isEmpty && run.error.hasPrefix("steer: "), "\(run)")
            try verify(bound(bed), is: [])
            try end(bed)
        }
    }

    @Test("Variables that are meant for another process, or are wrong, are not used")
    func environment() async throws {
        try await withBed { bed in
            for (variables, hint) in [
                ("LISTEN_PID=1 LISTEN_FDS=1", "LISTEN_PID is 1"), ("LISTEN_PID=x LISTEN_FDS=1", "LISTEN_PID"),
                ("LISTEN_FDS=1", "but not LISTEN_PID"),
            ] {
                try bed.refused("register web", hint, under: "env \(variables)")
            }
        }
    }

    @Test("As systemd-socket-activate starts it")
    func systemd() async throws {
        try await withBed { bed in
            try verify(shell("command -v systemd-socket-activate").hasPrefix("/"), "systemd is installed")
            let starter = try Background(
                "systemd-socket-activate -l 127.0.0.1:8001 \(bed.line("register web"))", in: bed)
            try bed.listens("127.0.0.1:8001")
            try shell("socat -u OPEN:/dev/null TCP4:127.0.0.1:8001 || true")
            try verify(starter.exitCode(), is: 0)
            try verify(starter.output.hasPrefix("registered tcp 127.0.0.1:8001 as web\n"), "what register prints")
        }
    }
}
