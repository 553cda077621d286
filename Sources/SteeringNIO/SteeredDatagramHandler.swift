public import NIOCore
import Steering

/// A handler that lets one datagram channel serve many addresses and ports.
///
/// Inbound, it delivers each datagram as a ``SteeredDatagram`` with its original destination; outbound, it sends from
/// exactly the local address and port given.
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
/// It must be the first handler of the pipeline, and each channel needs its own. It honors the channel's `autoRead` and
/// `read()`, so back pressure works, including that of `NIOAsyncChannel<SteeredDatagram, SteeredDatagram>`.
///
/// Sending from a port other than the channel's own needs a sender socket, opened on demand. Their number is limited;
/// the least recently used one is closed first.
///
/// ## Why it bypasses NIO's reads and writes
/// NIO 2.101 provides a datagram's destination without the port (`NIOPacketInfo`), and cannot send from a chosen
/// address: it ignores the packet information of outbound envelopes. So this handler keeps a duplicate of the channel's
/// socket, has the kernel notify the event loop when it is readable, and calls recvmmsg and sendmsg. The channel's read
/// options (`datagramVectorReadMessageCount`, `recvAllocator` ...) have no effect. Once NIO parses IP_ORIGDSTADDR and
/// writes IP_PKTINFO, this handler only needs to choose the sender socket.
///
/// ## Kernel
/// As `AddressedUDPSocket`: `IP_RECVORIGDSTADDR`, `IP_PKTINFO`, `recvmmsg`. The addresses must be routed to this host.
public final class SteeredDatagramHandler: ChannelDuplexHandler {
    /// `Never`: NIO itself does not read.
    public typealias InboundIn = Never
    /// Received datagrams.
    public typealias InboundOut = SteeredDatagram
    /// Datagrams to send.
    public typealias OutboundIn = SteeredDatagram
    /// `Never`: NIO itself does not write.
    public typealias OutboundOut = Never

    private enum State {
        /// Not bound yet; `wantsRead` is whether a read is pending.
        case inactive(wantsRead: Bool)
        case active(Active)
        case closed
    }

    private final class Active {
        let context: ChannelHandlerContext
        var socket: AddressedUDPSocket
        let readability: Readability
        /// Whether a read is pending.
        var isReading = false
        /// Whether the last receive found datagrams; the next one does not wait for readability then.
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

    /// Creates a handler.
    ///
    /// - Parameters:
    ///   - maximumSenders: The maximum number of open sender sockets, each with a descriptor. Also limited to a quarter
    ///     of RLIMIT_NOFILE.
    ///   - coalescing: Whether the kernel may coalesce datagrams of the same size between the same ends (UDP_GRO). They
    ///     are still delivered one by one. It pays for few, busy flows; other datagrams become slightly more expensive.
    public convenience init(maximumSenders: Int = 1024, coalescing: Bool = false) {
        self.init(maximumSenders: maximumSenders, coalescing: coalescing, waitsByDispatch: false)
    }

    /// For tests: `waitsByDispatch` forces the fallback to Dispatch.
    package init(maximumSenders: Int = 1024, coalescing: Bool = false, waitsByDispatch: Bool) {
        self.maximumSenders = maximumSenders
        self.coalescing = coalescing
        self.waitsByDispatch = waitsByDispatch
    }

    // MARK: - Channel lifecycle

    /// Starts receiving if the channel is already active.
    public func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { activate(context) }
    }

    /// Starts receiving, and forwards the event.
    public func channelActive(context: ChannelHandlerContext) {
        activate(context)
        context.fireChannelActive()
    }

    /// Closes the sender sockets and the duplicate, and forwards the event.
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

    /// Requests datagrams.
    ///
    /// Not forwarded, since NIO would read them without their original destinations.
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
        // While datagrams keep arriving, receive again without waiting, after other channels of the loop had their
        // turn.
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
            // An ICMP error in response to a reply: it concerns one client, not the socket.
        }
        active.isBusy = !datagrams.isEmpty
        guard active.isBusy else { return active.readability.wait() }
        active.isReading = false
        for datagram in datagrams { active.context.fireChannelRead(wrapInboundOut(datagram)) }
        active.context.fireChannelReadComplete()
        // Auto-read as in NIO: through the whole pipeline, since a handler may hold reads back.
        if case .active = state, autoRead(active.context) { active.context.pipeline.syncOperations.read() }
    }

    private func autoRead(_ context: ChannelHandlerContext) -> Bool {
        (try? context.channel.syncOptions?.getOption(.autoRead)) ?? true
    }

    // MARK: - Writing

    /// Sends immediately; there is nothing to flush.
    ///
    /// The promise fails with a `SteeringError`: `addressUnavailable` if the local address is not one of this host,
    /// otherwise `systemCall`, including when the send buffer is full and the datagram, or one of several, is dropped.
    /// If the channel is not active, it fails with `ChannelError.ioOnClosedChannel`.
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
