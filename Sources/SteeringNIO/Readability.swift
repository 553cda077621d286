import NIOCore
import NIOPosix
import Steering

/// Notifies an event loop when a socket is readable, once per call of ``wait()``.
///
/// NIO's selector cannot wait for descriptors other than those of its channels. Use it only on the event loop.
///
/// The kernel increments an eventfd, which is a channel of the loop, so no other thread is involved. If the kernel
/// rejects that, Dispatch waits for the socket, which adds two wake-ups for each datagram that arrives while the socket
/// is idle.
final class Readability {
    private let socket: SharedDescriptor
    private let loop: any EventLoop
    private let body: @Sendable () -> Void
    private var poll: AsynchronousPoll?
    private var counter: EventLoopFuture<any Channel>?
    private var dispatched: DispatchReadability?
    private var isWaiting = false
    private var isCancelled = false

    /// Creates an instance that does not wait yet.
    ///
    /// - Parameters:
    ///   - socket: The socket; kept open until ``cancel()``.
    ///   - loop: The event loop that runs the closure.
    ///   - byDispatch: Whether to use Dispatch in any case.
    ///   - body: The closure to run when the socket is readable.
    init(
        of socket: SharedDescriptor, on loop: any EventLoop, byDispatch: Bool,
        _ body: @escaping @Sendable () -> Void
    ) {
        self.socket = socket
        self.loop = loop
        self.body = body
        poll = byDispatch ? nil : AsynchronousPoll()
        counter = poll.flatMap { try? $0.duplicateCounter().release() }.map { openCounter($0) }
        if counter == nil { poll = nil }
    }

    /// Opens a channel for the eventfd, which keeps increments that happen before the channel is ready.
    private func openCounter(_ descriptor: CInt) -> EventLoopFuture<any Channel> {
        let bound = NIOLoopBound(self, eventLoop: loop)
        let channel = NIOPipeBootstrap(group: loop).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(Counter { bound.value.isReadable() })
            }
        }.takingOwnershipOfDescriptor(input: descriptor)
        channel.whenFailure { _ in bound.value.lacksCounter() }
        return channel
    }

    private func lacksCounter() {
        poll = nil
        counter = nil
        if isWaiting, !isCancelled { waitByDispatch() }
    }

    private func isReadable() {
        isWaiting = false
        if !isCancelled { body() }
    }

    /// Runs the closure once, when the socket is readable.
    func wait() {
        guard !isWaiting, !isCancelled else { return }
        isWaiting = true
        if poll?.waitOnce(for: socket.rawValue) != true { waitByDispatch() }
    }

    private func waitByDispatch() {
        if dispatched == nil {
            let bound = NIOLoopBound(self, eventLoop: loop)
            dispatched = DispatchReadability(of: socket, on: loop) { bound.value.isReadable() }
        }
        dispatched?.wait()
    }

    /// Cancels any wait and releases the socket.
    func cancel() {
        guard !isCancelled else { return }
        isCancelled = true
        poll = nil
        counter?.whenSuccess { $0.close(promise: nil) }
        counter = nil
        dispatched?.cancel()
        dispatched = nil
    }

    /// Reads the eventfd; the count does not matter.
    private final class Counter: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let isCounted: () -> Void
        init(_ isCounted: @escaping () -> Void) { self.isCounted = isCounted }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) { isCounted() }
    }
}
