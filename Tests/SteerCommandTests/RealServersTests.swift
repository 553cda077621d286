import Glibc
import KernelTestSupport
import Steering
import Testing

/// The walk of tubular's README, with servers that know nothing of steering.
@Suite(.kernel, .serialized)
struct RealServersTests {
    static let prefixes = ["192.0.2.0/24", "2001:db8:7::/64"]

    /// With `reuseport` each worker has a socket of its own, and the master holds them all. Without, they share.
    ///
    /// A reload keeps the sockets. One that adds workers adds sockets to the group: the kernel chooses among the
    /// whole group, so that these get traffic though they were never registered. One that takes workers away
    /// closes sockets, which are unregistered by that.
    @Test(
        "nginx serves a whole /8 and more, through reloads",
        .enabled(if: installed("/usr/sbin/nginx"), "needs nginx: scripts/test installs it"), arguments: [false, true])
    func nginx(reuseport: Bool) async throws {
        try await withNetworkNamespace(routing: Self.prefixes) {
            let walk = try Walk()
            defer { walk.end() }
            let workers = { count in try walk.write("nginx.conf", nginxConfiguration(walk.folder, count, reuseport)) }
            try workers(3)
            try walk.steer("load")
            for prefix in ["127.0.0.0/8"] + Self.prefixes { try walk.steer("bind web tcp \(prefix) 80") }
            let nginx = try walk.start("nginx", "/usr/sbin/nginx -e stderr -c \(walk.folder)/nginx.conf")
            try walk.waitUntil("curl -sf http://127.0.0.1:8080/")
            try verify(try walk.ask("127.9.9.9"), is: nil, "an answer before anything is registered")

            let addresses =
                (1...60).map { "127.\($0).\(255 - $0).\($0 * 4)" } + (1...20).map { "192.0.2.\($0 * 12)" }
                + (1...20).map { "[2001:db8:7::\($0):1]" }
            /// The processes that answered.
            func verifyServed(_ when: String) throws -> Set<String> {
                var processes: Set<String> = []
                for address in addresses {
                    let words = try walk.ask(address)?.split(separator: " ").map(String.init) ?? []
                    try verify(words.first, is: "steered", "what \(address) answers \(when)")
                    processes.insert(words[1])
                }
                return processes
            }
            let addressesOfListeners = ["127.0.0.1:8080", "[::1]:8080"]
            for address in addressesOfListeners { try walk.steer("register web --pid \(nginx) tcp \(address)") }
            let registered = try walk.cookies()
            try verify(registered.count, is: reuseport ? 6 : 2, "the number of registered sockets")
            let first = try verifyServed("once it is registered")

            // Asked without a pause while the workers change.
            try shell("kill -HUP \(nginx)")
            _ = try verifyServed("during a reload")
            try walk.waitUntil("! kill -0 \(first.joined(separator: " "))")
            let second = try verifyServed("after a reload")
            try verify(second.isDisjoint(with: first), "the same workers after a reload")
            try verify(try walk.cookies(), is: registered, "the sockets after a reload")

            try workers(6)
            try shell("kill -HUP \(nginx)")
            try walk.waitUntil("! kill -0 \(second.joined(separator: " "))")
            let third = try verifyServed("after more workers")
            try verify(try walk.cookies(), is: registered, "the sockets after more workers")
            if reuseport { try verify(third.count > 3, "only \(third.count) of 6 workers answered") }

            try workers(1)
            try shell("kill -HUP \(nginx)")
            try walk.waitUntil("! kill -0 \(third.joined(separator: " "))")
            _ = try verifyServed("after fewer workers")
            try verify(try walk.cookies().count, is: 2, "the number of sockets after fewer workers")

            try verify(try walk.ask("127.0.0.7"), hasPrefix: "steered", "a server's own address")
            try walk.steer("unregister web")
            try verify(try walk.ask("127.9.9.9"), is: nil, "an answer without a socket")
            try walk.steer("unload")
            try verify(try walk.ask("127.9.9.9"), is: nil, "an answer without steering")
            try verify(try walk.ask("127.0.0.7"), hasPrefix: "ordinary", "a server's own address")
            try verify(try walk.files.listing(), is: ["steering/"], "what is left in the BPF file system")
        }
    }

    @Test(
        "redis answers at any address of a /8",
        .enabled(if: installed("/usr/bin/redis-server"), "needs redis-server: scripts/test installs it"))
    func redis() async throws {
        try await withNetworkNamespace(routing: Self.prefixes) {
            let walk = try Walk()
            defer { walk.end() }
            let redis = try walk.start(
                "redis",
                "redis-server --port 6380 --bind 127.0.0.1 --unixsocket \(walk.folder)/redis.sock "
                    + "--protected-mode no --save '' --appendonly no --daemonize no --dir \(walk.folder)"
            )
            try walk.waitUntil("redis-cli -p 6380 PING")
            try walk.steer("load")
            try walk.steer("bind redis tcp 127.0.0.0/8 6379")
            try walk.steer("bind redis tcp 192.0.2.0/24 6379")
            // The one TCP socket that listens is meant: the other is of the UNIX family.
            try walk.steer("register redis --pid \(redis)")
            try verify(try shell("redis-cli -h 127.1.2.3 -p 6379 PING"), is: "PONG\n")
            try verify(try shell("redis-cli -h 127.3.2.1 -p 6379 SET steered yes"), is: "OK\n")
            try verify(try shell("redis-cli -h 192.0.2.77 -p 6379 GET steered"), is: "yes\n")
            try verify(try shell("redis-cli -s \(walk.folder)/redis.sock GET steered"), is: "yes\n")

            // A connection that is open stays, whatever becomes of the steering.
            let held = try shell(
                "(echo GET steered; sleep 2; echo GET steered) | redis-cli -h 127.1.2.3 -p 6379 & sleep 0.5; "
                    + "\(walk.command("unregister redis")); redis-cli -h 127.1.2.3 -p 6379 PING || true; wait"
            )
            try verify(
                held.split(separator: "\n").filter { $0 == "yes" }.count, is: 2, "the replies on an open connection")
            try verify(held.contains("Connection refused"), "not refused without a socket: \(held)")
            try walk.steer("unload")
        }
    }

    @Test(
        "A UDP server that is asked at any address hears it",
        .enabled(if: installed("/usr/bin/socat"), "needs socat: scripts/test installs it"))
    func udp() async throws {
        try await withNetworkNamespace(routing: Self.prefixes) {
            let walk = try Walk()
            defer { walk.end() }
            let socat = try walk.start("socat", "socat UDP4-RECVFROM:5300,bind=127.0.0.1,fork PIPE")
            try walk.waitUntil("ss -Hlun | grep -q 127.0.0.1:5300")
            try walk.steer("load")
            try walk.steer("bind echo udp 127.0.0.0/8 53")
            try walk.steer("bind echo udp 192.0.2.0/24 53")
            try walk.steer("register echo --pid \(socat) udp")
            for address in ["127.9.9.9", "127.200.1.1", "192.0.2.53"] {
                // It replies from where it is bound, so the client takes a reply from anywhere.
                try verify(
                    try shell("echo \(address) | socat -T 2 -t 2 - UDP4-DATAGRAM:\(address):53"), is: "\(address)\n")
            }
            try walk.steer("unregister echo")
            let (text, status) = try Walk.attempt(
                "(echo one; sleep 0.3; echo two) | socat -t 1 - UDP4-CONNECT:127.9.9.9:53")
            try verify(status != 0 && text.contains("refused"), "not refused without a socket: \(text)")
            try walk.steer("unload")
        }
    }
}

private func installed(_ path: String) -> Bool { KernelTests.areRequired || access(path, X_OK) == 0 }

private func verify(_ text: String?, hasPrefix expected: String, _ what: String) throws {
    try verify(text?.hasPrefix(expected) == true, "\(what) says \(text ?? "nothing")")
}

/// It says which server and which worker answers. (`$server_addr` would be the address that nginx listens at.)
private func nginxConfiguration(_ folder: String, _ workers: Int, _ reuseport: Bool) -> String {
    let option = reuseport ? " reuseport" : ""
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map { "\($0)_temp_path \(folder)/\($0);" }
    func server(_ name: String, _ listeners: [String]) -> String {
        let listen = listeners.map { "listen \($0);" }.joined(separator: " ")
        return "server { \(listen) location / { return 200 \"\(name) $pid\"; } }"
    }
    return """
        daemon off;
        user root;
        worker_processes \(workers);
        pid \(folder)/nginx.own.pid;
        error_log stderr;
        events { worker_connections 128; }
        http {
            access_log off;
            keepalive_timeout 0;
            \(folders.joined(separator: "\n    "))
            \(server("steered", ["127.0.0.1:8080\(option)", "[::1]:8080\(option)"]))
            \(server("ordinary", ["127.0.0.7:80"]))
        }
        """
}

/// A BPF file system and a folder of its own, and the servers that were started: they end with it, and after
/// two minutes whatever happens.
private final class Walk {
    let files: TestFileSystem
    let folder: String
    private let program: String
    private var groups: [Int] = []

    init() throws {
        program = try Programs.path(of: "steer")
        files = try TestFileSystem()
        folder = "/run/steering-test/servers-\(UInt64.random(in: 0...UInt64.max))"
        try shell("mkdir \(folder)")
    }

    func end() {
        for group in groups { _ = try? shell("kill -KILL -\(group)") }  // As dash writes a group.
        _ = try? shell("rm -rf \(folder)")
    }

    func command(_ words: String) -> String { "\(program) \(words) --bpffs \(files.path)" }

    func steer(_ words: String) throws { try shell(command(words)) }

    /// The cookies of what is registered.
    func cookies() throws -> Set<String> {
        let text = try shell(command("sockets --json"))
        return Set(
            text.split(separator: "\"cookie\"").dropFirst().map {
                String($0.drop { $0 != "\"" }.dropFirst().prefix { $0 != "\"" })
            })
    }

    /// Starts a server; its process.
    func start(_ name: String, _ command: String) throws -> Int {
        let pid = "\(folder)/\(name).pid"
        let quoted = "echo $$ > \(pid); exec \(command)".replacing("'", with: "'\\''")
        let group = try shell(
            "setsid timeout -s KILL $((10 * PATIENCE)) sh -c '\(quoted)' </dev/null >\(folder)/\(name).log 2>&1 & echo $!"
        )
        groups.append(Int(group.dropLast()) ?? 0)
        try waitUntil("test -s \(pid)")
        return Int(try shell("cat \(pid)").dropLast()) ?? 0
    }

    /// What a web server at an address says; nil when it refuses.
    func ask(_ address: String) throws -> String? {
        let (text, status) = try Self.attempt("curl -sSg --max-time $PATIENCE http://\(address)/")
        if status == 7 { return nil }
        try verify(status == 0, "curl of \(address) exited with \(status): \(text)")
        return text
    }

    func waitUntil(_ condition: String) throws {
        try shell(
            "for i in $(seq $((20 * PATIENCE))); do { \(condition); } >/dev/null 2>&1 && exit 0; sleep 0.05; done; exit 1"
        )
    }

    func write(_ name: String, _ text: String) throws {
        guard let file = fopen("\(folder)/\(name)", "w") else { throw Unmet(description: "cannot write \(name)") }
        fputs(text, file)
        fclose(file)
    }

    /// Output and exit code of a shell command that may fail.
    static func attempt(_ command: String) throws -> (output: String, exitCode: Int) {
        let text = try shell("{ \(command); }; echo \" exit $?\"")
        let parts = text.split(separator: " exit ", omittingEmptySubsequences: false)
        return (parts.dropLast().joined(separator: " exit "), Int(parts.last!.dropLast()) ?? -1)
    }
}
