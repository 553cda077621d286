import KernelTestSupport
import Steering
import Testing

/// A server as its users start it, on 127.0.0.1:8080, and how a client asks it at an address.
enum WrappedServer: String, CaseIterable, CustomTestStringConvertible {
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
struct ServicePlace: Sendable {
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

    func isServed(_ server: WrappedServer) throws {
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

/// Runs a test with a running steerd and a folder for its unprivileged user.
func withServicePlace(_ body: @escaping @Sendable (ServicePlace) throws -> Void) async throws {
    try await withSteerdBed { steerd in
        let process = try steerd.start()
        defer { withExtendedLifetime(process) {} }
        try body(try ServicePlace(steerd))
    }
}
