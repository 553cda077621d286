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

    /// Mounts a file system that never answers, for as long as the closure runs or the returned process.
    private func withSilentFiles(
        _ steerd: SteerdBed, _ body: (_ folder: String, _ server: Background) throws -> Void
    ) throws {
        let folder = "\(steerd.bed.folder)/silent"
        let server = try run(
            """
            files = kinds.SilentFileSystem('\(folder)')
            threading.Thread(target=files.serve, daemon=True).start()
            """, as: "", steerd)
        defer {
            server.end()
            _ = try? shell("umount -l \(folder)")
        }
        try body(folder, server)
    }

    @Test("A socket whose lock somebody holds for ever holds up nobody", arguments: ["udp", "tcp"])
    func locked(protocol name: String) async throws {
        try await withSteerdBed { steerd in
            try withSilentFiles(steerd) { folder, server in
                let process = try steerd.start()
                // Six of them, which is more than the processes that may be lost to one user.
                let hostile = try run(
                    """
                    made = []
                    for turn in range(6):
                        one = kinds.registrable('\(name)')
                        made.append(one)
                        answer = send('steering/1 register web replacing', [os.dup(one.fileno())], True)
                        assert answer.startswith(b'ok'), answer
                        kinds.hold_lock(one, '\(folder)/file')
                        assert send('steering/1 list web', [], True).startswith(b'ok')
                    """, as: SteerdBed.webUser, steerd)
                try serves(steerd)
                // All that is held is put into a map again, which takes the locks.
                try steerd.bed.steer("unload")
                try steerd.bed.steer("apply --load \(steerd.policy)")
                try eventually("it registers what is held") { try process.error.contains("not registered") }
                try serves(steerd)
                try verify(try steerd.client.sockets(of: "web").map(\.isRegistered), is: [false], "the locked one")
                // Another socket of the same label takes its place.
                let answers = try steerd.ask(
                    [("steering/1 register web replacing", "\(name)()")], as: SteerdBed.webUser)
                try verify(answers[0].hasPrefix("ok\n"), "\(answers)")
                let present = try steerd.client.sockets(of: "web").map(\.cookie)
                // Once the locks are released, what waited for them has not displaced it.
                server.end()
                try eventually("no process waits for a lock") {
                    try shell("ps -eo stat,comm | grep -c '^D.*steerd' || true").hasPrefix("0")
                }
                try eventually("it is still registered") {
                    let held = try steerd.client.sockets(of: "web")
                    return held.map(\.cookie) == present && held.allSatisfy(\.isRegistered)
                }
                try process.signal("TERM")
                try verify(try process.exitCode(), is: 0)
                withExtendedLifetime(hostile) {}
            }
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
