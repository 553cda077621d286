import CSteering
import Glibc

/// A buffer for datagrams of any size, and the call that fills it (recvmmsg).
struct DatagramReader: ~Copyable {
    /// The maximum number of messages per call.
    static let capacity = 32
    /// The maximum size of a datagram, in bytes.
    private static let slotSize = 65_536

    private let memory: UnsafeMutableRawBufferPointer
    private var datagrams = [csteering_datagram](repeating: csteering_datagram(), count: capacity)

    init() {
        // Pages that no datagram reaches are never allocated.
        memory = .allocate(byteCount: Self.capacity * Self.slotSize, alignment: 16)
    }

    deinit { memory.deallocate() }

    /// Receives the available datagrams, and lends each with its source and its original destination.
    ///
    /// - Parameter limit: The maximum number of messages; coalesced datagrams count as one.
    /// - Returns: The number of messages received, including those whose ends the kernel does not report, which are not
    ///   lent. 0 if a nonblocking socket has none.
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
            // One datagram, possibly empty, or several that the kernel coalesced.
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
