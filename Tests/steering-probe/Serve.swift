import Glibc
import Steering

/// Echoes TCP and UDP on the sockets that were passed, and on those that are written as for `hold`; for ever.
func serve(_ sockets: ArraySlice<String>) throws(SteeringError) {
    var held = try sockets.isEmpty ? ActivatedSockets.all().map(\.descriptor) : []
    for text in sockets {
        let parts = text.split(separator: "=")
        guard parts.count == 2, let address = try? SocketAddress(parts[1]) else { fail("usage", "no socket: \(text)") }
        held.append(
            try parts[0] == "tcp"
                ? OwnedDescriptor.listener(on: address, .reuseAddress).release()
                : OwnedDescriptor.receiver(on: address).release())
    }
    for descriptor in held {
        var kind: CInt = 0
        var size = socklen_t(MemoryLayout<CInt>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &kind, &size)
        let isTCP = kind == CInt(SOCK_STREAM.rawValue)
        inBackground { isTCP ? echoStreams(descriptor) : echoDatagrams(descriptor) }
    }
    print("serving")
    fflush(nil)
    while true { pause() }
}

private func echoDatagrams(_ descriptor: CInt) {
    guard var socket = try? AddressedUDPSocket(OwnedDescriptor(owning: descriptor)) else {
        fail("udp", "no socket for datagrams")
    }
    while true {
        guard let datagram = try? socket.receive() else { continue }
        do throws(SteeringError) { try socket.reply(datagram.payload, to: datagram) } catch {
            print("not sent: \(error.message)")
            fflush(nil)
        }
    }
}

private func echoStreams(_ descriptor: CInt) {
    while true {
        let connection = accept(descriptor, nil, nil)
        guard connection >= 0 else { continue }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = recv(connection, &bytes, bytes.count, 0)
        if count > 0 { send(connection, bytes, count, CInt(MSG_NOSIGNAL)) }
        close(connection)
    }
}

private func inBackground(_ body: @escaping @Sendable () -> Void) {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    pthread_create(
        &thread, nil,
        { argument in
            Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
            return nil
        }, Unmanaged.passRetained(Box(body)).toOpaque())
}
