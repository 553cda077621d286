import Glibc
import Steering

/// What became of a client's attempt.
public enum Reply: Sendable, Equatable {
    /// Bytes came back, from this address.
    case answered([UInt8], from: SocketAddress)
    case refused
    /// Nothing for as long as tests wait.
    case silence
}

/// Clients and servers on plain sockets, blocking, for as long as tests wait.
public enum Traffic {
    /// Connects; nil when refused.
    public static func connect(
        _ transport: TransportProtocol, to address: SocketAddress, from source: SocketAddress? = nil
    ) throws -> OwnedDescriptor? {
        let family = address.address.family == .ipv4 ? AF_INET : AF_INET6
        let kind = transport == .tcp ? SOCK_STREAM : SOCK_DGRAM
        let made = socket(family, CInt(kind.rawValue | SOCK_CLOEXEC.rawValue), 0)
        try verify(made >= 0, "socket: \(errno)")
        let client = OwnedDescriptor(owning: made)
        limit(client.rawValue)
        if let source {
            try bind(made, to: source)
        }
        do {
            try connect(made, to: address)
            return client
        } catch let error as SteeringError where error.cause == .systemCall("connect", errno: ECONNREFUSED) {
            return nil
        }
    }

    /// Connects a socket that exists.
    public static func connect(_ descriptor: CInt, to address: SocketAddress) throws {
        try address.pass(to: "connect") { Glibc.connect(descriptor, $0, $1) }
    }

    /// Binds a socket that exists.
    public static func bind(_ descriptor: CInt, to address: SocketAddress) throws {
        try address.pass(to: "bind") { Glibc.bind(descriptor, $0, $1) }
    }

    /// Limits blocking calls.
    public static func limit(_ descriptor: CInt) {
        var limit = timeval(tv_sec: Patience.seconds, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    public static func send(_ bytes: [UInt8], on descriptor: CInt) throws {
        try verify(Glibc.send(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL)), is: bytes.count, "sent bytes")
    }

    /// Receives on a connected socket.
    public static func receive(on socket: borrowing OwnedDescriptor) -> Reply {
        var buffer = [UInt8](repeating: 0, count: 2048)
        let count = recv(socket.rawValue, &buffer, buffer.count, 0)
        if count < 0 { return errno == ECONNREFUSED ? .refused : .silence }
        guard let peer = try? socket.peerAddress() else { return .silence }
        return .answered(Array(buffer[..<count]), from: peer)
    }

    /// Accepts a connection.
    public static func accept(on listener: CInt) -> OwnedDescriptor? {
        limit(listener)
        let accepted = Glibc.accept(listener, nil, nil)
        return accepted < 0 ? nil : OwnedDescriptor(owning: accepted)
    }
}

/// A server socket of either protocol, driven by the test's own thread.
public struct TestServer: ~Copyable {
    public let transport: TransportProtocol
    public var socket: AddressedUDPSocket

    public init(_ transport: TransportProtocol, on address: SocketAddress, _ options: SocketOptions = []) throws {
        self.transport = transport
        let made =
            transport == .tcp ? try OwnedDescriptor.listener(on: address, options) : try .receiver(on: address, options)
        Traffic.limit(made.rawValue)
        socket = try AddressedUDPSocket(made)
    }

    public var descriptor: CInt { socket.receiver.rawValue }
    public var address: SocketAddress { get throws { try socket.receiver.localAddress() } }

    /// Plays a whole exchange with a client: it asks `address` with some bytes, this server answers with
    /// the same. The result is what the client saw.
    ///
    /// - Parameter neighbour: Where the client is; nil: here.
    public mutating func exchange(
        with address: SocketAddress, from source: SocketAddress? = nil, by neighbour: Neighbour? = nil
    ) throws -> Reply {
        let bytes = Array("ping \(address)".utf8)
        let connected: OwnedDescriptor?
        if let neighbour {
            connected = try neighbour.connect(transport, to: address)
        } else {
            connected = try Traffic.connect(transport, to: address, from: source)
        }
        guard let client = connected else { return .refused }
        try Traffic.send(bytes, on: client.rawValue)
        switch transport {
        case .tcp:
            guard let connection = Traffic.accept(on: descriptor) else { return .silence }
            try verify(try connection.localAddress(), is: address, "the accepted connection's local address")
            guard case .answered(let heard, _) = Traffic.receive(on: connection) else { return .silence }
            try Traffic.send(heard, on: connection.rawValue)
        case .udp:
            // A refusal reaches the client as an ICMP error; the server hears nothing then.
            Traffic.poll(client.rawValue, descriptor)
            if case .refused = Traffic.pendingError(client.rawValue) { return .refused }
            guard let datagram = try? socket.receive() else { return .silence }
            try verify(datagram.destination, is: address, "the datagram's original destination")
            try socket.reply(datagram.payload, to: datagram)
        }
        return Traffic.receive(on: client)
    }
}

extension Traffic {
    /// Accepts a connection; nil when a client has ended instead.
    public static func accept(on listener: CInt, orEndOf client: CInt) -> OwnedDescriptor? {
        var waiting = [listener, client].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        Glibc.poll(&waiting, 2, Patience.milliseconds)
        return waiting[0].revents == 0 ? nil : accept(on: listener)
    }

    /// Waits until one of two sockets has something.
    static func poll(_ one: CInt, _ other: CInt) {
        var waiting = [one, other].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        Glibc.poll(&waiting, 2, Patience.milliseconds)
    }

    static func pendingError(_ descriptor: CInt) -> Reply {
        var error: CInt = 0
        var size = socklen_t(MemoryLayout<CInt>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size)
        return error == ECONNREFUSED ? .refused : .silence
    }
}
