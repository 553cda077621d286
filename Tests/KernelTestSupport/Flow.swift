import Glibc
import Steering
import Testing

/// A protocol and a family: what kernel tests run over, with addresses to play with.
public struct Flow: Sendable, Hashable, CustomTestStringConvertible {
    public let transport: TransportProtocol
    public let family: IPFamily

    public init(_ transport: TransportProtocol, _ family: IPFamily) {
        self.transport = transport
        self.family = family
    }

    /// All four.
    public static let all = TransportProtocol.allCases.flatMap { transport in
        IPFamily.allCases.map { Flow(transport, $0) }
    }

    /// What has to be routed to the host: for `withNetworkNamespace(routing:)`.
    public static let prefixes = ["192.0.2.0/24", "2001:db8::/64"]

    /// The family's routed prefix.
    public var prefix: IPPrefix { try! IPPrefix(Flow.prefixes[family == .ipv4 ? 0 : 1]) }

    /// The routed prefix as a pool.
    public var pool: PrefixPool { PrefixPool([prefix]) }

    /// Every address of the family.
    public var everywhere: IPPrefix { try! IPPrefix(family == .ipv4 ? "0.0.0.0/0" : "::/0") }

    /// A host of the routed prefix.
    public func host(_ number: UInt8, port: UInt16) -> SocketAddress {
        let base = prefix.first.bits | UInt128(number)
        return SocketAddress(family == .ipv4 ? IPAddress(ipv4: UInt32(base)) : IPAddress(ipv6: base), port: port)
    }

    /// The loopback address, on a port of the kernel's choice.
    public var loopback: SocketAddress {
        SocketAddress(family == .ipv4 ? IPAddress(ipv4: 0x7f00_0001) : IPAddress(ipv6: 1), port: 0)
    }

    /// Just this host as a prefix.
    public func only(_ number: UInt8) -> IPPrefix {
        IPPrefix(masking: host(number, port: 0).address, length: family.bitWidth)
    }

    /// The destination of a label's packets.
    public func destination(_ label: Label) -> Destination { Destination(label, family, transport) }

    /// A server on the loopback address.
    public func server() throws -> TestServer { try TestServer(transport, on: loopback) }

    /// A socket that listens, or receives, on the loopback address.
    public func socket() throws -> TestSocket { try TestSocket(transport, on: loopback) }

    public var testDescription: String { "\(transport)/\(family)" }
}

/// A listener or receiver that arrays can hold; closed when the last reference is gone.
public final class TestSocket: Sendable {
    public let transport: TransportProtocol
    public let socket: OwnedDescriptor

    public init(_ transport: TransportProtocol, on address: SocketAddress, _ options: SocketOptions = []) throws {
        self.transport = transport
        socket = transport == .tcp ? try .listener(on: address, options) : try .receiver(on: address, options)
    }

    public var descriptor: CInt { socket.rawValue }
    public var address: SocketAddress { get throws { try socket.localAddress() } }
    /// Closes the socket now: its number stays taken, by /dev/null.
    public func close() throws {
        let null = OwnedDescriptor(owning: open("/dev/null", O_RDONLY | O_CLOEXEC))
        try verify(dup2(null.rawValue, descriptor), is: descriptor, "dup2")
    }

    /// SO_COOKIE, as `SocketCookie.rawValue`.
    public var cookie: UInt64 { socketCookie(socket.rawValue) }
}

/// SO_COOKIE of a socket, 0 of anything else.
public func socketCookie(_ descriptor: CInt) -> UInt64 {
    var cookie: UInt64 = 0
    var size = socklen_t(MemoryLayout<UInt64>.size)
    getsockopt(descriptor, SOL_SOCKET, 57, &cookie, &size)
    return cookie
}

/// Which socket a packet came to.
public enum Delivery: Sendable, Equatable {
    /// The one at this index.
    case to(Int)
    case refused
    /// Neither an answer nor an arrival.
    case lost
}

extension Traffic {
    /// Opens a connection, or sends a datagram, and looks which of some sockets it reaches.
    public static func deliver(
        _ transport: TransportProtocol, to address: SocketAddress, from source: SocketAddress? = nil,
        among sockets: [TestSocket]
    ) throws -> Delivery {
        guard let client = try connect(transport, to: address, from: source) else { return .refused }
        if transport == .tcp {
            // A reset and no TIME_WAIT: thousands of these may follow each other.
            var reset = linger(l_onoff: 1, l_linger: 0)
            setsockopt(client.rawValue, SOL_SOCKET, SO_LINGER, &reset, socklen_t(MemoryLayout<linger>.size))
        } else {
            try send([7], on: client.rawValue)
        }
        var waiting = (sockets.map(\.descriptor) + [client.rawValue]).map {
            pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
        }
        guard Glibc.poll(&waiting, nfds_t(waiting.count), Patience.milliseconds) > 0 else { return .lost }
        guard let first = waiting.dropLast().firstIndex(where: { $0.revents & Int16(POLLIN) != 0 }) else {
            return pendingError(client.rawValue) == .refused ? .refused : .lost
        }
        if transport == .tcp {
            guard accept(on: sockets[first].descriptor) != nil else { return .lost }
        } else {
            var byte: UInt8 = 0
            recv(sockets[first].descriptor, &byte, 1, 0)
        }
        return .to(first)
    }
}

extension TestServer {
    /// Throws unless a client that asks this address is answered from there.
    public mutating func verifyAnswers(
        _ address: SocketAddress, from source: SocketAddress? = nil, by neighbour: Neighbour? = nil,
        file: StaticString = #fileID, line: UInt = #line
    ) throws {
        let reply = try exchange(with: address, from: source, by: neighbour)
        try verify(
            reply, is: .answered(Array("ping \(address)".utf8), from: address), "the reply of \(address)", file: file,
            line: line)
    }

    /// Throws unless a client that asks this address is refused.
    public mutating func verifyRefused(
        _ address: SocketAddress, from source: SocketAddress? = nil, by neighbour: Neighbour? = nil,
        file: StaticString = #fileID, line: UInt = #line
    ) throws {
        let reply = try exchange(with: address, from: source, by: neighbour)
        try verify(reply, is: .refused, "the reply of \(address)", file: file, line: line)
    }
}

/// Both ends of an established flow: a TCP connection, or two UDP sockets connected to each other.
public struct Conversation: ~Copyable {
    public let client: OwnedDescriptor
    public let server: OwnedDescriptor

    /// Opens one to an address; TCP is accepted by a listener there, UDP needs none.
    public init(_ transport: TransportProtocol, with address: SocketAddress, accepting listener: CInt? = nil) throws {
        guard let client = try Traffic.connect(transport, to: address) else {
            throw Unmet(description: "\(address) refused")
        }
        if transport == .tcp {
            guard let listener, let server = Traffic.accept(on: listener) else {
                throw Unmet(description: "nothing to accept for \(address)")
            }
            self.server = server
        } else {
            let peer = try client.localAddress()
            let server = try OwnedDescriptor.receiver(on: address, [.reuseAddress, .freeBind])
            try Traffic.connect(server.rawValue, to: peer)
            self.server = server
        }
        self.client = client
        Traffic.limit(server.rawValue)
    }

    /// Throws unless bytes go both ways.
    public func verifyGoesOn(_ when: String, file: StaticString = #fileID, line: UInt = #line) throws {
        try Traffic.send([1, 2], on: client.rawValue)
        guard case .answered([1, 2], _) = Traffic.receive(on: server) else {
            throw Unmet(description: "the server hears nothing \(when) (\(file):\(line))")
        }
        try Traffic.send([3], on: server.rawValue)
        guard case .answered([3], _) = Traffic.receive(on: client) else {
            throw Unmet(description: "the client hears nothing \(when) (\(file):\(line))")
        }
    }
}
