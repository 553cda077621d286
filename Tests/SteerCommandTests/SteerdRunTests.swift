import KernelTestSupport
import Steering
import Testing

/// steerd-run: real servers that know nothing of steerd, as an unprivileged user.
@Suite(.kernel, .serialized)
struct SteerdRunTests {
    @Test(
        "A server that knows nothing of it is steered to; it can be started again when it ended, and when it was killed",
        arguments: WrappedServer.allCases)
    func wrapped(server: WrappedServer) async throws {
        try await withServicePlace { place in
            let command = try server.command(place.folder)
            let first = try place.run("web", command)
            try place.isServed(server)
            let held = try place.steerd.client.sockets(of: "web")
            try verify(held.count, is: server == .nginxReuseport ? 2 : 1, "sockets")
            try verify(held.allSatisfy { $0.isRegistered && $0.isLent }, "\(held)")
            try first.signal("TERM")
            try verify(try first.exitCode(), is: server.exitCode, "exit code")
            try verify(try place.steerd.client.sockets(of: "web"), is: [], "what is held when it has ended")
            try verify(try Traffic.connect(.tcp, to: SocketAddress("192.0.2.9:80")) == nil, "not refused")

            let second = try place.run("web", command)
            try place.isServed(server)
            try place.kill(second)
            // Nobody but the server held its sockets: nothing is in the way of the next.
            try eventually("nothing is left of a killed one") { try place.steerd.client.sockets(of: "web").isEmpty }
            try verify(try Traffic.connect(.tcp, to: SocketAddress("192.0.2.9:80")) == nil, "not refused")
            let third = try place.run("web", command)
            try place.isServed(server)
            let now = try place.steerd.client.sockets(of: "web")
            try verify(now.count == held.count && now != held, "\(now)")
            try third.signal("TERM")
            try verify(try third.exitCode(), is: server.exitCode, "exit code")
        }
    }

    @Test("By pid, too, beside steerd; and one that is wrapped takes its place", arguments: WrappedServer.allCases)
    func byPid(server: WrappedServer) async throws {
        try await withServicePlace { place in
            let plain = try Background(
                "\(SteerdBed.webUser) \(try server.command(place.folder))", in: place.steerd.bed)
            try place.steerd.bed.listens("127.0.0.1:8080", server == .nginxReuseport ? 2 : 1)
            try place.steerd.bed.steer("register web --pid \(plain.pid) tcp 127.0.0.1:8080")
            try place.isServed(server)
            try verify(
                try place.steerd.client.sockets(of: "web").filter { !$0.isLent }, is: [], "what steerd holds")
            try plain.signal("TERM")
            try verify(try plain.exitCode(), is: server.exitCode)
            let wrapped = try place.run("web=tcp:127.0.0.1:8080", try server.command(place.folder))
            try place.isServed(server)
            try wrapped.signal("TERM")
            _ = try wrapped.exitCode()
        }
    }

    /// Asks without a pause, until a file is there; prints how many were answered, and what became of the others.
    private static let client = """
        import collections, os, random, socket, sys
        results = collections.Counter()
        while not os.path.exists(sys.argv[1]):
            try:
                with socket.create_connection(('192.0.2.%d' % random.randint(1, 254), 80), 20) as connection:
                    connection.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
                    answer = b''.join(iter(lambda: connection.recv(4096), b''))
                results['answered' if answer.endswith(b'it is nginx') else 'cut'] += 1
            except OSError as error: results[type(error).__name__] += 1
        print(dict(results), flush=True)
        """

    @Test(
        "nginx with sockets that are passed is restarted while clients ask: none is refused",
        arguments: ["QUIT", "KILL"])
    func passed(signal: String) async throws {
        try await withServicePlace { place in
            let command = try WrappedServer.nginx.command(place.folder)
            let options = "web --nginx --listen tcp:127.0.0.1:8080"
            var nginx = try place.run(options, command)
            try place.isServed(.nginx)
            // No process of ours is left beside it.
            try verify(try shell("cat /proc/\(nginx.pid)/comm"), is: "nginx\n")
            let cookies = try place.steerd.client.sockets(of: "web").map(\.cookie)
            let file = try place.steerd.bed.write(Self.client, to: "client.py")
            let client = try Background("\(Bed.python) \(file) \(place.folder)/enough", in: place.steerd.bed)
            for _ in 0..<5 {
                if signal == "QUIT" { try nginx.signal("QUIT") } else { try place.kill(nginx) }
                _ = try nginx.exitCode()
                nginx = try place.run(options, command)
                try place.isServed(.nginx)
            }
            try shell("touch \(place.folder)/enough")
            try verify(try client.exitCode(), is: 0)
            let result = try client.output
            try verify(result.contains("'answered': "), result)
            try verify(!result.contains("Refused"), result)
            if signal == "QUIT" { try verify(!result.contains(","), result) }
            try verify(try place.steerd.client.sockets(of: "web").map(\.cookie), is: cookies)
            try nginx.signal("QUIT")
            try verify(try nginx.exitCode(), is: 0)
        }
    }

    @Test("The exit code is the command's; signals reach it")
    func exitCodes() async throws {
        try await withServicePlace { place in
            // Amid its end a process shows its descriptors to nobody: here for a second, as the other thread lives on.
            let lingers = try place.steerd.bed.write(
                """
                import ctypes, os, threading, time
                threading.Thread(target=lambda: (time.sleep(1), os._exit(5))).start()
                ctypes.CDLL(None).pthread_exit(None)
                """, to: "lingers.py")
            for (command, code) in [
                ("sh -c \"exit 7\"", 7), ("sh -c \"kill -9 \\$\\$\"", 137), ("/nowhere/web", 127),
                ("\(Bed.python) \(lingers)", 5),
            ] {
                let run = try place.steerd.bed.sh(place.line("web", command))
                try verify(run.exitCode, is: Int32(code), command)
                try verify(
                    run.error.isEmpty != (code == 127)
                        && (code != 127 || run.error.contains("cannot run /nowhere/web")),
                    "\(run)")
            }
            for program in ["/nowhere/web", "no-such-web", "/etc/passwd"] {
                let run = try place.steerd.bed.sh(place.line("web --listen tcp:127.0.0.1:0", program))
                try verify(run.exitCode == 127 && run.error.contains("cannot run \(program) "), "\(run)")
                try verify(try place.steerd.client.sockets(of: "web"), is: [], "what is held for \(program)")
            }
            let file = try place.steerd.bed.write(
                """
                import signal, socket, sys
                def said(number, frame):
                    print(signal.Signals(number).name, flush=True)
                    if number == signal.SIGINT: sys.exit(9)
                for name in 'HUP', 'USR1', 'USR2', 'INT': signal.signal(getattr(signal, 'SIG' + name), said)
                server = socket.create_server(('127.0.0.1', 0))
                print('listens', flush=True)
                while True: signal.pause()
                """, to: "signals.py")
            let wrapped = try place.run("web", "\(Bed.python) \(file)")
            try eventually("it is registered") { try place.steerd.client.sockets(of: "web").count == 1 }
            for name in ["HUP", "USR1", "USR2"] {
                try wrapped.signal(name)
                try eventually("SIG\(name) reaches it") { try wrapped.output.hasSuffix("SIG\(name)\n") }
            }
            try wrapped.signal("INT")
            try verify(try wrapped.exitCode(), is: 9)
        }
    }

    @Test("What cannot be handed over is one sentence, and ends the command")
    func refusals() async throws {
        try await withServicePlace { place in
            let two = "import socket; a = [socket.create_server((\\\"127.0.0.1\\\", p)) for p in (7001, 7002)]; input()"
            let datagrams = "import socket; s = socket.socket(type=2); s.bind((\\\"127.0.0.1\\\", 7003)); input()"
            let waiting = "sleep 4711"
            let leaves = try place.steerd.bed.write(
                "\(waiting) & \(Bed.python) -c 'import socket, time; s = socket.create_server((\"127.0.0.1\", 0)); time.sleep(1)'",
                to: "leaves.sh")
            for (options, command, hint) in [
                ("web --wait 0.5", waiting, "does not listen on anything that can be steered to within 0.5 seconds"),
                ("web=tcp:127.0.0.1:1 --wait 0.5", waiting, "does not listen on tcp 127.0.0.1:1"),
                ("web", "true", "ended before it listened: keep it in the foreground"),
                ("web", "sh -c \"\(waiting) & exit 0\"", "sh went to the background"),
                ("web", "sh \(leaves)", "sh went to the background"),
                ("dns", waiting, "user 65534 may not use the label dns"),
                ("web --wait 0.5", "\(Bed.python) -c \"\(datagrams)\" < /dev/zero", "the bindings of web are for tcp"),
                ("web --steerd /nowhere", waiting, "/nowhere"),
                ("web", "\(Bed.python) -c \"\(two)\" < /dev/zero", "2 sockets that match"),
                ("web --listen tcp:203.0.113.1:80", waiting, "cannot be bound to 203.0.113.1:80"),
            ] {
                let line =
                    options.contains("/nowhere")
                    ? "\(SteerdBed.webUser) timeout $PATIENCE \(place.program) \(options) -- \(command)"
                    : place.line(options, command)
                let run = try place.steerd.bed.sh(line)
                try verify(run.exitCode == 1 && run.error.contains(hint), "\(options) -- \(command): \(run)")
                try verify(
                    run.error.hasPrefix("steerd-run: ") && run.error.split(separator: "\n").count == 1, run.error)
                try verify(try shell("pgrep -fx '\(waiting)' || true"), is: "", "what is left of the command")
            }
            for (options, hint) in [
                ("web --", "which command?"), ("web --listen tcp -- true", "give one such as"),
                ("web --listen tcp:1.2.3:4 -- true", "1.2.3"), ("we#b -- true", "label"),
                ("web=:1 --listen tcp:127.0.0.1:1 -- true", "--listen web=tcp:"),
                ("web dns=udp -- true", "which of the command's sockets are for web?"),
                ("web=:1 web=:2 -- true", "web is given twice"), ("web=1.2.3:4 -- true", "1.2.3"),
                ("-- true", "which label?"), ("--listen tcp:127.0.0.1:1 -- true", "which label is"),
                ("web --listen tcp:127.0.0.1:1 --listen tcp:127.0.0.1:2 -- true", "can have one tcp socket of IPv4"),
                ("--listen web=tcp:[::1]:1 --listen web=tcp:[::]:2 -- true", "can have one tcp socket of IPv6"),
                ("dns --listen web=tcp:127.0.0.1:1 -- true", "no --listen is for dns"),
                ("web --wait 0 -- true", "--wait"), ("web --nginx -- true", "--nginx"),
            ] {
                let run = try place.steerd.bed.sh("\(place.program) \(options)")
                try verify(run.exitCode == 64 && run.error.contains(hint), "\(options): \(run)")
            }
            // A label that no binding leads to, which only root may ask for: nothing is started.
            for options in ["nowhere", "nowhere --listen tcp:127.0.0.1:0"] {
                let run = try place.steerd.bed.sh(place.line(options, "touch \(place.folder)/started", as: ""))
                try verify(run.exitCode == 1 && run.error.contains("no binding in force leads to nowhere"), "\(run)")
                try verify(try shell("ls \(place.folder)"), is: "", "what was started")
            }
        }
    }
}
