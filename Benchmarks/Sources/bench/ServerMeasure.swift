import ArgumentParser
import CBench
import Glibc
import Steering

struct ServerMeasure: Measure {
    static let name = "server"
    static let title = "What a request costs a server that is steered to, and one that is bound there"
    static let isAlone = false

    @OptionGroup var options: MeasureOptions

    @Option(help: "How many slices each case has.")
    var rounds = 20

    @Option(help: "Seconds in a slice.")
    var seconds = 2

    @Option(help: "Connections at once.")
    var connections: UInt32 = 32

    @Option(help: "The release build of Examples/echo-server.")
    var echoServer = ".build/release/echo-server"

    func measure() throws -> (figures: [Figure], notes: [String]) {
        let work = try WorkDirectory()
        let nginx = try Nginx(in: work)
        let echo = try Echo(echoServer)
        var random = SeededGenerator(seed: 1)
        var figures: [Figure] = []
        for reconnect in [false, true] {
            let traffic = reconnect ? "a connection each" : "keep-alive"
            figures += try compare("nginx", traffic, &random) { isSteered in
                try nginx.load(isSteered, reconnect, connections, seconds: options.quick ? 1 : seconds)
            }
            figures += try compare("echo-server", traffic, &random) { isSteered in
                try echo.load(isSteered, reconnect, connections, seconds: options.quick ? 0.5 : Double(seconds))
            }
        }
        return (figures, Self.notes)
    }

    private func compare(
        _ server: String, _ traffic: String, _ random: inout SeededGenerator,
        _ load: (_ isSteered: Bool) throws -> bench_burst
    ) throws -> [Figure] {
        var results = Rounds(2)
        try results.run(options.quick ? 1 : rounds, of: [0, 1], random: &random) { index, _ in try load(index == 1) }
        let names = ["\(server), bound", "\(server), steered"]
        return results.figures(Self.name, names, traffic, unit: "ns/request", to: names[0])
    }

    private static let notes = [
        "The server has the first processor, the client the last. 1e9 / ns are the requests a second.",
        "nginx: one worker and two listening sockets, one bound to the address that is asked, one to a loopback "
            + "address and steered to; wrk asks over a veth pair. echo-server: over the loopback interface, 32 bytes "
            + "each, to an address that it steers or to where its listening socket is bound.",
        "A program is attached in both cases: for what is bound it finds nothing and passes.",
        Figure.pairedNote,
    ]
}

/// nginx on the server's end of a wire, steered to on an address that nothing is bound to.
private final class Nginx {
    private static let steered = SocketAddress(IPAddress(ipv4: 0xc000_0207), port: 80)  // 192.0.2.7
    private static let bound = SocketAddress(Wire.serverAddress, port: 80)
    private static let elsewhere = SocketAddress(IPAddress(ipv4: 0x7f00_0001), port: 8080)

    private let wire: Wire
    private let process: CInt
    private let steering: SocketSteering

    init(in work: WorkDirectory) throws {
        let configuration = try work.write(
            "nginx.conf",
            """
            daemon off; worker_processes 1; pid \(work.path)/pid; error_log \(work.path)/error.log;
            events { worker_connections 4096; }
            http {
              access_log off; keepalive_requests 1000000000; server_tokens off;
              server {
                listen \(Self.bound); listen \(Self.elsewhere);
                location / { return 200 "one line\\n"; }
              }
            }
            """)
        wire = try Wire()
        process = try wire.asServer {
            try shell("ip route add local \(Wire.prefixes[.ipv4]!) dev lo")
            return try start("taskset --cpu-list 0 nginx -e \(work.path)/error.log -c \(configuration)")
        }
        let process = process
        steering = try wire.asServer {
            let socket = try eventually {
                try ProcessSocket.onlySocket(of: process, matching: SocketSelector(.tcp, Self.elsewhere))[0]
            }
            let steering = try SocketSteering.attach()
            try steering.sockets.register(socket.socket, as: "web")
            try steering.bind("web", .tcp, to: PrefixPool([Wire.prefixes[.ipv4]!]), ports: [80...92])
            return steering
        }
    }

    deinit { _ = bench_stop(process) }

    func load(_ isSteered: Bool, _ reconnect: Bool, _ connections: UInt32, seconds: Int) throws -> bench_burst {
        let target = isSteered ? Self.steered : Self.bound
        let before = try steeredConnections()
        let text = try wire.asClient {
            try output(
                of: "taskset --cpu-list $(($(nproc) - 1)) wrk --threads 1 --connections \(connections) "
                    + "--duration \(seconds)s \(reconnect ? "--header 'Connection: close'" : "") http://\(target)/")
        }
        let words = text.split { $0 == " " || $0 == "\n" }
        guard let label = words.firstIndex(of: "Requests/sec:"), let rate = Double(words[label + 1]), rate > 0,
            !text.contains("errors"), !text.contains("Non-2xx")
        else { throw BenchError("wrk of nginx at \(target) went wrong: \(text)") }

        // What was meant is what was measured: the program counts what it steers.
        let made = reconnect ? UInt64(rate * Double(seconds) * 0.9) : UInt64(connections)
        let steered = try steeredConnections() - before
        guard isSteered ? steered >= made : steered == 0 else {
            throw BenchError("nginx at \(target): \(steered) connections were steered, at least \(made) made")
        }
        return bench_burst(nanoseconds: 1e9 / rate, processor: 0, receiving: 0, completed: 1)
    }

    private func steeredConnections() throws -> UInt64 {
        try steering.metrics().destinations.values.reduce(0) { $0 + $1.lookups }
    }
}

/// The example, which steers a prefix to itself.
private final class Echo {
    private static let steered = SocketAddress(IPAddress(ipv4: 0xc000_0207), port: 90)
    private let wire: Wire
    private let process: CInt
    private let bound: SocketAddress

    init(_ path: String) throws {
        guard access(path, X_OK) == 0 else {
            throw BenchError("\(path) is not there: build it with swift build -c release --product echo-server")
        }
        let wire = try Wire()
        self.wire = wire
        let process = try wire.asServer {
            try start(
                "taskset --cpu-list 0 \(path) --prefix \(Wire.prefixes[.ipv4]!) --ports 80-92 --add-routes >/dev/null")
        }
        self.process = process
        bound = try wire.asServer {
            // Routed last: then it answers.
            try eventually { try shell("ip route get \(Self.steered.address) 2>/dev/null | grep -q ^local") }
            let sockets = try ProcessSocket.sockets(of: process, matching: SocketSelector(.tcp))
            return sockets.map(\.boundAddress).first { $0.address.family == .ipv4 }!
        }
    }

    deinit { _ = bench_stop(process) }

    func load(_ isSteered: Bool, _ reconnect: Bool, _ connections: UInt32, seconds: Double) throws -> bench_burst {
        // Nothing but steering answers there: it is bound to neither address nor port.
        let address = isSteered ? Self.steered : bound
        let target = Traffic(transport: .tcp, family: .ipv4).packet(to: address)
        var burst = bench_burst()
        try wire.asServer {
            _ = try withUnsafePointer(to: target) {
                try BenchError.check(
                    "echo-server at \(address)", bench_echo($0, connections, seconds, reconnect, &burst))
            }
        }
        return burst
    }
}
