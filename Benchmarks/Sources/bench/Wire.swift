import CBench
import Glibc
import Steering

/// Two network namespaces of their own, a client's and a server's, joined by a veth pair: what is measured in
/// them meets no other case's sockets, programs or rules. They end with the process at the latest.
///
/// The calling thread moves between them; nothing else of the process may depend on where it is.
final class Wire {
    private let client: CInt
    private let server: CInt

    /// Where the traffic goes: routed to the server, which is not one of these addresses itself.
    static let prefixes: [IPFamily: IPPrefix] = [
        .ipv4: try! IPPrefix("192.0.0.0/20"), .ipv6: try! IPPrefix("2001:db8::/44"),
    ]

    /// What the server answers on besides.
    static let serverAddress = IPAddress(ipv4: 0xc633_6401)  // 198.51.100.1

    /// With a table of UDP sockets as large as that of the machine, but for itself alone: otherwise one case
    /// with very many sockets makes the searches of all others longer.
    init() throws {
        let size = lines(of: "/proc/sys/net/ipv4/udp_hash_entries").first.flatMap { Int($0) } ?? 0
        if size != 0 {
            // What it is in this namespace is what those get that are made here.
            try shell("sysctl -q net.ipv4.udp_child_hash_entries=\(size.magnitude)")
        }
        let home = try BenchError.check("open", bench_own_namespace())
        defer { close(home) }
        client = try BenchError.check("unshare", bench_make_namespace())
        try Self.enter(home)
        server = try BenchError.check("unshare", bench_make_namespace())
        defer { try? Self.enter(home) }
        // No address is looked for, and no router: only what is measured passes.
        try shell(
            """
            ip link set lo up
            ip link add server address 02:00:00:00:00:01 type veth \
                peer name client address 02:00:00:00:00:02 netns /proc/\(getpid())/fd/\(client)
            sysctl -q net.ipv6.conf.server.addr_gen_mode=1
            ip link set server up
            ip address add 198.51.100.1/30 dev server
            ip address add 2001:db8:ffff::1/64 dev server nodad
            ip neighbour add 198.51.100.2 lladdr 02:00:00:00:00:02 nud permanent dev server
            ip neighbour add 2001:db8:ffff::2 lladdr 02:00:00:00:00:02 nud permanent dev server
            """)
        try Self.enter(client)
        try shell(
            """
            ip link set lo up
            sysctl -q net.ipv6.conf.client.addr_gen_mode=1
            ip link set client up
            ip address add 198.51.100.2/30 dev client
            ip address add 2001:db8:ffff::2/64 dev client nodad
            ip neighbour add 198.51.100.1 lladdr 02:00:00:00:00:01 nud permanent dev client
            ip neighbour add 2001:db8:ffff::1 lladdr 02:00:00:00:00:01 nud permanent dev client
            ip route add \(Self.prefixes[.ipv4]!) via 198.51.100.1
            ip route add \(Self.prefixes[.ipv6]!) via 2001:db8:ffff::1
            """)
    }

    deinit {
        close(client)
        close(server)
    }

    /// Runs on the calling thread, at the client's end.
    func asClient<Result>(_ body: () throws -> Result) throws -> Result { try Self.run(in: client, body) }

    /// Runs on the calling thread, at the server's end.
    func asServer<Result>(_ body: () throws -> Result) throws -> Result { try Self.run(in: server, body) }

    private static func run<Result>(in namespace: CInt, _ body: () throws -> Result) throws -> Result {
        let home = try BenchError.check("open", bench_own_namespace())
        defer { close(home) }
        try enter(namespace)
        defer { try? enter(home) }
        return try body()
    }

    private static func enter(_ namespace: CInt) throws {
        _ = try BenchError.check("setns", bench_enter_namespace(namespace))
    }
}

/// Runs lines of bash in the calling thread's namespace, up to the first that fails.
func shell(_ lines: String) throws {
    guard system("bash -euc '\(lines)'") == 0 else { throw BenchError("this failed: \(lines)") }
}
