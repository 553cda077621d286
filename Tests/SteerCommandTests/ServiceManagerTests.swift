import Foundation
import KernelTestSupport
import Steering
import Testing

/// steerd under a service manager, played by a Python program: what it is told, what it stores and passes.
@Suite(.kernel)
struct ServiceManagerTests {
    /// Listens as systemd does, prints each message, and keeps stored descriptors. It starts steerd at SIGUSR1, with
    /// its listening socket and what is stored; from SIGUSR2 on it reads nothing, until the next one.
    private static let manager = """
        import os, resource, signal, socket, sys, time
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        steerd, folder, watchdog = sys.argv[1].split(), sys.argv[2], sys.argv[3]
        told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); told.bind(folder + '/notify')
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(folder + '/passed.sock'); os.chmod(folder + '/passed.sock', 0o666); listener.listen(64)
        stored = {}
        def start(*_):
            passed = [('steerd.socket', listener.fileno())] + sorted(stored.items())
            if os.fork(): return
            high = [os.dup2(d, 1000 + i) for i, (_, d) in enumerate(passed)]
            for i, d in enumerate(high): os.dup2(d, 3 + i)
            os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(passed)),
                LISTEN_FDNAMES=':'.join(name for name, _ in passed), NOTIFY_SOCKET=folder + '/notify')
            if watchdog != '0': os.environ.update(WATCHDOG_USEC=watchdog, WATCHDOG_PID=str(os.getpid()))
            open(folder + '/pid', 'w').write(str(os.getpid()) + '\\n')
            os.closerange(3 + len(passed), 2000)
            os.execv(steerd[0], steerd)
        paused = False
        def pause(*_):
            global paused
            paused = not paused
            print('paused' if paused else 'resumed', flush=True)
        signal.signal(signal.SIGUSR1, start)
        signal.signal(signal.SIGUSR2, pause)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        start()
        while True:
            while paused: time.sleep(0.02)
            text, descriptors, *_ = socket.recv_fds(told, 4096, 253)
            lines = dict(line.split('=', 1) for line in text.decode().split('\\n'))
            if 'FDSTORE' in lines: stored[lines['FDNAME']] = descriptors[0]
            if 'FDSTOREREMOVE' in lines and lines['FDNAME'] in stored: os.close(stored.pop(lines['FDNAME']))
            print(text.decode().replace('\\n', ' '), len(descriptors), flush=True)

        """

    private final class Manager: Sendable {
        let steerd: SteerdBed
        let process: Background
        let client: SteeringClient
        var path: String { "\(steerd.bed.folder)/passed.sock" }

        init(_ steerd: SteerdBed, watchdog: String = "0") throws {
            self.steerd = steerd
            let path = try steerd.bed.write(ServiceManagerTests.manager, to: "manager.py")
            process = try Background(
                "\(Bed.python) \(path) \"\(try steerd.line())\" \(steerd.bed.folder) \(watchdog)", in: steerd.bed)
            client = SteeringClient("\(steerd.bed.folder)/passed.sock")
            try heard("READY=1 ")
        }

        deinit { _ = try? shell("kill -9 $(cat \(steerd.bed.folder)/pid) 2>/dev/null || true") }

        func heard(_ line: String, times: Int = 1) throws {
            try eventually("'\(line)', \(times) times") {
                try process.output.split(separator: "\n").filter { $0.hasPrefix(line) }.count >= times
            }
        }

        /// What it has stored for a label.
        func stored(_ label: Label) throws -> Set<String> {
            var names: Set<String> = []
            for line in try process.output.split(separator: "\n") {
                guard let name = line.split(separator: " ").first(where: { $0.hasPrefix("FDNAME=\(label)@") }) else {
                    continue
                }
                let cookie = String(name.split(separator: "@")[1])
                if line.hasPrefix("FDSTORE=1") { names.insert(cookie) } else { names.remove(cookie) }
            }
            return names
        }

        /// Sends steerd a signal; waits until it has ended, where it ends by that.
        func signal(_ name: String) throws {
            try shell("kill -\(name) $(cat \(steerd.bed.folder)/pid)")
            guard name != "HUP" else { return }
            try eventually("it ends") {
                try shell("kill -0 $(cat \(steerd.bed.folder)/pid) 2>&1 || true").contains("No such")
            }
        }
    }

    @Test("A steerd that comes after another knows what that one has started, and starts it no second time")
    func startedBefore() async throws {
        try await withSteerdBed { steerd in
            let program = try steerd.bed.write(
                "import os, socket\nlistener = socket.socket(fileno=3)\nwhile True:\n"
                    + "    connection, _ = listener.accept(); connection.sendall(b'%d' % os.getpid()); connection.close()\n",
                to: "service.py")
            let start = "start: { command: [\(Bed.python), \(program)], user: nobody }"
            _ = try steerd.bed.write(SteerdBed.policy.replacing("web: {", with: "web: { \(start),"), to: "policy.yaml")
            let manager = try Manager(steerd)
            func ask() throws -> String { try steerd.bed.ask("192.0.2.9", port: 80) }
            // Whoever registers it ends, and nobody serves.
            _ = try steerd.ask([("steering/1 register web", "tcp()")], as: SteerdBed.webUser, at: manager.path)
            let first = try ask()
            defer { _ = try? shell("kill \(first)") }
            try manager.heard("FDSTORE=1 FDPOLL=0 FDNAME=web@process-\(first) 1")
            for signal in ["TERM", "KILL"] {
                try manager.signal(signal)
                try verify(try ask(), is: first, "who serves without steerd")
                try manager.process.signal("USR1")
                try verify(try manager.client.claim("web").count, is: 1)
                // Claimed by this process, too, which does not accept; a steerd that took nobody to serve would start one.
                for _ in 0..<50 { try verify(try ask(), is: first, "who serves after \(signal)") }
            }
            try verify(try manager.client.metrics().contains("steerd_starts_total{"), is: false, "started again")
        }
    }

    @Test(
        "Held sockets are stored, and those of services that are gone come back after a restart",
        arguments: ["TERM", "KILL"])
    func store(signal: String) async throws {
        try await withSteerdBed { steerd in
            let manager = try Manager(steerd)
            let inside = try SocketAddress("192.0.2.9:80")
            var cookie: SocketCookie?
            do {
                let own = try OwnedDescriptor.listener(on: SocketAddress("127.0.0.1:0"))
                cookie = try manager.client.register([own.rawValue], as: "web")[0].cookie
                try manager.heard("FDSTORE=1 FDPOLL=0 FDNAME=web@\(cookie!) 1")
            }
            try manager.signal(signal)
            // Nobody is there but the service manager: its copy keeps the listener, and the map leads to it.
            guard let waiting = try Traffic.connect(.tcp, to: inside) else { throw Unmet(description: "refused") }
            try Traffic.send([7], on: waiting.rawValue)
            // steerd's socket is the manager's, too: who asks now waits, and is answered when it is back.
            try manager.process.signal("USR1")
            let port: UInt16
            do {
                let claimed = try manager.client.claim("web")
                port = claimed[0].held.boundAddress.port
                try verify(claimed.map(\.held.cookie), is: [cookie])
                try verify(claimed[0].held.isRegistered, "not registered after the restart")
                guard let connection = Traffic.accept(on: claimed[0].rawValue),
                    case .answered([7], _) = Traffic.receive(on: connection)
                else { throw Unmet(description: "what waited is lost") }
            }
            try manager.client.unregister("web")
            try manager.heard("FDSTOREREMOVE=1 FDNAME=web@\(cookie!) 0")
            try eventually("it is closed") {
                try !shell("ss -Hltn").contains(":\(port) ")
            }
            try manager.heard("READY=1 ", times: 2)
            if signal == "TERM" { try manager.heard("STOPPING=1 0") }
            try verify(try Traffic.connect(.tcp, to: inside) == nil, "not refused when unregistered")
        }
    }

    @Test("A policy file that is wrong loses nothing that is stored: it serves by the policy in force, and says so")
    func wrongFile() async throws {
        try await withSteerdBed { steerd in
            let manager = try Manager(steerd)
            _ = try steerd.ask([("steering/1 register web", "tcp()")], as: SteerdBed.webUser, at: manager.path)
            let wrong = "bindings:\n  - { label: web, protocol: tcp }\n"
            _ = try steerd.bed.write(wrong, to: "policy.yaml")
            for signal in ["TERM", "KILL"] {
                try manager.signal(signal)
                try manager.process.signal("USR1")
                try verify(try manager.client.claim("web").count, is: 1, "held after \(signal)")
                // Who may use a label still may, and nobody else.
                let answers = try [SteerdBed.webUser, SteerdBed.stranger].map {
                    try steerd.ask([("steering/1 claim web", "")], as: $0, at: manager.path)[0]
                }
                try verify(answers[0].hasPrefix("ok") && answers[1].hasPrefix("error notAllowed"), "\(answers)")
            }
            try manager.heard("READY=1 STATUS=serving by the policy in force; \(steerd.policy) is invalid: ", times: 2)
            do {
                try manager.client.reload()
                throw Unmet(description: "what is wrong was reloaded")
            } catch let error as SteeringError { try verify(error.code, is: .invalidPolicyFile) }
            _ = try steerd.bed.write(SteerdBed.policy.replacing("dns: {", with: "web2: {"), to: "policy.yaml")
            try steerd.bed.steer("apply \(steerd.policy) --steerd \(manager.path)")
            try manager.heard("STATUS=serving by \(steerd.policy), ")
            let refused = try steerd.ask([("steering/1 list dns", "")], as: SteerdBed.dnsUser, at: manager.path)[0]
            try verify(refused.hasPrefix("error notAllowed"), refused)
            let stranger = try steerd.ask([("steering/1 reload", "")], as: SteerdBed.webUser, at: manager.path)[0]
            try verify(stranger.hasPrefix("error notAllowed"), stranger)
        }
    }

    @Test("What a manager that is slow has no room for is sent later, and what is wanted no longer is not sent")
    func slowManager() async throws {
        try await withSteerdBed { steerd in
            let manager = try Manager(steerd)
            try manager.process.signal("USR2")
            try manager.heard("paused")
            // A queue has room for 10 messages in a fresh namespace.
            let group = """
                *[(lambda s: (s.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1), s.bind(('127.0.0.1', HERE)), s)[2])\
                (socket(type=SOCK_DGRAM)) for i in range(100)]
                """
            let rounds = (0..<4).map { round in
                ("steering/1 register dns replacing", group.replacing("HERE", with: "\(6000 + round % 2)"))
            }
            let answers = try steerd.ask(rounds, as: SteerdBed.dnsUser, at: manager.path)
            try verify(answers.allSatisfy { $0.hasPrefix("ok") }, "\(answers)")
            _ = try steerd.ask([("steering/1 register web", "tcp()")], as: SteerdBed.webUser, at: manager.path)
            try manager.signal("HUP")
            try manager.process.signal("USR2")
            for label: Label in ["web", "dns"] {
                let held = Set(try manager.client.sockets(of: label).map { "\($0.cookie)" })
                try verify(held.count, is: label == "dns" ? 100 : 1)
                try eventually("\(label) is stored") { try manager.stored(label) == held }
            }
            try manager.heard("RELOADING=1 MONOTONIC_USEC=")
            try manager.heard("READY=1 ", times: 2)
            let stores = try manager.process.output.components(separatedBy: "FDSTORE=1 FDPOLL=0 FDNAME=dns@").count - 1
            try verify(stores < 200, "\(stores) stored for 100")
            try manager.signal("KILL")
            try manager.process.signal("USR1")
            try verify(try manager.client.claim("dns").count, is: 100)
        }
    }

    @Test("Of too many stored sockets of a label as many are held as one message carries; the rest is forgotten")
    func tooManyStored() async throws {
        try await withSteerdBed { steerd in
            let manager = try Manager(steerd)
            try manager.signal("TERM")
            let client = try steerd.bed.python(
                """
                from socket import *
                told = socket(AF_UNIX, SOCK_DGRAM); told.connect('\(steerd.bed.folder)/notify')
                for i in range(260):
                    s = socket(type=SOCK_DGRAM); s.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1); s.bind(('127.0.0.1', 6000))
                    send_fds(told, [b'FDSTORE=1\\nFDNAME=dns@%x' % (0xf0000 + i)], [s.fileno()]); s.close()
                print('all', flush=True)
                """)
            try eventually("they are stored") { try client.output == "all\n" && manager.stored("dns").count == 260 }
            try manager.process.signal("USR1")
            try verify(try manager.client.claim("dns").count, is: 253)
            try eventually("the rest is forgotten") { try manager.stored("dns").count == 253 }
        }
    }

    @Test("It says when it reloads, and that it lives")
    func notifications() async throws {
        try await withSteerdBed { steerd in
            let manager = try Manager(steerd, watchdog: "200000")
            try manager.heard("WATCHDOG=1 0", times: 3)
            try manager.signal("HUP")
            try manager.heard("RELOADING=1 MONOTONIC_USEC=")
            try manager.heard("READY=1 ", times: 2)
        }
    }

    @Test("A socket of another kind to listen at is refused")
    func wrongSocket() async throws {
        try await withSteerdBed { steerd in
            let run = try steerd.bed.sh(
                "timeout $PATIENCE systemd-socket-activate -l \(steerd.bed.folder)/stream.sock \(try steerd.line()) & "
                    + "sleep 1; socat -u OPEN:/dev/null UNIX-CONNECT:\(steerd.bed.folder)/stream.sock; wait $!")
            try verify(run.exitCode == 1 && run.error.contains("ListenSequentialPacket="), "\(run)")
        }
    }

    @Test("What steerd.service does works with the capabilities that it leaves, and where few files may be open")
    func unit() async throws {
        try await withSteerdBed { steerd in
            let unit = try String(
                contentsOf: Guide.root.appending(path: "docs/systemd/steerd.service"), encoding: .utf8)
            let line = unit.split(separator: "\n").first { $0.hasPrefix("CapabilityBoundingSet=") }!
            let names = line.split(separator: "=")[1].split(separator: " ").map { "+" + $0.dropFirst(4).lowercased() }
            let process = try steerd.start(
                under:
                    "prlimit --nofile=1024:4096 setpriv --no-new-privs --bounding-set -all,\(names.joined(separator: ","))"
            )
            let listener = try OwnedDescriptor.listener(on: SocketAddress("127.0.0.1:0"))
            try steerd.client.register(listener, as: "web")
            let sets = try process.threads("status").split(separator: "\n").filter {
                $0.hasPrefix("Cap") && !$0.hasPrefix("CapBnd")
            }
            try verify(sets.count >= 8 && sets.allSatisfy { $0.hasSuffix("\t0000000000000000") }, "\(sets)")
        }
    }
}
