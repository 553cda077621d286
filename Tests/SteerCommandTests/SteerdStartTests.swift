import Foundation
import KernelTestSupport
import Steering
import Testing

/// steerd starts services when something waits, and nobody serves.
@Suite(.kernel)
struct SteerdStartTests {
    /// A service that takes the sockets it was started with, writes down who it is, answers until it is told not to.
    private static let service = """
        import os, socket, sys
        assert os.environ['LISTEN_PID'] == str(os.getpid()) and os.environ['LISTEN_FDNAMES'] == 'web'
        assert set(os.environ) <= {'LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL',
            'LANG', 'LANGUAGE', 'LC_ALL', 'LC_CTYPE', 'TZ'}, os.environ
        assert os.environ['USER'] == os.environ['LOGNAME'] and os.environ['HOME'].startswith('/')
        assert os.getcwd() == '/' and os.umask(0o22) == 0o22
        descriptors = sorted(os.listdir('/proc/self/fd'), key=int)[:-1]
        status = {l.split(':')[0]: l.split() for l in open('/proc/self/status')}
        open(sys.argv[1], 'a').write('%d %d %d %s %s %s\\n' % (os.getpid(), os.getuid(), os.getgid(),
            status['CapPrm'][1], status['NoNewPrivs'][1], ','.join(descriptors)))
        listener = socket.socket(fileno=3)
        while True:
            connection, _ = listener.accept()
            try:
                connection.sendall(b'%d\\n' % os.getpid())
                if connection.recv(9) == b'end': sys.exit(3)
            except OSError: pass  # A client that did not wait.
            connection.close()

        """

    private struct Started: Equatable {
        let pid, user, group, capabilities, noNewPrivileges, descriptors: String
    }

    /// steerd with something to start as `web`; `log` is what the service writes.
    private func withStart(
        _ command: @escaping @Sendable (_ python: String, _ log: String) -> String,
        _ body: @escaping @Sendable (SteerdBed, Background, _ log: String) throws -> Void
    ) async throws {
        try await withSteerdBed { steerd in
            let program = try steerd.bed.write(Self.service, to: "service.py")
            let log = "\(steerd.bed.folder)/started"
            try shell("touch \(log); chmod 666 \(log)")
            let policy = SteerdBed.policy.replacing(
                "web: {", with: "web: { start: \(command("\(Bed.python) \(program)", log)),")
            _ = try steerd.bed.write(policy, to: "policy.yaml")
            try body(steerd, try steerd.start(), log)
        }
    }

    private static func started(_ log: String) throws -> [Started] {
        try shell("cat \(log)").split(separator: "\n").map { line in
            let words = line.split(separator: " ").map(String.init)
            try verify(words.count, is: 6, "words in \(line)")
            return Started(
                pid: words[0], user: words[1], group: words[2], capabilities: words[3], noNewPrivileges: words[4],
                descriptors: words[5])
        }
    }

    /// A client: connects, says a word, and is told the server's number.
    private static func ask(_ word: String = "hi") throws -> String {
        try shell("printf \(word) | timeout $PATIENCE socat -t $PATIENCE - TCP4:192.0.2.9:80").trimmingCharacters(
            in: .newlines)
    }

    /// A process of the user registers a socket, and ends: nobody serves.
    private static func leave(_ steerd: SteerdBed) throws {
        let answers = try steerd.ask([("steering/1 register web replacing", "tcp()")], as: SteerdBed.webUser)
        try verify(answers[0].hasPrefix("ok"), answers[0])
    }

    private static func starts(_ steerd: SteerdBed) throws -> Int {
        let line = try steerd.client.metrics().split(separator: "\n").first {
            $0.hasPrefix("steerd_starts_total{label=\"web\"} ")
        }
        return line.map { Int($0.split(separator: " ")[1])! } ?? 0
    }

    @Test(
        "It is started when a connection waits, once, as its user, with the socket and nothing else; again when it ended"
    )
    func starts() async throws {
        try await withStart({ "{ command: \($0) \($1), user: nobody }" }) { steerd, process, log in
            try Self.leave(steerd)
            try verify(try Self.started(log), is: [], "started while nothing waits")
            // Several at once are one start.
            var waiting: [SharedDescriptor] = []
            for _ in 0..<20 {
                guard let one = try Traffic.connect(.tcp, to: SocketAddress("192.0.2.9:80")) else { break }
                waiting.append(SharedDescriptor(one))
            }
            try verify(waiting.count, is: 20, "connections that were not refused")
            try eventually("it is started") { try !Self.started(log).isEmpty }
            waiting = []
            let first = try Self.ask()
            let started = try Self.started(log)
            try verify(
                started,
                is: [
                    Started(
                        pid: first, user: "65534", group: "65534", capabilities: "0000000000000000",
                        noNewPrivileges: "1", descriptors: "0,1,2,3")
                ])
            try verify(try Self.ask(), is: first, "who serves")
            try verify(try Self.ask("end"), is: first, "who serves at last")
            try eventually("its end is logged") { try process.error.contains("how=exit code 3") }
            let second = try Self.ask()
            try verify(second != first, "the first serves on")
            try verify(try Self.started(log).map(\.pid), is: [first, second])
            try verify(try Self.starts(steerd), is: 2)
            try process.signal("TERM")
            try verify(try process.exitCode(), is: 0)
            try verify(try Self.ask("end"), is: second, "who serves without steerd")
        }
    }

    @Test(
        "A policy file that others could change starts nothing",
        arguments: [
            "chmod 666 FILE", "chmod 664 FILE", "chown 65534 FILE", "chmod 777 FOLDER", "chown 65534 FOLDER",
            "mkdir -m 777 FOLDER/in; mv FILE FOLDER/in/p; ln -s in/p FILE",
            "mv FILE FOLDER/part.yaml; chmod 666 FOLDER/part.yaml; echo include: part.yaml >FILE",
        ])
    func untrusted(harm: String) async throws {
        try await withSteerdBed { steerd in
            let start = "web: { start: { command: /bin/true, user: nobody },"
            let file = try steerd.bed.write(SteerdBed.policy.replacing("web: {", with: start), to: "policy.yaml")
            try shell(harm.replacing("FILE", with: file).replacing("FOLDER", with: steerd.bed.folder))
            let run = try steerd.bed.sh("timeout 20 \(try steerd.line())")
            try verify(run.exitCode == 1 && run.error.contains("others could change it ("), "\(run)")
            // Without anything to start it is the administrator's own business.
            _ = try steerd.bed.write(SteerdBed.policy, to: "policy.yaml")
            _ = try steerd.start()
        }
    }

    @Test("Who registered or claimed and lives serves: nothing is started beside it")
    func served() async throws {
        try await withStart({ "{ command: \($0) \($1), user: nobody }" }) { steerd, process, log in
            let listener = try OwnedDescriptor.listener(on: SocketAddress("127.0.0.1:0"))
            try steerd.client.register(listener, as: "web")
            guard let waiting = try Traffic.connect(.tcp, to: SocketAddress("192.0.2.9:80")) else {
                throw Unmet(description: "refused")
            }
            let claimer = try steerd.bed.python(
                SteerdBed.helpers.replacing("PATH", with: steerd.socket)
                    + "ask('steering/1 claim web', []); d = None\ntime.sleep(60)\n")
            try eventually("it is claimed") { try claimer.output.hasPrefix("ok") }
            // The claimer's doing would be to accept; that this process still has the socket changes nothing then.
            try Self.leave(steerd)
            try verify(try Traffic.connect(.tcp, to: SocketAddress("192.0.2.9:80")) != nil, "refused")
            withExtendedLifetime(waiting) {}
            try verify(try Self.started(log), is: [])
            try verify(try Self.starts(steerd), is: 0)
            let log = try process.error
            try verify(!log.contains("started"), log)
        }
    }

    @Test("What fails is started again after a second, then two, then four; others are served meanwhile")
    func pauses() async throws {
        try await withStart({ _, _ in "/bin/false" }) { steerd, process, _ in
            try Self.leave(steerd)
            let begin = ContinuousClock.now
            guard let waiting = try Traffic.connect(.tcp, to: SocketAddress("192.0.2.9:80")) else {
                throw Unmet(description: "refused")
            }
            try eventually("three starts") { try Self.starts(steerd) >= 3 }
            try verify(.now - begin >= .seconds(3), "three starts within \(ContinuousClock.now - begin)")
            withExtendedLifetime(waiting) {}
            try eventually("its end is logged") { try process.error.contains("how=exit code 1") }
            let dns = try steerd.ask([("steering/1 register dns", "udp()")], as: SteerdBed.dnsUser)
            try verify(dns[0].hasPrefix("ok"), dns[0])
        }
    }

    @Test("A program that cannot be run is named; a user whom the machine does not have is refused at the start")
    func errors() async throws {
        try await withStart({ _, _ in "/nowhere/web" }) { steerd, process, _ in
            try Self.leave(steerd)
            let waiting = try Traffic.connect(.tcp, to: SocketAddress("192.0.2.9:80"))
            try eventually("it is said") {
                try process.error.contains(
                    "steerd: cannot run /nowhere/web (No such file or directory): give a program that user 0 may run")
            }
            withExtendedLifetime(waiting) {}
            try process.signal("TERM")
            try verify(try process.exitCode(), is: 0)
            let policy = SteerdBed.policy.replacing(
                "web: {", with: "web: { start: { command: /bin/true, user: 3999999999 },")
            _ = try steerd.bed.write(policy, to: "policy.yaml")
            let refused = try steerd.bed.sh(try steerd.line())
            try verify(
                refused.exitCode == 1 && refused.error.contains("user 3999999999, which does not exist"),
                "\(refused)")
        }
    }

    @Test(
        "What starts has two capabilities, what makes attendants none, neither a descriptor of steerd's; without a start there is no such process"
    )
    func privileges() async throws {
        @Sendable func children(of process: Background) throws -> [Substring] {
            try process.threads("children").split(separator: " ")
        }
        try await withStart({ "{ command: \($0) \($1), user: nobody }" }) { steerd, process, _ in
            let children = try children(of: process)
            try verify(children.count, is: 2, "processes")
            let status = try shell(
                "grep -h '^Cap' "
                    + ([Substring("\(process.pid)")] + children).map { "/proc/\($0)/status" }.joined(separator: " "))
            let capabilities = status.split(separator: "\n").filter { !$0.hasPrefix("CapBnd") }.map {
                UInt64($0.split(separator: "\t")[1], radix: 16)!
            }
            // Inheritable, permitted, effective, ambient: CAP_SETGID and CAP_SETUID.
            try verify(capabilities, is: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0xc0, 0])
            for child in children {
                let open = try shell("ls -l /proc/\(child)/fd | grep -c 'socket:' || true")
                try verify(open, is: "1\n", "sockets of process \(child)")
            }
        }
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            try verify(try children(of: process).count, is: 1, "processes")
        }
    }
}
