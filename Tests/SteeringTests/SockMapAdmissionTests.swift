import CSteering
import Glibc
import KernelTestSupport
import Steering
import Testing

/// Which descriptors are refused, each by its own code, and that nothing changes then.
@Suite(.kernel)
struct SockMapAdmissionTests {
    /// A descriptor that cannot be registered, and what is said of it.
    struct Refusal: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let code: SteeringError.Code
        let make: @Sendable () throws -> OwnedDescriptor

        init(_ name: String, _ code: SteeringError.Code, _ make: @escaping @Sendable () throws -> OwnedDescriptor) {
            testDescription = name
            self.code = code
            self.make = make
        }
    }

    static let refusals = [
        Refusal("a file", .notASocket) { OwnedDescriptor(owning: Glibc.open("/dev/null", O_RDONLY | O_CLOEXEC)) },
        Refusal("a pipe", .notASocket) {
            var ends: [CInt] = [0, 0]
            pipe(&ends)
            close(ends[1])
            return OwnedDescriptor(owning: ends[0])
        },
        Refusal("a Unix stream socket that listens", .unixSocket) {
            let made = try open(AF_UNIX, CInt(SOCK_STREAM.rawValue))
            try autobind(made.rawValue)
            try verify(listen(made.rawValue, 1), is: 0, "listen")
            return made
        },
        Refusal("a Unix datagram socket", .unixSocket) {
            let made = try open(AF_UNIX, CInt(SOCK_DGRAM.rawValue))
            try autobind(made.rawValue)
            return made
        },
        Refusal("a UDP-Lite socket", .udpLite) { try bound(CInt(SOCK_DGRAM.rawValue), CInt(IPPROTO_UDPLITE)) },
        Refusal("a Multipath TCP listener", .multipathTCP) {
            let made = try bound(CInt(SOCK_STREAM.rawValue), 262)
            try verify(listen(made.rawValue, 1), is: 0, "listen")
            return made
        },
        Refusal("a raw ICMP socket", .unsupportedProtocol) {
            try open(AF_INET, CInt(SOCK_RAW.rawValue), CInt(IPPROTO_ICMP))
        },
        Refusal("a raw UDP socket", .unsupportedProtocol) {
            try open(AF_INET, CInt(SOCK_RAW.rawValue), CInt(IPPROTO_UDP))
        },
        Refusal("a raw TCP socket", .unsupportedProtocol) {
            try open(AF_INET6, CInt(SOCK_RAW.rawValue), CInt(IPPROTO_TCP))
        },
        Refusal("a netlink socket", .unsupportedProtocol) { try open(AF_NETLINK, CInt(SOCK_RAW.rawValue)) },
        Refusal("a connected TCP socket", .socketConnected) {
            let listener = try Flow(.tcp, .ipv4).socket()
            let client = try Traffic.connect(.tcp, to: listener.address)!
            // Still connected when the other end has closed.
            defer { withExtendedLifetime(client.rawValue) {} }
            return Traffic.accept(on: listener.descriptor)!
        },
        Refusal("a connected UDP socket", .socketConnected) {
            try Traffic.connect(.udp, to: SocketAddress("[::1]:9"))!
        },
        Refusal("a TCP socket that is bound but does not listen", .socketNotListening) {
            try bound(CInt(SOCK_STREAM.rawValue), 0)
        },
        Refusal("a TCP socket that is not bound", .socketNotListening) {
            try open(AF_INET, CInt(SOCK_STREAM.rawValue))
        },
        Refusal("a UDP socket that is not bound", .socketNotBound) { try open(AF_INET6, CInt(SOCK_DGRAM.rawValue)) },
        Refusal("a TCP listener that is bound to a device", .socketBoundToDevice) {
            try onLoopbackDevice(try OwnedDescriptor.listener(on: Flow(.tcp, .ipv4).loopback))
        },
        Refusal("a TCP listener of IPv6 that is bound to a device", .socketBoundToDevice) {
            try onLoopbackDevice(try OwnedDescriptor.listener(on: Flow(.tcp, .ipv6).loopback))
        },
        Refusal("a UDP socket that is bound to a device", .socketBoundToDevice) {
            try onLoopbackDevice(try OwnedDescriptor.receiver(on: Flow(.udp, .ipv4).loopback))
        },
        Refusal("a UDP socket of IPv6 that is bound to a device", .socketBoundToDevice) {
            try onLoopbackDevice(try OwnedDescriptor.receiver(on: Flow(.udp, .ipv6).loopback))
        },
        Refusal("a TCP listener of another network namespace", .foreignNetworkNamespace) {
            OwnedDescriptor(
                owning: try inAnotherNetworkNamespace {
                    try OwnedDescriptor.listener(on: Flow(.tcp, .ipv4).loopback).release()
                })
        },
        Refusal("a UDP receiver of another network namespace", .foreignNetworkNamespace) {
            OwnedDescriptor(
                owning: try inAnotherNetworkNamespace {
                    try OwnedDescriptor.receiver(on: SocketAddress("[::]:53"), .dualStack).release()
                })
        },
    ]

    @Test("What cannot be steered to is refused by name, and nothing changes", arguments: refusals)
    func refused(refusal: Refusal) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let (steering, members) = try Self.occupiedSteering()
            let refused = try refusal.make()
            try Self.verifyRefused(refused.rawValue, refusal.code, steering)
            withExtendedLifetime(members) {}
        }
    }

    @Test("A number that is no open descriptor is refused", arguments: [-1, 1 << 20])
    func notOpen(number: CInt) async throws {
        try await withNetworkNamespace {
            let (steering, members) = try Self.occupiedSteering()
            try Self.verifyRefused(number, .invalidDescriptor, steering)
            withExtendedLifetime(members) {}
        }
    }

    /// Sockets under a label for every protocol and family.
    private static func occupiedSteering() throws -> (SocketSteering, [TestSocket]) {
        let steering = try SocketSteering.attach()
        let sockets = try Flow.all.map { try $0.socket() }
        for socket in sockets { try steering.sockets.register(socket.socket, as: "web") }
        return (steering, sockets)
    }

    /// Neither under a label that has sockets nor under a new one, neither to register nor to replace.
    private static func verifyRefused(_ descriptor: CInt, _ code: SteeringError.Code, _ steering: SocketSteering) throws
    {
        let before = try steering.sockets.list()
        try verify(before.count, is: 4, "sockets")
        for label in ["web", "new"] as [Label] {
            try verifyThrows(code) { try steering.sockets.register(descriptor, as: label) }
            try verifyThrows(code) { try steering.sockets.replace(descriptor, as: label) }
        }
        try verify(try steering.sockets.list(), is: before)
        try verify(Set(try steering.metrics().destinations.keys.map(\.label)), is: ["web"])
    }
}

private func open(_ family: CInt, _ kind: CInt, _ number: CInt = 0) throws -> OwnedDescriptor {
    let made = socket(family, kind | CInt(SOCK_CLOEXEC.rawValue), number)
    try verify(made >= 0, "socket(\(family), \(kind), \(number)): errno \(errno)")
    return OwnedDescriptor(owning: made)
}

/// An IPv4 socket, bound to a port of the kernel's choice.
private func bound(_ kind: CInt, _ number: CInt) throws -> OwnedDescriptor {
    let made = try open(AF_INET, kind, number)
    try Traffic.bind(made.rawValue, to: Flow(.tcp, .ipv4).loopback)
    return made
}

/// Binds a Unix socket to a name of the kernel's choice.
private func autobind(_ descriptor: CInt) throws {
    var address = sockaddr(sa_family: sa_family_t(AF_UNIX), sa_data: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
    try verify(bind(descriptor, &address, socklen_t(MemoryLayout<sa_family_t>.size)), is: 0, "bind")
}

/// The socket, bound to the device lo, too.
private func onLoopbackDevice(_ socket: consuming OwnedDescriptor) throws -> OwnedDescriptor {
    try verify(setsockopt(socket.rawValue, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3), is: 0, "SO_BINDTODEVICE")
    return socket
}
