import Foundation
import KernelTestSupport
import Steering
import Testing

/// Clients who send steerd what nobody should close: others are served all the same, and it ends when it is told to.
@Suite(.kernel)
struct SteerdHostileTests {
    /// A Python program of a user, with the harness's descriptors, and `send(text, numbers)`, which waits for no answer.
    private func run(_ program: String, as user: String, _ steerd: SteerdBed) throws -> Background {
        let harness = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "harness").path
        try shell("cp \(harness)/descriptors.py \(steerd.bed.folder)/; chmod 0644 \(steerd.bed.folder)/descriptors.py")
        let path = try steerd.bed.write(
            """
            import os, sys, threading, time
            sys.dont_write_bytecode = True
            sys.path.insert(0, '\(steerd.bed.folder)')
            import descriptors as kinds
            import socket
            def connected():
                client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); client.connect('\(steerd.socket)')
                return client
            def send(text, numbers, waits=False):
                client = connected()
                try:
                    socket.send_fds(client, [text.encode()], numbers)
                    # Where steerd was quicker this is the last one, which lingers here.
                    for number in numbers: threading.Thread(target=os.close, args=(number,), daemon=True).start()
                    if waits: return client.recv(1 << 18)
                except OSError as error: return str(error).encode()
                finally: client.close()
            \(program)
            print('done', flush=True)
            time.sleep(600)
            """, to: "hostile-\(UInt64.random(in: 0...UInt64.max)).py")
        let running = try Background("\(user) \(Bed.python) \(path)", in: steerd.bed)
        try eventually("\(program) has done it") {
            let error = try running.error
            if !error.isEmpty { throw Unmet(description: error) }
            return try running.output.contains("done")
        }
        return running
    }

    /// Somebody else is answered, and registers, and is reached.
    private func serves(_ steerd: SteerdBed) throws {
        let answers = try steerd.ask(
            [("steering/1 register dns replacing", "udp()"), ("steering/1 list dns", "")], as: SteerdBed.dnsUser)
        try verify(answers.allSatisfy { $0.hasPrefix("ok\nudp ") }, "\(answers)")
        try verify(try steerd.client.status().count, is: 2, "what root is told")
    }

    private static let ways = [
        "steering/1 register web", "steering/1 register web replacing", "steering/1 unregister web", "web#",
    ]

    @Test(
        "A connection that lingers for an hour when it is closed holds up nobody, whatever it is sent with",
        arguments: [SteerdBed.webUser, SteerdBed.stranger])
    func lingering(user: String) async throws {
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            let lines = Self.ways.map { "send('\($0)', kinds.tcp('with unsent data', 3600)())" }
            let hostile = try run(lines.joined(separator: "\n"), as: user, steerd)
            try serves(steerd)
            // Its own user is served again, too, when what was stuck is replaced: with its connections.
            try eventually("the user is served again") {
                let answer = try? steerd.ask([("steering/1 status", "")], as: SteerdBed.webUser)
                return answer?[0].hasPrefix("ok") == true
            }
            try process.signal("TERM")
            try verify(try process.exitCode(), is: 0)
            withExtendedLifetime(hostile) {}
        }
    }

    @Test("A socket that is held and then made to linger is let go of without waiting for it")
    func turned() async throws {
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            let hostile = try run(
                """
                def register(numbers):
                    answer = send('steering/1 register web replacing', [os.dup(n) for n in numbers], True)
                    assert answer.startswith(b'ok'), answer
                for text in 'steering/1 unregister web', 'steering/1 list web', 'steering/1 claim web':
                    kinds.turned_after(register)
                    send(text, [], True)
                kinds.turned_after(register)
                """, as: SteerdBed.webUser, steerd)
            try serves(steerd)
            let listener = try OwnedDescriptor.listener(on: SocketAddress("127.0.0.1:0"))
            try steerd.client.register(listener, as: "web", replacing: true)
            try serves(steerd)
            try process.signal("TERM")
            try verify(try process.exitCode(), is: 0)
            withExtendedLifetime(hostile) {}
        }
    }

    @Test("Files that cannot be closed hold up nobody, and steerd ends with some of them sent and received")
    func silentFiles() async throws {
        try await withSteerdBed { steerd in
            let folder = "\(steerd.bed.folder)/silent"
            let files = try run(
                """
                import threading
                files = kinds.SilentFileSystem('\(folder)')
                threading.Thread(target=files.serve, daemon=True).start()
                """, as: "", steerd)
            defer {
                files.end()
                _ = try? shell("umount -l \(folder)")
            }
            let process = try steerd.start()
            // The own descriptors stay open: to close them would take for ever, too.
            let hostile = try run(
                """
                for way in \(Self.ways.map { "'\($0)'" }.joined(separator: ", ")):
                    for turn in range(2):
                        client, number = connected(), os.open('\(folder)/file', os.O_RDWR)
                        socket.send_fds(client, [way.encode()], [number])
                """, as: SteerdBed.webUser, steerd)
            try serves(steerd)
            try serves(steerd)
            try process.signal("TERM")
            try verify(try process.exitCode(), is: 0)
            // Nothing that is stuck has the socket that it listens at.
            let second = try steerd.start()
            try serves(steerd)
            withExtendedLifetime((hostile, second)) {}
        }
    }

    @Test("Descriptors that a client does not receive leave room for those that steerd's processes send each other")
    func unread() async throws {
        try await withSteerdBed { steerd in
            let process = try steerd.start(under: "prlimit --nofile=2400:2400")
            let hostile = try run(
                """
                made = [socket.socket(type=socket.SOCK_DGRAM) for turn in range(250)]
                for one in made:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1); one.bind(('127.0.0.1', 5353))
                answer = send('steering/1 register web', [os.dup(one.fileno()) for one in made], True)
                assert answer.startswith(b'ok'), answer
                unread = []
                for turn in range(12):
                    unread.append(connected()); unread[-1].send(b'steering/1 claim web'); time.sleep(0.05)
                answer = unread[-1].recv(1 << 18)
                assert answer.startswith(b'error busy too many descriptors'), answer
                """, as: SteerdBed.webUser, steerd)
            // It takes a process that does not exist yet.
            let answers = try steerd.ask([("steering/1 status", "")], as: SteerdBed.stranger)
            try verify(answers[0].hasPrefix("error notAllowed"), "\(answers)")
            try serves(steerd)
            try process.signal("TERM")
            try verify(try process.exitCode(), is: 0)
            withExtendedLifetime(hostile) {}
        }
    }

    /// Runs lines of Python in processes of many users, who are members of the group that may use dns.
    private func members(_ count: Int, _ lines: String, _ steerd: SteerdBed) throws -> Background {
        try run(
            """
            parent, (reading, writing) = os.getpid(), os.pipe()
            def member(number):
            \(lines.split(separator: "\n").map { "    \($0)" }.joined(separator: "\n"))
            for number in range(\(count)):
                if os.fork() == 0:
                    os.setgroups([65533]); os.setresgid(*[70000 + number] * 3); os.setresuid(*[70000 + number] * 3)
                    kept = member(number)
                    os.write(writing, b'x')
                    while os.getppid() == parent: time.sleep(0.1)
                    os._exit(0)
            for number in range(\(count)): os.read(reading, 1)
            """, as: "", steerd)
    }

    @Test("Members of a group who block their attendants hold up nobody whom the policy file names")
    func members() async throws {
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            let hostile = try members(
                40, "send('steering/1 unregister dns', kinds.tcp('with unsent data', 3600)())", steerd)
            let answers = try steerd.ask([("steering/1 register web", "tcp()")], as: SteerdBed.webUser)
            try verify(answers[0].hasPrefix("ok\n"), "\(answers)")
            try process.signal("TERM")
            try verify(try process.exitCode(), is: 0)
            withExtendedLifetime(hostile) {}
        }
    }

    @Test("Clients whose processes are tracked are refused before descriptors run out for anything else")
    func tracked() async throws {
        try await withSteerdBed { steerd in
            let start = "start: { command: /bin/true, user: nobody }"
            try shell("sed -i 's|users: 65534 }|users: 65534 }, \(start)|' \(steerd.policy)")
            let process = try steerd.start(under: "prlimit --nofile=1700:1700")
            let hostile = try members(
                16,
                """
                kept = [connected() for turn in range(30)]
                for each in kept:
                    try: each.send(b'steering/1 status')
                    except BrokenPipeError: pass  # Refused already.
                    answer = each.recv(1 << 18)
                    assert answer.startswith((b'ok', b'error busy steerd has')), answer
                return kept
                """, steerd)
            let descriptors = try steerd.descriptors(of: process)
            try verify(descriptors < 480, "\(descriptors) descriptors")
            let answers = try steerd.ask([("steering/1 register web", "tcp()")], as: SteerdBed.webUser)
            try verify(answers[0].hasPrefix("ok\n"), "\(answers)")
            withExtendedLifetime(hostile) {}
        }
    }

    @Test("Without a descriptor left clients wait, one line says so, and they are served when there is one")
    func noDescriptors() async throws {
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            try shell("prlimit --pid \(process.pid) --nofile=3:")
            let client = try steerd.bed.python(
                SteerdBed.helpers.replacing("PATH", with: steerd.socket) + "ask('steering/1 status', [])")
            try eventually("it says so") { try process.error.contains("cannot accept") }
            // It tries again, without another word: as long as it takes for two more attempts.
            usleep(2_500_000)
            try verify(try process.error.components(separatedBy: "cannot accept").count, is: 2, "lines")
            try verify(try client.output, is: "")
            try shell("prlimit --pid \(process.pid) --nofile=4096:")
            try eventually("the client is served") { try client.output.hasPrefix("ok") }
        }
    }
}
