import Dispatch
import Glibc
import Steering

/// Signals as a pipe that can be polled: a byte each.
final class SignalPipe {
    let readEnd: CInt
    private var sources: [any DispatchSourceSignal] = []

    init(_ signals: [CInt]) {
        var ends: [CInt] = [0, 0]
        precondition(pipe(&ends) == 0, "no pipe")
        readEnd = ends[0]
        let writeEnd = ends[1]
        for number in signals {
            signal(number, SIG_IGN)  // The source sees it all the same.
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { @Sendable in
                var byte = UInt8(number)
                _ = write(writeEnd, &byte, 1)
            }
            source.resume()
            sources.append(source)
        }
    }

    func next() -> CInt {
        var byte: UInt8 = 0
        return read(readEnd, &byte, 1) == 1 ? CInt(byte) : 0
    }
}

/// Two listeners, two UDP sockets and the accepted connections, on one thread.
struct EchoLoop: ~Copyable {
    private let signals: SignalPipe
    private let listener4: OwnedDescriptor
    private let listener6: OwnedDescriptor
    private var udp4: AddressedUDPSocket
    private var udp6: AddressedUDPSocket
    private var connections: [CInt: Connection] = [:]
    private var accepted = 0
    private var datagrams = 0

    private final class Connection {
        let socket: OwnedDescriptor
        var unsent: [UInt8] = []
        init(_ socket: consuming OwnedDescriptor) { self.socket = socket }
    }

    /// Where the sockets are bound does not matter: traffic is steered to them.
    init(_ signals: SignalPipe) throws {
        let loopback4 = SocketAddress(IPAddress(ipv4: 0x7f00_0001), port: 0)
        let loopback6 = SocketAddress(IPAddress(ipv6: 1), port: 0)
        let listener4 = try OwnedDescriptor.listener(on: loopback4, .nonblocking)
        let listener6 = try OwnedDescriptor.listener(on: loopback6, .nonblocking)
        let udp4 = try AddressedUDPSocket(.receiver(on: loopback4, .nonblocking))
        let udp6 = try AddressedUDPSocket(.receiver(on: loopback6, .nonblocking))
        self.signals = signals
        self.listener4 = listener4
        self.listener6 = listener6
        self.udp4 = udp4
        self.udp6 = udp6
    }

    /// The four sockets to register.
    var sockets: [CInt] { [listener4.rawValue, listener6.rawValue, udp4.receiver.rawValue, udp6.receiver.rawValue] }

    var summary: String { "echoed on \(accepted) connections and \(datagrams) datagrams" }

    /// Serves until a signal arrives, and returns it.
    mutating func run() -> CInt {
        while true {
            var waiting = (sockets + [signals.readEnd]).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            waiting += connections.map { descriptor, connection in
                pollfd(fd: descriptor, events: Int16(connection.unsent.isEmpty ? POLLIN : POLLOUT), revents: 0)
            }
            guard poll(&waiting, nfds_t(waiting.count), -1) > 0 else { continue }
            for ready in waiting where ready.revents != 0 {
                switch ready.fd {
                case signals.readEnd: return signals.next()
                case listener4.rawValue, listener6.rawValue: accept(from: ready.fd)
                case udp4.receiver.rawValue: datagrams += Self.echo(on: &udp4)
                case udp6.receiver.rawValue: datagrams += Self.echo(on: &udp6)
                default: echo(on: ready.fd)
                }
            }
        }
    }

    private mutating func accept(from listener: CInt) {
        let descriptor = Glibc.accept(listener, nil, nil)
        guard descriptor >= 0 else {
            // Others wait until a connection ends: that it cannot be accepted would be told again and again.
            if errno == EMFILE || errno == ENFILE { usleep(10_000) }
            return
        }
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        connections[descriptor] = Connection(OwnedDescriptor(owning: descriptor))
        accepted += 1
    }

    /// Sends back what a client sent, and reads no more from one that does not take it.
    private mutating func echo(on descriptor: CInt) {
        guard let connection = connections[descriptor] else { return }
        if connection.unsent.isEmpty {
            var buffer = [UInt8](repeating: 0, count: 16_384)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0, errno == EAGAIN { return }
            guard count > 0 else { return connections[descriptor] = nil }
            connection.unsent = Array(buffer[..<count])
        }
        let sent = send(descriptor, connection.unsent, connection.unsent.count, CInt(MSG_NOSIGNAL))
        guard sent >= 0 || errno == EAGAIN else { return connections[descriptor] = nil }
        connection.unsent.removeFirst(max(0, sent))
    }

    /// Answers what has come, from the address and port that each datagram was sent to.
    private static func echo(on socket: inout AddressedUDPSocket) -> Int {
        guard let datagrams = try? socket.receive(upTo: 32) else { return 0 }
        // A client that cannot be answered does not keep the others from it.
        for datagram in datagrams { _ = try? socket.reply(datagram.payload, to: datagram) }
        return datagrams.count
    }
}
