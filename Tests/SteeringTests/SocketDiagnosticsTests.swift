import CSteering
import Glibc
import KernelTestSupport
import Testing

@testable import Steering

/// What sock_diag reports, and the kernel's own answer to where a packet goes.
@Suite(.kernel)
struct SocketDiagnosticsTests {
    private static func inode(_ descriptor: CInt) -> UInt32 {
        var status = stat()
        fstat(descriptor, &status)
        return UInt32(status.st_ino)
    }

    @Test("Listening and unconnected sockets are listed, with inode, user and address", arguments: Flow.all)
    func listed(flow: Flow) async throws {
        try await withNetworkNamespace {
            let sockets = try [flow.socket(), flow.socket()]
            _ = try Traffic.connect(.udp, to: SocketAddress(flow.loopback.address, port: 9))
            let found = try SocketDiagnostics().sockets()
            try verify(Set(found.keys.map(\.rawValue)), is: Set(sockets.map(\.cookie)), "cookies")
            for socket in sockets {
                let diagnosed = found[SocketCookie(socket.cookie)]!
                try verify(diagnosed.transport, is: flow.transport)
                try verify(diagnosed.localAddress, is: socket.address)
                try verify(diagnosed.inode, is: Self.inode(socket.descriptor), "inode")
                try verify(diagnosed.userID, is: geteuid(), "user")
                try verify(diagnosed.interface, is: 0, "interface")
                try verify(!diagnosed.isConnected, "connected")
            }
        }
    }

    @Test("Thousands of sockets are all listed")
    func many() async throws {
        try await withNetworkNamespace {
            let sockets = try (0..<2000).map { _ in try TestSocket(.tcp, on: SocketAddress("127.0.0.1:0")) }
            let found = try SocketDiagnostics().sockets()
            try verify(Set(found.keys.map(\.rawValue)), is: Set(sockets.map(\.cookie)), "cookies")
        }
    }

    @Test("The interface that a socket is bound to is told", arguments: TransportProtocol.allCases)
    func interface(transport: TransportProtocol) async throws {
        try await withNetworkNamespace {
            let socket = try Flow(transport, .ipv4).socket()
            let name = "lo"
            try verify(
                setsockopt(socket.descriptor, SOL_SOCKET, SO_BINDTODEVICE, name, socklen_t(name.utf8.count)), is: 0)
            try verify(try SocketDiagnostics().sockets().values.map(\.interface), is: [if_nametoindex("lo")])
        }
    }

    @Test("An established connection is what a packet of it reaches, whatever is steered", arguments: Flow.all)
    func established(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let listener = try TestSocket(flow.transport, on: flow.host(1, port: 7000), .freeBind)
            let conversation = try Conversation(
                flow.transport, with: flow.host(1, port: flow.transport == .tcp ? 7000 : 7001),
                accepting: listener.descriptor)
            let steering = try SocketSteering.attach()
            try steering.apply(Policy([Binding(.both, to: flow.prefix, ports: .all, .refuse)]))

            let local = try conversation.server.localAddress()
            let remote = try conversation.client.localAddress()
            let diagnostics = try SocketDiagnostics()
            let found = try diagnostics.socket(receiving: flow.transport, to: local, from: remote)
            try verify(found?.cookie.rawValue, is: socketCookie(conversation.server.rawValue), "socket")
            try verify(found?.isConnected, is: true, "connected")
            try verify(found?.remoteAddress, is: remote)

            let other = SocketAddress(remote.address, port: remote.port ^ 1)
            try verify(try diagnostics.socket(receiving: flow.transport, to: local, from: other), is: nil, "refused")
            steering.detach()
            let listening = try diagnostics.socket(receiving: flow.transport, to: local, from: other)
            try verify(listening?.isConnected, is: flow.transport == .tcp ? false : nil, "the listener")
        }
    }

    @Test("The kernel's lookup runs the steering: its choice, of a SO_REUSEPORT group too", arguments: Flow.all)
    func steered(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let first = try TestSocket(flow.transport, on: flow.loopback, .reusePort)
            let group = try [first] + (0..<3).map { _ in try TestSocket(flow.transport, on: first.address, .reusePort) }
            let steering = try SocketSteering.attach()
            for socket in group { try steering.sockets.register(socket.socket, as: "web") }
            try steering.bind("web", .both, to: flow.pool, ports: [7000])
            let diagnostics = try SocketDiagnostics()
            for port in UInt16(20_000)..<20_032 {
                let source = SocketAddress(flow.loopback.address, port: port)
                let target = flow.host(1, port: 7000)
                let found = try diagnostics.socket(receiving: flow.transport, to: target, from: source)
                let expected = try Traffic.deliver(flow.transport, to: target, from: source, among: group)
                let index = group.firstIndex { $0.cookie == found?.cookie.rawValue }
                try verify(index.map(Delivery.to), is: expected, "the choice for port \(port)")
                let none = try diagnostics.socket(
                    receiving: flow.transport, to: flow.host(1, port: 7001), from: source)
                try verify(none, is: nil, "not steered")
            }
        }
    }

    @Test("The interface decides, for the kernel's answer too", arguments: TransportProtocol.allCases)
    func steeredByInterface(transport: TransportProtocol) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let flow = Flow(transport, .ipv4)
            let socket = try flow.socket()
            try shell("ip link add probe0 type veth peer name probe1 && ip link set probe0 up")
            try verify(
                setsockopt(socket.descriptor, SOL_SOCKET, SO_BINDTODEVICE, "probe0", 6), is: 0, "SO_BINDTODEVICE")
            let address = try socket.address
            let source = flow.host(2, port: 20_000)
            let diagnostics = try SocketDiagnostics()
            func found(on interface: String) throws -> UInt64? {
                try diagnostics.socket(
                    receiving: transport, to: address, from: source, on: if_nametoindex(interface))?.cookie.rawValue
            }
            try verify(try found(on: "probe0"), is: socket.cookie)
            try verify(try found(on: "lo"), is: nil)
        }
    }

    @Test("Addresses of two families are refused")
    func families() async throws {
        try await withNetworkNamespace {
            let diagnostics = try SocketDiagnostics()
            try verifyThrows(.invalidAddress) {
                _ = try diagnostics.socket(
                    receiving: .tcp, to: SocketAddress("127.0.0.1:1"), from: SocketAddress("[::1]:1"))
            }
        }
    }
}

/// Who holds a socket.
@Suite(.kernel)
struct SocketOwnersTests {
    private static func inode(_ descriptor: CInt) -> UInt32 {
        var status = stat()
        fstat(descriptor, &status)
        return UInt32(status.st_ino)
    }

    @Test("This process is found as an owner, with its name and user")
    func this() throws {
        let socket = try Flow(.tcp, .ipv4).socket()
        let inode = Self.inode(socket.descriptor)
        for search in [SocketOwners.Search.first, .every] {
            let owners = try SocketOwners(of: [inode], search)
            let owner = try #require(owners[inode].first { $0.pid == getpid() })
            #expect(owner.userID == geteuid())
            #expect(!owner.command.isEmpty && owner.command.utf8.count <= 15)
            #expect(owner.description.hasSuffix("(pid \(getpid()))"))
            #expect(search == .every || owners.isComplete)
        }
    }

    @Test("A socket that nobody holds has no owner, and no inode no search")
    func none() throws {
        let owners = try SocketOwners(of: [0])
        #expect(owners[0].isEmpty)
        #expect(try SocketOwners(of: []).isComplete)
    }

    @Test("All holders of an inherited socket are found; an unprivileged search says that it is not complete")
    func inherited() throws {
        let probe = try Programs.path(of: "steering-probe")
        // A /proc of our own: of others' processes some may be hidden from root too.
        let (all, _) = try Programs.run(
            "unshare --pid --fork --mount-proc \(probe) hold share tcp=127.0.0.1:80 \"\(probe) owners\"")
        // The holder, the shell between and the probe itself.
        #expect(all.split(separator: "\n").count == 4 && all.hasSuffix("complete true\n"), "\(all)")
        #expect(all.contains("steering-probe (pid ") && all.contains(") user 0\n"))
        let (own, _) = try Programs.run(
            "\(probe) hold tcp=127.0.0.1:80 \"setpriv --reuid 65534 --clear-groups \(probe) owners\"")
        #expect(own == "complete false\n")
    }
}
