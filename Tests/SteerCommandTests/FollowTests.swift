import Glibc
import KernelTestSupport
import Steering
import Testing

/// Programs that close and open sockets while they run: by pid with --follow, and under steerd-run.
@Suite(.kernel, .serialized)
struct FollowTests {
    enum Way: String, CaseIterable, CustomTestStringConvertible {
        case pid, run

        var testDescription: String { rawValue }
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let way: Way
        let flow: Flow

        var testDescription: String { "\(way) \(flow.testDescription)" }
        static let all = Way.allCases.flatMap { way in Flow.all.map { Case(way: way, flow: $0) } }
    }

    /// A server that answers with a word, and obeys what is written to a file: `close`, `open PORT WORD`, `child PORT`
    /// (a child of its own that listens and answers "child"), `give` (another process, no child, gets the socket).
    private static let server = """
        import os, socket, sys, threading, time
        udp, six, orders = sys.argv[1] == 'udp', sys.argv[2] == '6', sys.argv[3]
        family = socket.AF_INET6 if six else socket.AF_INET
        def made(port, reuse=False):
            s = socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
            if not udp: s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(('::1' if six else '127.0.0.1', port))
            if not udp: s.listen(512)
            s.settimeout(0.02)
            return s
        def answer(s, word):
            try:
                if udp: data, client = s.recvfrom(64); s.sendto(word, client)
                else:
                    with s.accept()[0] as connection: connection.sendall(word)
            except TimeoutError: pass
        own, word, done = made(8080), b'first', 0
        print('ready', flush=True)
        while True:
            lines = open(orders).read().splitlines(True) if os.path.exists(orders) else []
            for line in lines[done:]:
                if not line.endswith('\\n'): break
                verb, *rest = line.split()
                if verb == 'close': own.close(); own = None
                if verb == 'open': own, word = made(int(rest[0])), rest[1].encode()
                if verb == 'child' and not os.fork():
                    theirs = made(int(rest[0]))
                    if own: own.close()
                    print('child listens', flush=True)
                    while True: answer(theirs, b'child')
                done += 1
                print('did', verb, flush=True)
            if own: answer(own, word)
            else: time.sleep(0.02)
        """

    /// Asks once: what the label's address answers, `refused`, or `timeout` after some seconds. UDP asks again and again.
    private static let client = """
        import socket, sys, time
        udp, host, end = sys.argv[1] == 'udp', sys.argv[2], time.monotonic() + float(sys.argv[3])
        family = socket.AF_INET6 if ':' in host else socket.AF_INET
        try:
            while True:
                with socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as s:
                    s.settimeout(0.3 if udp else float(sys.argv[3]))
                    try:
                        # Not connected by UDP: the answer comes from where the server is bound.
                        if udp: s.setsockopt(socket.IPPROTO_IPV6 if ':' in host else socket.IPPROTO_IP, 25 if ':' in host else 11, 1)
                        if udp: s.sendto(b'?', (host, 80)); print(s.recvfrom(64)[0].decode())
                        else: s.connect((host, 80)); print(s.recv(64).decode())
                        break
                    except TimeoutError:
                        if time.monotonic() > end: raise
        except ConnectionRefusedError: print('refused')
        except TimeoutError: print('timeout')
        """

    /// A followed server.
    private final class Followed: Sendable {
        let bed: Bed
        let flow: Flow
        let server: Background
        let orders, client: String
        private let others: [Background]

        init(_ bed: Bed, _ way: Way, _ flow: Flow) throws {
            self.bed = bed
            self.flow = flow
            orders = "\(bed.folder)/orders"
            client = try bed.write(FollowTests.client, to: "client.py")
            let program = try bed.write(FollowTests.server, to: "server.py")
            let six = flow.family == .ipv6 ? "6" : "4"
            let command = "\(Bed.python) \(program) \(flow.transport) \(six) \(orders)"
            let policy = try bed.write(
                """
                labels: { web: { allow: { users: 65534 } } }
                bindings: [{ label: web, protocols: tcp+udp, prefixes: [192.0.2.0/24, "2001:db8::/64"], ports: 80 }]

                """, to: "policy.yaml")
            try shell("chmod 777 \(bed.folder)")
            switch way {
            case .pid:
                try bed.steer("load")
                try bed.steer("apply \(policy)")
                server = try Background(command, in: bed)
                others = [
                    try Background(
                        bed.line("register web --pid \(server.pid) \(flow.transport) --follow --wait 20"), in: bed)
                ]
            case .run:
                let steerd = try Background(
                    "\(try Programs.path(of: "steerd")) --policy \(policy) --socket \(bed.folder)/socket --bpffs \(bed.bpffs.path)",
                    in: bed)
                try eventually("steerd serves") { try steerd.error.contains("serving") }
                server = try Background(
                    "\(SteerdBed.webUser) \(try Programs.path(of: "steerd-run")) web=\(flow.transport) --steerd \(bed.folder)/socket -- \(command)",
                    in: bed)
                others = [steerd]
            }
            try awaitStandby()
        }

        private func awaitStandby() throws {
            try eventually("it is followed") { try ask(seconds: 1) == "first" }
            // It is registered first, and its standby behind it in the follower's first turn.
            try eventually("it has a standby") {
                let entries =
                    "bpftool -j map dump pinned \(bed.bpffs.path)/steering/*/registrations | grep -o '\"value\":\\['"
                return try shell("\(entries) | wc -l") == "2\n"
            }
        }

        /// Has the server close its socket, and returns a client that asks meanwhile. A standby gives up after 10 seconds:
        /// starts over if the machine was too busy to ask within that time.
        func askWhileClosed() throws -> Background {
            while true {
                let begin = ContinuousClock.now
                try order("close")
                // Nobody keeps it from binding there again.
                try verify(
                    try shell("ss -Hltun | grep -c ':8080 ' || true"), is: "0\n", "what is left of the closed one")
                let waiting = try Background(line(seconds: 20), in: bed)
                usleep(300_000)
                if ContinuousClock.now - begin < .seconds(9) { return waiting }
                _ = try waiting.exitCode()
                try order("open 8080 first")
                try awaitStandby()
            }
        }

        var follower: Background? { others.first }

        func line(seconds: Int) -> String {
            "\(Bed.python) \(client) \(flow.transport) \(flow.host(9, port: 80).address) \(seconds)"
        }

        func ask(seconds: Int = 15) throws -> String { String(try shell(line(seconds: seconds)).dropLast()) }

        func order(_ text: String) throws {
            let verb = text.split(separator: " ")[0]
            let before = try server.output.components(separatedBy: "did \(verb)\n").count
            try shell("echo '\(text)' >>\(orders)")
            try eventually("it does \(text)") {
                try server.output.components(separatedBy: "did \(verb)\n").count > before
            }
        }

        /// Where the registered sockets are bound.
        func bound() throws -> [String] { try bed.json("sockets")["sockets"].array.map { $0["bound"].string! } }
    }

    private func withFollowed(_ one: Case, _ body: @escaping @Sendable (Followed) throws -> Void) async throws {
        try await withBed(loaded: false) { bed in try body(try Followed(bed, one.way, one.flow)) }
    }

    @Test(
        "Who asks while a server has closed its socket and opens another waits, and is answered", arguments: Case.all)
    func anotherPort(one: Case) async throws {
        try await withFollowed(one) { followed in
            let waiting = try followed.askWhileClosed()
            try verify(try waiting.output, is: "", "an answer while there is no server")
            try followed.order("open 8081 second")
            try verify(try waiting.exitCode(), is: 0)
            try verify(try waiting.output, is: "second\n")
            try verify(try followed.bound(), is: ["\(one.flow.family == .ipv4 ? "127.0.0.1" : "[::1]"):8081"])
            // At its place, too, and at once.
            try followed.order("close")
            try followed.order("open 8080 third")
            try verify(try followed.ask(), is: "third")
        }
    }

    @Test("What a child listens on does not take a server's place", arguments: Way.allCases)
    func children(way: Way) async throws {
        try await withFollowed(Case(way: way, flow: Flow(.tcp, .ipv4))) { followed in
            try followed.order("child 9000")
            try followed.order("close")
            try verify(try followed.ask(seconds: 2), is: "timeout", "who answers")
            try verify(try followed.bound(), is: [])
            // For a moment clients wait; then nobody is there.
            try eventually("it is refused") { try followed.ask(seconds: 1) == "refused" }
            try followed.order("open 8082 second")
            try eventually("it answers again") { try followed.ask(seconds: 2) == "second" }
        }
    }

    @Test(
        "Where the steering is unloaded and loaded again, what is followed is registered again",
        arguments: Way.allCases.flatMap { way in
            [Flow(.tcp, .ipv4), Flow(.udp, .ipv6)].map { Case(way: way, flow: $0) }
        })
    func loadedAgain(one: Case) async throws {
        try await withFollowed(one) { followed in
            // By pid it ends when it finds nothing loaded: here it looks only when all is done.
            if one.way == .pid { try followed.follower!.signal("STOP") }
            try followed.bed.steer("unload")
            try verify(try followed.ask(seconds: 1) != "first", "an answer while nothing is loaded")
            try followed.bed.steer("load")
            try followed.bed.steer("apply \(followed.bed.folder)/policy.yaml")
            if one.way == .pid { try followed.follower!.signal("CONT") }
            try eventually("it is registered again") { try followed.ask(seconds: 1) == "first" }
            let said = try (one.way == .pid ? followed.follower! : followed.server).error
            try verify(said.contains("unloaded and loaded again"), said)
            try followed.order("close")
            try followed.order("open 8081 second")
            try eventually("it is followed") { try followed.ask(seconds: 2) == "second" }
        }
    }

    @Test("register --follow ends with the program; the label is refused then")
    func ends() async throws {
        try await withFollowed(Case(way: .pid, flow: Flow(.tcp, .ipv6))) { followed in
            try followed.server.signal("KILL")
            try verify(try followed.follower!.exitCode(), is: 0)
            try verify(try followed.ask(), is: "refused")
        }
    }

    @Test("Where another takes the label, a follower gives way")
    func replaced() async throws {
        try await withFollowed(Case(way: .pid, flow: Flow(.tcp, .ipv4))) { followed in
            let other = try followed.bed.server("other", port: 7777)
            try followed.bed.steer("register web --pid \(other.pid) --replace")
            try followed.order("close")
            try followed.order("open 8081 second")
            try eventually("it says so") { try followed.follower!.error.contains("already has a socket") }
            try verify(try followed.ask(), is: "other\n")
        }
    }
}
