import Foundation
import Glibc
import Steering

/// Delivers signals as bytes through a pipe, for use with `poll`.
final class SignalPipe {
    let readEnd: CInt

    /// Blocks the signals and starts a thread that waits for them.
    ///
    /// Call it before other threads exist, so that they inherit the signal mask.
    init(_ signals: [CInt]) {
        var ends: [CInt] = [0, 0]
        precondition(pipe(&ends) == 0, "no pipe")
        readEnd = ends[0]
        let writeEnd = ends[1]
        var awaited = sigset_t()
        sigemptyset(&awaited)
        for number in signals { sigaddset(&awaited, number) }
        pthread_sigmask(SIG_BLOCK, &awaited, nil)
        Thread.detachNewThread { [awaited] in
            var (awaited, number) = (awaited, CInt(0))
            while true {
                guard sigwait(&awaited, &number) == 0 else { continue }
                var byte = UInt8(number)
                _ = write(writeEnd, &byte, 1)
            }
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
    /// Whether accepting failed for lack of descriptors or memory.
    ///
    /// The client is still in the backlog, so polling the listener at once would be a busy loop.
    private var isFull = false

    private final class Connection {
        let socket: OwnedDescriptor
        var unsent: [UInt8] = []
        init(_ socket: consuming OwnedDescriptor) { self.socket = socket }
    }

    /// Binds the sockets to loopback addresses; steering does not depend on their addresses.
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
            var waiting = (sockets + [signals.readEnd]).map {
                pollfd(fd: $0, events: Int16(isFull && isListener($0) ? 0 : POLLIN), revents: 0)
            }
            waiting += connections.map { descriptor, connection in
                pollfd(fd: descriptor, events: Int16(connection.unsent.isEmpty ? POLLIN : POLLOUT), revents: 0)
            }
            let count = poll(&waiting, nfds_t(waiting.count), isFull ? 100 : -1)
            isFull = false
            guard count > 0 else { continue }
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

    private func isListener(_ descriptor: CInt) -> Bool {
        [listener4.rawValue, listener6.rawValue].contains(descriptor)
    }

    private mutating func accept(from listener: CInt) {
        let descriptor = Glibc.accept(listener, nil, nil)
        guard descriptor >= 0 else {
            isFull = [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(errno)
            return
        }
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        connections[descriptor] = Connection(OwnedDescriptor(owning: descriptor))
        accepted += 1
    }

    /// Echoes data on a connection.
    ///
    /// While data is unsent, reads no more from that client.
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

    /// Echoes the available datagrams, each from its original destination.
    private static func echo(on socket: inout AddressedUDPSocket) -> Int {
        guard let datagrams = try? socket.receive(upTo: 32) else { return 0 }
        // An error concerns one client only.
        for datagram in datagrams { _ = try? socket.reply(datagram.payload, to: datagram) }
        return datagrams.count
    }
}
