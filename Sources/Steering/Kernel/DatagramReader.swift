import CSteering
import Glibc

/// Room for datagrams of any size, and the call that fills it (recvmmsg).
struct DatagramReader: ~Copyable {
    /// How many datagrams one call takes at most.
    static let capacity = 32
    /// No datagram is longer.
    private static let slotSize = 65_536

    private let memory: UnsafeMutableRawBufferPointer
    private var datagrams = [csteering_datagram](repeating: csteering_datagram(), count: capacity)

    init() {
        // Pages that no datagram reached cost nothing.
        memory = .allocate(byteCount: Self.capacity * Self.slotSize, alignment: 16)
    }

    deinit { memory.deallocate() }

    /// Receives what is there, and lends each datagram with its source and its original destination.
    ///
    /// - Parameter limit: How many at most.
    /// - Returns: How many were received, also those that are not lent because the kernel does not tell their ends.
    ///   0 when a non-blocking socket has none.
    mutating func read(
        from socket: CInt, upTo limit: Int, _ each: (UnsafeRawBufferPointer, SocketAddress, SocketAddress) -> Void
    ) throws(SteeringError) -> Int {
        var received: CInt
        repeat {
            received = csteering_receive(
                socket, memory.baseAddress!, Self.slotSize, &datagrams, min(max(limit, 1), Self.capacity))
        } while received == -EINTR
        if received == -EAGAIN { return 0 }
        try call("recvmmsg", received)
        for index in 0..<Int(received) {
            guard let source = SocketAddress(datagrams[index].source),
                let destination = SocketAddress(datagrams[index].destination)
            else { continue }
            let start = index * Self.slotSize
            each(
                UnsafeRawBufferPointer(rebasing: memory[start..<start + datagrams[index].size]),
                source.unmapped, destination.unmapped)
        }
        return Int(received)
    }
}
