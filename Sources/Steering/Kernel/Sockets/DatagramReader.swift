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
    /// - Parameter limit: How many at most; a train of datagrams counts as one.
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
            let whole = memory[start..<start + datagrams[index].size]
            // One datagram, also an empty one; or a train of them.
            let segment = datagrams[index].segment == 0 ? max(1, whole.count) : datagrams[index].segment
            for next in stride(from: start, through: max(start, whole.endIndex - 1), by: segment) {
                each(
                    UnsafeRawBufferPointer(rebasing: whole[next..<min(next + segment, whole.endIndex)]),
                    source.unmapped, destination.unmapped)
            }
        }
        return Int(received)
    }
}
