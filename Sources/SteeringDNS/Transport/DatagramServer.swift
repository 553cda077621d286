import AddressPools
import CSteeringDNS
import Glibc

/// Serves DNS over UDP from one socket, many queries per system call (recvmmsg, sendmmsg).
///
/// Answers leave from the address that the query was sent to, if the socket was made that way: see
/// ``ServerSocket/datagrams(on:fromAnyAddress:awaitingAddress:)``. Queries longer than
/// ``Responder/maximumDatagram``, which OPT announces, are not answered.
public struct DatagramServer: ~Copyable {
    private let batch: OpaquePointer
    private let socket: ServerSocket
    private var worker: ServerWorker
    /// The answer to each query of the batch, to be uncounted if it cannot be sent.
    private var given = [Responder.Answer?](repeating: nil, count: Int(Self.capacity))

    /// The largest number of queries per batch.
    private static let capacity: UInt32 = 64
    // Sizes are not powers of two, to avoid L1 set conflicts between buffers.
    private static let querySize = UInt32(Responder.maximumDatagram)
    private static let answerSize: UInt32 = 1_344
    /// 16,384 queries: more than the receive buffer holds (4 MiB, which the kernel doubles).
    private static let lastBatches = 256

    /// Makes a worker of a server that answers on a socket.
    ///
    /// - Parameters:
    ///   - socket: The UDP socket. It is closed with this value, or if this throws.
    ///   - server: The server to answer for.
    /// - Throws: ``ServerSocketError`` if there is no memory for the buffers.
    public init(_ socket: consuming ServerSocket, of server: NameServer) throws(ServerSocketError) {
        guard
            let batch = csdns_batch_create(
                socket.descriptor, Self.capacity, Self.querySize, Self.answerSize)
        else {
            throw ServerSocketError("there is no memory for a worker's buffers: use fewer workers")
        }
        self.batch = batch
        self.socket = socket
        worker = server.makeWorker()
    }

    deinit { csdns_batch_destroy(batch) }

    /// Answers queries on the calling thread until the server is stopped and the queries received by then are answered.
    ///
    /// - Parameter server: The server that this worker was made for.
    public mutating func run(_ server: NameServer) {
        while !server.isStopping {
            let count = csdns_receive(batch, socket.descriptor, 1)
            // No query for half a second, or an ICMP error for an earlier answer, which is ignored.
            if count > 0 { send(UInt32(count)) } else { worker.refresh() }
        }
        // Bounded, since more queries may arrive as long as there are clients.
        for _ in 0..<Self.lastBatches {
            let count = csdns_receive(batch, socket.descriptor, 0)
            guard count > 0 else { return }
            send(UInt32(count))
        }
    }

    private mutating func send(_ count: UInt32) {
        answer(count)
        let failed = csdns_send(batch, socket.descriptor)
        if failed > 0 { takeBack(failed) }
    }

    /// Uncounts answers that could not be sent: there is no route to the client, or the kernel rejects the source
    /// address.
    private mutating func takeBack(_ failed: UInt32) {
        let (batch, given) = (batch, given)
        worker.correct { served, counts in
            for number in 0..<failed {
                counts.takeBack(given[Int(csdns_failed(batch, number))], served)
            }
        }
    }

    private mutating func answer(_ count: UInt32) {
        let time = Responder.Time.now
        let queries = csdns_queries(batch), answers = csdns_answers(batch)
        let batch = batch
        // Swapped out, since a second owner would force a copy.
        var given: [Responder.Answer?] = []
        swap(&given, &self.given)
        defer { swap(&given, &self.given) }
        // A truncated query is passed as empty, and so counted as ignored.
        func query(_ index: UInt32) -> UnsafeBufferPointer<UInt8> {
            let length = csdns_query_length(batch, index)
            return UnsafeBufferPointer(
                start: queries + Int(index) * Int(Self.querySize), count: length <= Self.querySize ? Int(length) : 0)
        }
        worker.answer { responder, served, counts in
            responder.readAhead(Span(_unsafeElements: query(0)), served)
            for index in 0..<count {
                responder.advance()
                if index + 1 < count { responder.readAhead(Span(_unsafeElements: query(index + 1)), served) }
                var high: UInt64 = 0, low: UInt64 = 0
                let family = csdns_source(batch, index, &high, &low)
                given[Int(index)] = nil
                guard family != 0 else { continue }
                let client =
                    family == 4
                    ? IPAddress(ipv4: UInt32(truncatingIfNeeded: low))
                    : IPAddress(ipv6: UInt128(high) << 64 | UInt128(low))
                var buffer = MutableSpan(
                    _unsafeStart: answers + Int(index) * Int(Self.answerSize), count: Responder.maximumDatagram)
                let (size, answer) = responder.answer(
                    Span(_unsafeElements: query(index)), from: client, over: .udp, at: time, with: served,
                    counting: &counts, into: &buffer)
                given[Int(index)] = answer
                if size > 0 { csdns_answer(batch, index, UInt32(size)) }
            }
        }
    }
}

extension Responder.Time {
    /// The current time, by the coarse system clocks.
    public static var now: Responder.Time {
        var real = timespec(), monotonic = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &real)
        clock_gettime(CLOCK_MONOTONIC_COARSE, &monotonic)
        let milliseconds = monotonic.tv_sec * 1_000 + monotonic.tv_nsec / 1_000_000
        return Responder.Time(
            seconds: UInt32(truncatingIfNeeded: real.tv_sec), milliseconds: UInt32(truncatingIfNeeded: milliseconds))
    }
}
