import KernelTestSupport
import Testing

/// `metrics --listen`.
@Suite(.kernel)
struct MetricsServerTests {
    private func server(_ address: String, in bed: Bed, under wrapper: String = "") throws -> (Background, String) {
        let server = try Background(bed.line("metrics --listen \(address)", under: wrapper), in: bed)
        try eventually("it serves") { try server.output.hasSuffix("/metrics\n") }
        return (server, String(try server.output.dropFirst("serving ".count).dropLast()))
    }

    /// The status line, the headers and the body of an answer.
    private func curl(_ arguments: String) throws -> (status: String, head: String, body: String) {
        let text = try shell("curl -si --max-time $PATIENCE \(arguments) | tr -d '\\r'")
        let parts = text.split(separator: "\n\n", maxSplits: 1, omittingEmptySubsequences: false)
        return (
            String(text.prefix { $0 != "\n" }), parts[0].lowercased(), parts.count > 1 ? String(parts[1]) : ""
        )
    }

    @Test("GET and HEAD of /metrics, nothing else; SIGTERM and SIGINT end it", arguments: ["TERM", "INT"])
    func requests(signal: String) async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            let (server, url) = try server("127.0.0.1:0", in: bed)
            let answer = try curl(url)
            try verify(answer.status, is: "HTTP/1.1 200 OK")
            try verify(answer.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), answer.head)
            try verify(answer.body, is: bed.steer("metrics"))
            let head = try curl("-I \(url)")
            try verify(head.status, is: "HTTP/1.1 200 OK")
            try verify(head.body, is: "")
            try verify(head.head.contains("content-length: \(answer.body.utf8.count)"), head.head)
            let post = try curl("-d x \(url)")
            try verify(post.status, is: "HTTP/1.1 405 Method Not Allowed")
            try verify(post.head.contains("allow: get, head"), post.head)
            try verify(curl("\(url)/x").status, is: "HTTP/1.1 404 Not Found")
            try verify(curl(url.replacing("/metrics", with: "/")).status, is: "HTTP/1.1 404 Not Found")
            try verify(curl("\(url)?x=y").status, is: "HTTP/1.1 200 OK")
            // Each connection is answered once, and curl opens another.
            let both = try shell("curl -s --max-time $PATIENCE \(url) \(url)")
            try verify(both, is: answer.body + answer.body)

            try bed.steer("bind web tcp 192.0.2.0/24 81")
            try verify(curl(url).body.contains("\nsteering_bindings 2\n"), "as it is now")
            try bed.steer("unload")
            let gone = try curl(url)
            try verify(gone.status, is: "HTTP/1.1 503 Service Unavailable")
            try verify(gone.body.contains("load it first"), gone.body)
            try bed.steer("load")
            try verify(curl(url).body.contains("\nsteering_bindings 0\n"), "as it is now")

            try server.signal(signal)
            try verify(server.exitCode(), is: 0)
            try verify(server.error, is: "")
        }
    }

    @Test("400 connections that say nothing keep nobody from the counters")
    func crowd() async throws {
        try await withBed { bed in
            let (server, url) = try server("127.0.0.1:9110", in: bed, under: "prlimit --nofile=128:128")
            let crowd = try bed.python(
                """
                import socket, time
                held = [socket.create_connection(('127.0.0.1', 9110), 20) for _ in range(400)]
                print('here', flush=True)
                time.sleep(600)
                """)
            try eventually("they are there") { try crowd.output == "here\n" }
            try verify(curl(url).status, is: "HTTP/1.1 200 OK")
            try server.signal("TERM")
            try verify(server.exitCode(), is: 0)
        }
    }

    @Test("Of requests that follow each other on one connection the first is answered, and the rest is not read")
    func pipelined() async throws {
        try await withBed { bed in
            let (server, url) = try server("127.0.0.1:9110", in: bed)
            let client = try bed.python(
                """
                import socket
                client = socket.create_connection(('127.0.0.1', 9110), \(Patience.seconds))
                answers = b''
                try:
                    client.sendall(b'GET /metrics HTTP/1.1\\r\\nHost: here\\r\\n\\r\\n' * 20000)
                except OSError: pass
                try:
                    while part := client.recv(65536): answers += part
                except ConnectionResetError: pass
                print(answers.count(b'HTTP/1.1 200 OK'), b'connection: close' in answers.lower(), flush=True)
                """)
            try eventually("it ends") { try !client.output.isEmpty }
            try verify(client.output, is: "1 True\n")
            try verify(curl(url).status, is: "HTTP/1.1 200 OK")
            try server.signal("TERM")
            try verify(server.exitCode(), is: 0)
        }
    }

    @Test("IPv6, and addresses where it cannot listen")
    func addresses() async throws {
        try await withBed { bed in
            let (server, url) = try server("[::1]:0", in: bed)
            try verify(url.hasPrefix("http://[::1]:"), url)
            try verify(curl("-g '\(url)'").status, is: "HTTP/1.1 200 OK")
            let port = url.split(separator: ":").last!.prefix { $0 != "/" }
            try bed.refused("metrics --listen [::1]:\(port)", "Address already in use")
            try bed.refused("metrics --listen 198.51.100.1:9110", "Cannot assign requested address")
            try bed.refused("metrics --listen 127.0.0.1", "", exitCode: 64)
            try bed.refused("metrics --listen nowhere:1", "nowhere", exitCode: 64)
            let few = try bed.sh(bed.line("metrics --listen 127.0.0.1:0", under: "prlimit --nofile=23:23"))
            try verify(few.exitCode == 1 && few.error.contains("may open 23 files, and needs 24 or more"), "\(few)")
            try server.signal("TERM")
            try verify(server.exitCode(), is: 0)
        }
    }
}
