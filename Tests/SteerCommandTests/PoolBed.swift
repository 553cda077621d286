import Foundation
import KernelTestSupport

/// A pool of a /24 that a steer-dns answers from and a server behind steering serves; clients that resolve, keep the
/// answer for its TTL, and connect to it all the while.
final class PoolBed: Sendable {
    let bed: Bed
    let policy: String
    private let server, dns: Background
    static let metrics = "127.0.0.1:9153"

    init(_ bed: Bed, ttl: Int) throws {
        self.bed = bed
        _ = try bed.write(
            """
            $ORIGIN example.com.
            $TTL 60
            @ SOA ns.example.com. admin.example.com. 1 3600 600 86400 60
            @ NS ns
            ns A 127.0.0.1

            """, to: "example.zone")
        _ = try bed.write("# The pool web\n192.0.2.0/24  # all\n", to: "web.txt")
        policy = try bed.write(
            """
            pools:
              web: { prefixes-from: web.txt, drained-from: web-drained.txt }
            names:
              zones: [example.zone]
              policies:
                - { name: www, exact: www.example.com, types: A, pool: web, ttl: \(ttl) }
                - { name: default, outcome: pass }
            bindings:
              - { label: web, protocols: tcp, pool: web, ports: 80 }

            """, to: "policy.yaml")
        server = try bed.python(Self.serverProgram)
        try bed.listens("127.0.0.1:8080")
        try bed.steer("apply \(policy)")
        try bed.steer("register web --pid \(server.pid) tcp 127.0.0.1:8080")
        let steerDNS = try Programs.path(of: "steer-dns")
        dns = try Background(
            "\(steerDNS) serve --policy \(policy) --listen 127.0.0.1:5353 --metrics \(Self.metrics) --workers 1 --no-response-limit",
            in: bed)
        try bed.listens(Self.metrics)
    }

    /// Runs `steer-dns`.
    func dns(_ arguments: String) throws -> Bed.Run {
        try bed.sh("\(try Programs.path(of: "steer-dns")) \(arguments) --policy \(policy)")
    }

    /// Runs `steer pool VERB web`, which must do what it should.
    @discardableResult
    func pool(_ arguments: String, file: StaticString = #fileID, line: UInt = #line) throws -> String {
        let run = try bed.sh(command(arguments))
        try verify(run.exitCode == 0, "steer pool \(arguments) ended with \(run)", file: file, line: line)
        return run.output
    }

    /// The command line of `steer pool`; each word of its verb and the rest.
    func command(_ arguments: String) -> String {
        let words = arguments.split(separator: " ", maxSplits: 1)
        return
            "\(bed.steer) pool \(words[0]) web --policy \(policy) --server \(Self.metrics) --bpffs \(bed.bpffs.path) "
            + (words.count > 1 ? words[1] : "")
    }

    /// What the policy in force binds, and the files that are written.
    func prefixes() throws -> [String] {
        try bed.json("bindings")["bindings"].array.map { $0["prefix"].string! }
    }

    func file(_ name: String) throws -> String {
        try shell("cat \(bed.folder)/\(name) 2>/dev/null || true")
    }

    /// Clients in the background: they print a line of JSON at their end.
    func clients() throws -> Background {
        let clients = try bed.python(Self.clientProgram)
        try eventually("clients that connect") { try shell("cat \(bed.folder)/connected 2>/dev/null || true") != "" }
        return clients
    }

    /// Ends the clients: how many connections they made, to how many addresses, and what failed.
    func end(_ clients: Background) throws -> JSONValue {
        try shell("touch \(bed.folder)/stop")
        _ = try clients.exitCode()
        let result = try JSONValue(file("result"))
        try shell("rm \(bed.folder)/stop \(bed.folder)/result \(bed.folder)/connected")
        return result
    }

    private static let serverProgram = """
        import socket
        server = socket.create_server(("127.0.0.1", 8080), backlog=512)
        while True:
            connection = server.accept()[0]
            connection.sendall(b"here")
            connection.close()
        """

    private static let clientProgram = """
        import json, os, socket, struct, threading, time
        folder = os.path.dirname(os.path.abspath(__file__))
        query = b"".join(bytes([len(word)]) + word for word in [b"www", b"example", b"com", b""]) + b"\\0\\x01\\0\\x01"
        connections, failures, addresses = [0], [], set()

        def resolve(number):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(int(os.environ["PATIENCE"]))
                client.connect(("127.0.0.1", 5353))
                client.send(struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + query)
                answer = client.recv(512)
            assert struct.unpack("!6H", answer[:12])[3] == 1, answer
            ttl, length = struct.unpack("!IH", answer[12 + len(query) + 6:12 + len(query) + 12])
            assert length == 4, answer
            return socket.inet_ntoa(answer[-4:]), ttl

        def run(number):
            while not os.path.exists(folder + "/stop"):
                try:
                    address, ttl = resolve(number)
                except Exception as error:
                    failures.append("resolving: %r" % error)
                    time.sleep(0.1)
                    continue
                addresses.add(address)
                end = time.monotonic() + ttl
                while time.monotonic() < end and not os.path.exists(folder + "/stop"):
                    try:
                        with socket.create_connection((address, 80), timeout=int(os.environ["PATIENCE"])) as connection:
                            if connection.recv(16) != b"here": raise Exception("no answer")
                        connections[0] += 1
                        if connections[0] == 1: open(folder + "/connected", "w").write("1")
                    except Exception as error:
                        failures.append("%s: %r, %.1f s before its end" % (address, error, end - time.monotonic()))
                    time.sleep(0.02)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        result = {"connections": connections[0], "addresses": len(addresses), "failures": failures}
        with open(folder + "/result", "w") as file: file.write(json.dumps(result))
        """
}
