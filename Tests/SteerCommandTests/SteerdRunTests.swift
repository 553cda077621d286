import KernelTestSupport
import Steering
import Testing

/// steerd-run: real servers that know nothing of steerd, as an unprivileged user.
@Suite(.kernel, .serialized)
struct SteerdRunTests {
    /// A server as its users start it, on 127.0.0.1:8080, and how a client asks it at an address.
    enum Server: String, CaseIterable, CustomTestStringConvertible {
        case nginx, nginxReuseport, redis, asyncio

        var testDescription: String { rawValue }

        func command(_ folder: String) throws -> String {
            switch self {
            case .nginx, .nginxReuseport:
                try shell("cat >\(folder)/nginx.conf <<'END'\n\(configuration(folder))\nEND")
                return "/usr/sbin/nginx -e stderr -c \(folder)/nginx.conf"
            case .redis:
                return
                    "redis-server --port 8080 --bind 127.0.0.1 --save \"\" --appendonly no --protected-mode no --dir \(folder)"
            case .asyncio:
                try shell("cat >\(folder)/server.py <<'END'\n\(Self.program)\nEND")
                return "\(Bed.python) \(folder)/server.py"
            }
        }

        func ask(_ host: String) throws -> String {
            let client =
                self == .redis ? "redis-cli -h \(host) -p 80 PING" : "curl -sS --max-time $PATIENCE http://\(host)/"
            return try shell("timeout $PATIENCE \(client) 2>&1 || true").trimmingCharacters(in: .whitespacesAndNewlines)
        }

        var answer: String { self == .redis ? "PONG" : "it is \(self == .asyncio ? "asyncio" : "nginx")" }
        var exitCode: Int32 { self == .asyncio ? 143 : 0 }

        private func configuration(_ folder: String) -> String {
            let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map { "\($0)_temp_path \(folder)/\($0);" }
            return """
                daemon off; worker_processes 2; pid \(folder)/nginx.pid; error_log stderr;
                events { worker_connections 128; }
                http {
                    access_log off; keepalive_timeout 0; \(paths.joined(separator: " "))
                    server {
                        listen 127.0.0.1:8080\(self == .nginxReuseport ? " reuseport" : "");
                        location / { return 200 "it is nginx"; }
                    }
                }
                """
        }

        private static let program = """
            import asyncio
            async def serve(reader, writer):
                await reader.readuntil(b'\\r\\n\\r\\n')
                writer.write(b'HTTP/1.0 200 OK\\r\\n\\r\\nit is asyncio')
                await writer.drain(); writer.close()
            async def main():
                async with await asyncio.start_server(serve, '127.0.0.1', 8080) as server: await server.serve_forever()
            asyncio.run(main())
            """
    }

    /// steerd, and a folder that its unprivileged user may write to.
    private struct Place: Sendable {
        let steerd: SteerdBed
        let folder: String
        let program: String

        init(_ steerd: SteerdBed) throws {
            self.steerd = steerd
            program = try Programs.path(of: "steerd-run")
            folder = "\(steerd.bed.folder)/service"
            try shell("mkdir -m 777 \(folder)")
        }

        func line(_ options: String, _ command: String, as user: String = SteerdBed.webUser) -> String {
            "\(user) \(program) \(options) --steerd \(steerd.socket) -- \(command)"
        }

        func run(_ options: String, _ command: String) throws -> Background {
            try Background(line(options, command), in: steerd.bed)
        }

        func isServed(_ server: Server) throws {
            try eventually("\(server) is reached") { try server.ask("192.0.2.9") == server.answer }
            for _ in 0..<20 {
                let host = "192.0.2.\(Int.random(in: 1...254))"
                try verify(try server.ask(host), is: server.answer, "\(server) at \(host)")
            }
        }

        /// Kills a process and all that it has started.
        func kill(_ process: Background) throws {
            try shell(
                "tree() { echo $1; for c in $(cat /proc/$1/task/*/children); do tree $c; done; }; kill -9 $(tree \(process.pid))"
            )
        }
    }

    private func withPlace(_ body: @escaping @Sendable (Place) throws -> Void) async throws {
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            defer { withExtendedLifetime(process) {} }
            try body(try Place(steerd))
        }
    }

    @Test(
        "A server that knows nothing of it is steered to; it can be started again when it ended, and when it was killed",
        arguments: Server.allCases)
    func wrapped(server: Server) async throws {
        try await withPlace { place in
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

    @Test("By pid, too, beside steerd; and one that is wrapped takes its place", arguments: Server.allCases)
    func byPid(server: Server) async throws {
        try await withPlace { place in
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
        try await withPlace { place in
            let command = try Server.nginx.command(place.folder)
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
        try await withPlace { place in
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
        try await withPlace { place in
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

    @Test("Two labels have each their sockets of one command, opened by it or passed")
    func twoLabels() async throws {
        try await withPlace { place in
            let opens = try place.steerd.bed.write(
                """
                from socket import *
                import time
                web, other = create_server(('127.0.0.1', 0)), create_server(('127.0.0.1', 8081))
                web2 = create_server(('127.0.0.1', 8080))
                dns = socket(type=SOCK_DGRAM); dns.bind(('127.0.0.1', 8053)); time.sleep(600)
                """, to: "opens.py")
            func bound(_ label: Label) throws -> [String] {
                try place.steerd.client.sockets(of: label).map { "\($0.transport) \($0.boundAddress)" }
            }
            let wrapped = try Background(
                place.line("web=:8080 dns=udp", "\(Bed.python) \(opens)", as: ""), in: place.steerd.bed)
            try eventually("both are registered") {
                try bound("web") == ["tcp 127.0.0.1:8080"] && bound("dns") == ["udp 127.0.0.1:8053"]
            }
            try wrapped.signal("TERM")
            _ = try wrapped.exitCode()
            let passed = try Background(
                place.line(
                    "--listen web=tcp:[::]:0 --listen dns=udp:127.0.0.1:8054 --listen dns=udp:[::]:0",
                    "sh -c 'echo $LISTEN_FDNAMES; exec sleep 600'", as: ""), in: place.steerd.bed)
            try eventually("it says what it got") { try passed.output == "web:dns:dns\n" }
            // [::] receives IPv4, too, where that has no socket of its own.
            let destinations = try place.steerd.bed.json("sockets")["sockets"].array.map {
                "\($0["label"].string!) \($0["protocol"].string!) \($0["family"].string ?? "")"
            }
            try verify(destinations.count { $0.hasPrefix("web tcp") }, is: 2, "\(destinations)")
            try verify(destinations.count { $0.hasPrefix("dns udp") }, is: 2, "\(destinations)")
        }
    }

    @Test("A Multipath TCP listener is named, with the remedy, whatever there is beside it")
    func multipath() async throws {
        try await withPlace { place in
            let program = try place.steerd.bed.write(
                """
                from socket import *
                import time
                web = socket(AF_INET, SOCK_STREAM, 262); web.bind(('127.0.0.1', 8080)); web.listen()
                h3 = socket(type=SOCK_DGRAM); h3.bind(('127.0.0.1', 8080)); time.sleep(600)
                """, to: "multipath.py")
            for label in ["web", "web=:8080", "web=tcp:127.0.0.1:8080"] {
                let run = try place.steerd.bed.sh(place.line(label, "\(Bed.python) \(program)"))
                try verify(
                    run.exitCode == 1 && run.error.contains("GODEBUG=multipathtcp=0")
                        && run.error.contains("127.0.0.1:8080"), "\(run)")
            }
            try verify(try place.steerd.client.sockets(of: "web"), is: [], "what is registered")
        }
    }

    @Test("What cannot be steered to is named for the family that lacks a socket, by pid and after a reload, too")
    func familyWithoutSocket() async throws {
        try await withPlace { place in
            let bed = place.steerd.bed
            // On SIGHUP it opens IPv4 anew, bound to a device.
            let program = try bed.write(
                """
                import signal, sys, time
                from socket import *
                six = socket(AF_INET6); six.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)
                four = socket(AF_INET, SOCK_STREAM, int(sys.argv[1]))
                for s in six, four:
                    s.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1); s.bind(('::' if s is six else '0.0.0.0', 8080)); s.listen()
                def reload(number, frame):
                    global four
                    four.close(); four = socket(); four.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
                    four.setsockopt(SOL_SOCKET, SO_BINDTODEVICE, b'lo'); four.bind(('0.0.0.0', 8080)); four.listen()
                signal.signal(signal.SIGHUP, reload)
                while True: time.sleep(600)
                """, to: "families.py")
            let lacks = "web has no socket for tcp/IPv4: "
            for number in [262, 0] {
                let plain = try Background("\(SteerdBed.webUser) \(Bed.python) \(program) \(number)", in: bed)
                try bed.listens(":8080", 2)
                let run = try bed.run("register web --pid \(plain.pid) tcp :8080 --all --replace")
                try verify(run.exitCode, is: 0)
                try verify(
                    number == 0 ? run.error.isEmpty : run.error.contains(lacks) && run.error.contains("Multipath TCP"),
                    run.error)
                try plain.signal("KILL")
                _ = try plain.exitCode()

                let wrapped = try place.run("web=:8080", "\(Bed.python) \(program) \(number)")
                if number == 262 {
                    try eventually("it is named") {
                        try wrapped.error.contains(lacks) && wrapped.error.contains("Multipath TCP")
                    }
                }
                try eventually("it is registered") {
                    try place.steerd.client.sockets(of: "web").count == (number == 0 ? 2 : 1)
                }
                try wrapped.signal("HUP")
                try eventually("the device is named") {
                    try wrapped.error.contains("\(lacks)the socket is bound to the device lo")
                }
                try wrapped.signal("TERM")
                _ = try wrapped.exitCode()
            }
        }
    }

    @Test("Sockets that steerd holds and that the command does not get are named, and --fresh releases them")
    func left() async throws {
        try await withPlace { place in
            let bed = place.steerd.bed, client = place.steerd.client
            /// Runs a command that ends at once, and returns its output.
            func passed(_ options: String, exitCode: Int32 = 0) throws -> String {
                let run = try bed.sh(place.line(options, "true"))
                try verify(run.exitCode, is: exitCode, "\(options): \(run)")
                return run.error
            }
            func bound() throws -> [String] { try client.sockets(of: "web").map { "\($0.boundAddress)" }.sorted() }
            let four = "--listen tcp:127.0.0.1:8080", both = "\(four) --listen tcp:[::1]:8080"
            try verify(try passed("web \(both)"), is: "")
            try verify(try passed("web \(both)"), is: "")
            var served = try place.run("web \(four)", "sleep 600")
            try eventually("the other is named") {
                try served.error.contains("steerd also holds tcp [::1]:8080 for web, which no --listen names")
            }
            try eventually("it is served") { try shell("cat /proc/\(served.pid)/comm") == "sleep\n" }
            let found = try bed.run("doctor").output
            try verify(found.contains("[queues] clients of web tcp/IPv6 wait on the socket"), found)
            try verify(found.contains("while web tcp/IPv4 is served"), found)
            try served.signal("TERM")
            _ = try served.exitCode()
            // Where no process serves the label, it is being restarted.
            try verify(!bed.run("doctor").output.contains("[queues]"), "a finding while it is restarted")
            let kept = try client.sockets(of: "web").first { $0.boundAddress.address.family == .ipv4 }
            served = try place.run("web --fresh \(four)", "sleep 600")
            try eventually("it is released") { try client.sockets(of: "web") == [kept!] }
            try verify(!bed.run("doctor").output.contains("[queues]"), "a finding when it is released")
            try verify(try served.error, is: "")
            served.end()

            // [::] receives IPv4 or does not, as the other places want it.
            try client.unregister("web")
            let any = "--listen tcp:[::]:8081", split = "\(any) --listen tcp:0.0.0.0:8081"
            try verify(try passed("web \(any)"), is: "")
            let occupied = try passed("web \(split)", exitCode: 1)
            try verify(
                occupied.contains("tcp 0.0.0.0:8081 cannot be bound, because steerd holds tcp [::]:8081 for web"),
                occupied)
            try verify(try passed("web --fresh \(split)"), is: "")
            try verify(try bound(), is: ["0.0.0.0:8081", "[::]:8081"])
            let less = try passed("web \(any)")
            try verify(less.contains("also holds tcp 0.0.0.0:8081") && less.contains("does not receive IPv4"), less)
            try verify(try passed("web --fresh \(any)"), is: "")
            try verify(try bound(), is: ["[::]:8081"])
            try verify(bed.json("sockets")["sockets"].array.count, is: 2, "destinations")

            // Beside sockets that a command opens itself, too.
            let opens = try bed.write(
                "import socket, time; s = socket.create_server(('127.0.0.1', 8082)); time.sleep(600)", to: "opens.py")
            let wrapped = try place.run("web", "\(Bed.python) \(opens)")
            try eventually("it is named") {
                try wrapped.error.contains(
                    "steerd still holds tcp [::]:8081 for web, which \(Bed.python) does not serve")
            }
            try wrapped.signal("TERM")
            _ = try wrapped.exitCode()

            let unbound = try passed("web --listen udp:127.0.0.1:0 \(any)")
            try verify(unbound.contains("no binding of web is for udp/IPv4"), unbound)
        }
    }
}
