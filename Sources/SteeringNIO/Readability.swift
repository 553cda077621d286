import NIOCore
import NIOPosix
import Steering

/// Tells an event loop once, whenever it is asked to, that a socket has something to read. NIO's own loop cannot wait for
/// a descriptor that is not one of its channels'. Everything here is called on the loop.
///
/// The kernel counts in an eventfd, which is a channel of the loop, so that no thread runs in between. Where it does not
/// take that, Dispatch waits, and a datagram that finds the socket idle pays for two more wake-ups.
final class Readability {
    private let socket: SharedDescriptor
    private let loop: any EventLoop
    private let body: @Sendable () -> Void
    private var poll: AsynchronousPoll?
    private var counter: EventLoopFuture<any Channel>?
    private var dispatched: DispatchReadability?
    private var isWaiting = false
    private var isCancelled = false

    /// - Parameters:
    ///   - socket: Kept open until this is cancelled.
    ///   - loop: Where the closure is called.
    ///   - byDispatch: Whether Dispatch is to wait anyway.
    ///   - body: What to do once there is something.
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

    /// What is counted before the channel is there, waits for it.
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

    /// Tells once, as soon as there is something.
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

    /// Tells nothing any more, and lets go of the socket.
    func cancel() {
        guard !isCancelled else { return }
        isCancelled = true
        poll = nil
        counter?.whenSuccess { $0.close(promise: nil) }
        counter = nil
        dispatched?.cancel()
        dispatched = nil
    }

    /// Takes what was counted; how much does not matter.
    private final class Counter: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let isCounted: () -> Void
        init(_ isCounted: @escaping () -> Void) { self.isCounted = isCounted }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) { isCounted() }
    }
}
