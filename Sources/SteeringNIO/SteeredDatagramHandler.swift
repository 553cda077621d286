public import NIOCore
import Steering

/// Makes a datagram channel answer for many addresses and ports: it delivers each datagram as a ``SteeredDatagram``,
/// with the address and port that the client sent to, and sends those that are written from exactly there.
///
///     let channel = try await DatagramBootstrap(group: group)
///         .channelInitializer { channel in
///             channel.eventLoop.makeCompletedFuture {
///                 try channel.pipeline.syncOperations.addHandlers(SteeredDatagramHandler(), Answers())
///             }
///         }
///         .bind(host: "127.0.0.1", port: 0).get()
///     try await steering.sockets.register(channel, as: "dns")
///
/// It must be the first handler of the pipeline, and one is for one channel. Reading keeps to the channel's `autoRead` and
/// `read()`, so back pressure works, also that of `NIOAsyncChannel<SteeredDatagram, SteeredDatagram>`.
///
/// For every port that is answered from, other than the channel's own, there is a sender socket; they are bounded in
/// number, the least recently used go first.
///
/// ## Why it reads and writes itself
/// NIO 2.101 gives a datagram's destination without the port (`NIOPacketInfo`), and cannot send from a chosen address: it
/// ignores the packet information of an envelope that is written. So this handler keeps a duplicate of the channel's
/// socket, has the kernel tell the event loop when something comes, and calls recvmmsg and sendmsg. The channel's options for
/// reading (`datagramVectorReadMessageCount`, `recvAllocator` ...) do not matter. Once NIO parses IP_ORIGDSTADDR and
/// writes IP_PKTINFO, what is left of this is to choose the sender socket.
///
/// ## Kernel
/// As `AddressedUDPSocket`: `IP_RECVORIGDSTADDR`, `IP_PKTINFO`, `recvmmsg`. Addresses must be routed to this host.
public final class SteeredDatagramHandler: ChannelDuplexHandler {
    /// Nothing: NIO itself does not read.
    public typealias InboundIn = Never
    /// What came.
    public typealias InboundOut = SteeredDatagram
    /// What is to be sent.
    public typealias OutboundIn = SteeredDatagram
    /// Nothing: NIO itself does not write.
    public typealias OutboundOut = Never

    private enum State {
        /// Not bound yet; whether something asked to read.
        case inactive(wantsRead: Bool)
        case active(Active)
        case closed
    }

    private final class Active {
        let context: ChannelHandlerContext
        var socket: AddressedUDPSocket
        let readability: Readability
        /// Whether a read was asked for and not satisfied yet.
        var isReading = false
        /// Whether the last attempt found something: then the next is made without waiting.
        var isBusy = false

        init(_ context: ChannelHandlerContext, _ socket: consuming AddressedUDPSocket, _ readability: Readability) {
            self.context = context
            self.socket = socket
            self.readability = readability
        }
    }

    private let maximumSenders: Int
    private let coalescing: Bool
    private let waitsByDispatch: Bool
    private var state = State.inactive(wantsRead: false)

    /// Makes a handler.
    ///
    /// - Parameters:
    ///   - maximumSenders: How many sender sockets may be open at a time: a descriptor each, and no more than a quarter of
    ///     what the process may have open (RLIMIT_NOFILE).
    ///   - coalescing: Whether the kernel may hand over several datagrams of the same ends and size in one piece; each is
    ///     still read by itself. For much of the same flow; others pay a little for it.
    public convenience init(maximumSenders: Int = 1024, coalescing: Bool = false) {
        self.init(maximumSenders: maximumSenders, coalescing: coalescing, waitsByDispatch: false)
    }

    /// For tests: as where the kernel has nothing better.
    package init(maximumSenders: Int = 1024, coalescing: Bool = false, waitsByDispatch: Bool) {
        self.maximumSenders = maximumSenders
        self.coalescing = coalescing
        self.waitsByDispatch = waitsByDispatch
    }

    // MARK: - The channel's life

    /// Begins, where the channel is bound already.
    public func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { activate(context) }
    }

    /// Begins.
    public func channelActive(context: ChannelHandlerContext) {
        activate(context)
        context.fireChannelActive()
    }

    /// Closes the sender sockets and the duplicate.
    public func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    /// Closes the sender sockets and the duplicate.
    public func handlerRemoved(context: ChannelHandlerContext) { end() }

    private func activate(_ context: ChannelHandlerContext) {
        guard case .inactive(let wantsRead) = state else { return }
        do {
            let shared = try context.channel.syncDuplicateSocket()
            let socket = try AddressedUDPSocket(
                .duplicate(shared.rawValue), senders: maximumSenders, coalescing: coalescing)
            let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
            let readability = Readability(of: shared, on: context.eventLoop, byDispatch: waitsByDispatch) {
                bound.value.receive()
            }
            let active = Active(context, socket, readability)
            state = .active(active)
            if wantsRead { wait(active) }
        } catch {
            state = .closed
            context.fireErrorCaught(error)
            context.close(promise: nil)
        }
    }

    private func end() {
        if case .active(let active) = state { active.readability.cancel() }
        state = .closed
    }

    // MARK: - Reading

    /// Asks for datagrams. NIO does not hear of it: it would read them without their destinations.
    public func read(context: ChannelHandlerContext) {
        switch state {
        case .inactive: state = .inactive(wantsRead: true)
        case .active(let active): wait(active)
        case .closed: break
        }
    }

    private func wait(_ active: Active) {
        guard !active.isReading else { return }
        active.isReading = true
        guard active.isBusy else { return active.readability.wait() }
        // While datagrams come, nobody has to tell; other channels of this loop have their turn between.
        let bound = NIOLoopBound(self, eventLoop: active.context.eventLoop)
        active.context.eventLoop.execute { bound.value.receive() }
    }

    private func receive() {
        guard case .active(let active) = state, active.isReading else { return }
        var datagrams: [SteeredDatagram] = []
        do {
            _ = try active.socket.receive(upTo: 32) { bytes, source, destination in
                datagrams.append(SteeredDatagram(ByteBuffer(bytes: bytes), local: destination, remote: source))
            }
        } catch {
            // An ICMP error that an answer provoked: one client is gone, the others are not.
        }
        active.isBusy = !datagrams.isEmpty
        guard active.isBusy else { return active.readability.wait() }
        active.isReading = false
        for datagram in datagrams { active.context.fireChannelRead(wrapInboundOut(datagram)) }
        active.context.fireChannelReadComplete()
        // As NIO does; through the whole pipeline, whose handlers may hold it back.
        if case .active = state, autoRead(active.context) { active.context.pipeline.syncOperations.read() }
    }

    private func autoRead(_ context: ChannelHandlerContext) -> Bool {
        (try? context.channel.syncOptions?.getOption(.autoRead)) ?? true
    }

    // MARK: - Writing

    /// Sends at once; there is nothing to flush.
    ///
    /// The promise fails with `SteeringError`: `addressUnavailable` when the local address is none of this host,
    /// `systemCall` otherwise, also when a send buffer is full and the datagram, or one of several, is dropped, as the
    /// network might.
    public func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let datagram = unwrapOutboundIn(data)
        guard case .active(let active) = state else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        do {
            let bytes = datagram.payload.readableBytesView
            let isSent =
                if let size = datagram.segmentSize, size > 0 {
                    try active.socket.send(bytes, inDatagramsOf: size, from: datagram.local, to: datagram.remote)
                } else {
                    try active.socket.send(bytes, from: datagram.local, to: datagram.remote)
                }
            guard isSent else {
                throw SteeringError(
                    .systemCall, "the datagram to \(datagram.remote) was dropped: the send buffer is full")
            }
            promise?.succeed()
        } catch {
            promise?.fail(error)
        }
    }
}

@available(*, unavailable)
extension SteeredDatagramHandler: Sendable {}
