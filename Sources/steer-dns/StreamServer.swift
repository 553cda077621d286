import AddressPools
import NIOCore
import NIOPosix
import SteeringDNS

/// DNS over TCP (RFC 7766): any number of length-prefixed messages per connection, answered in order.
struct StreamServer {
    private let group: MultiThreadedEventLoopGroup
    private let connections: NIOLoopBound<StreamConnections>
    private var listeners: [any Channel] = []
    private let sweep: RepeatedTask

    /// Takes over listening sockets. All connections share the group's only event loop.
    init(
        _ server: NameServer, _ group: MultiThreadedEventLoopGroup, listeners descriptors: [CInt],
        _ limits: StreamLimits
    ) throws {
        self.group = group
        let loop = group.next()
        let connections = try loop.submit {
            NIOLoopBound(StreamConnections(server.makeWorker(), limits), eventLoop: loop)
        }.wait()
        self.connections = connections
        sweep = loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
            connections.value.sweep()
        }
        for descriptor in descriptors {
            listeners.append(
                try ServerBootstrap(group: group)
                    .serverChannelOption(.backlog, value: 4_096)
                    .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                    // Backpressure: nothing is read from a client that does not read its answers. Reads are small,
                    // since their data is kept until it is answered.
                    .childChannelOption(.writeBufferWaterMark, value: .init(low: 2_048, high: 8_192))
                    .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 2_048))
                    .childChannelOption(.maxMessagesPerRead, value: 1)
                    // A client that has sent all its queries may say so and wait for the answers.
                    .childChannelOption(.allowRemoteHalfClosure, value: true)
                    .childChannelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHandler(StreamHandler(connections.value))
                        }
                    }
                    .withBoundSocket(descriptor).wait())
        }
    }

    /// Accepts no more connections. Existing ones end with their event loop.
    func close() {
        sweep.cancel()
        for listener in listeners { try? listener.close().wait() }
    }
}

/// The limits on connections.
struct StreamLimits {
    /// The maximum number of connections.
    var connections = 1_024
    /// The maximum number of connections per client.
    var perClient = 64
    /// The time in seconds that a connection may be idle (RFC 7766, section 6.2.3: on the order of seconds).
    var idle = 15
}

/// The connections of an event loop.
///
/// A connection that completes no message for a while, or does not read its answers, is closed. When a limit is
/// reached, the connection that has been idle for longest is closed, of the client or of all, so that idle clients
/// cannot keep others out.
final class StreamConnections {
    fileprivate var worker: ServerWorker
    private var handlers: [ObjectIdentifier: StreamHandler] = [:]
    private var byClient: [IPPrefix: [StreamHandler]] = [:]

    private let capacity: Int
    private let capacityPerClient: Int
    /// The number of idle sweeps after which a connection is closed. Sweeps instead of seconds: a process that was
    /// stopped, or whose machine was, could otherwise close connections before it reads what has arrived.
    private let patience: Int
    /// The same while more than half of all connections are in use.
    private let impatience: Int

    init(_ worker: consuming ServerWorker, _ limits: StreamLimits) {
        self.worker = worker
        capacity = limits.connections
        capacityPerClient = limits.perClient
        patience = limits.idle
        impatience = min(patience, 3)
    }

    fileprivate func add(_ handler: StreamHandler, of client: IPAddress) {
        let network = Self.network(of: client)
        if byClient[network, default: []].count >= capacityPerClient {
            closeStillest(of: byClient[network]!)
        } else if handlers.count >= capacity {
            closeStillest(of: handlers.values)
        }
        handlers[ObjectIdentifier(handler)] = handler
        byClient[network, default: []].append(handler)
    }

    fileprivate func remove(_ handler: StreamHandler, of client: IPAddress) {
        guard handlers.removeValue(forKey: ObjectIdentifier(handler)) != nil else { return }
        let network = Self.network(of: client)
        byClient[network]?.removeAll { $0 === handler }
        if byClient[network]?.isEmpty == true { byClient[network] = nil }
    }

    private func closeStillest(of some: some Sequence<StreamHandler>) {
        some.min { $0.lastProgress < $1.lastProgress }?.close()
    }

    /// The client that an address counts for: an IPv4 address, or an IPv6 /56, which a site typically has.
    private static func network(of client: IPAddress) -> IPPrefix {
        IPPrefix(masking: client, length: client.family == .ipv4 ? 32 : 56)
    }

    /// Runs every second.
    fileprivate func sweep() {
        let patience = handlers.count > capacity / 2 ? impatience : patience
        for handler in handlers.values {
            handler.sweepsSinceProgress += 1
            if handler.sweepsSinceProgress > patience { handler.close() }
        }
        // So that an idle server releases a replaced policy.
        worker.refresh()
    }
}

private final class StreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let connections: StreamConnections
    private var context: ChannelHandlerContext?
    private var client: IPAddress?
    /// The received bytes, up to an incomplete message.
    private var pending = MessageFraming()
    /// The time of the last complete message, taken while the channel was writable.
    private(set) var lastProgress = NIODeadline.now() {
        didSet { sweepsSinceProgress = 0 }
    }
    fileprivate(set) var sweepsSinceProgress = 0
    /// Whether the client has sent all that it will, and whether something that is no query has ended the connection.
    private var hasAll = false, isRefused = false

    private static let longestQuery = 16_384

    init(_ connections: StreamConnections) { self.connections = connections }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        client = context.remoteAddress.flatMap(IPAddress.init)
        guard let client else { return context.close(promise: nil) }
        connections.add(self, of: client)
    }

    func channelInactive(context: ChannelHandlerContext) {
        if let client { connections.remove(self, of: client) }
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isRefused else { return }
        pending.append(unwrapInboundIn(data).readableBytesView)
        answer(context)
        // No real query is that long, and an incomplete message is kept in memory.
        if context.channel.isWritable, pending.count > Self.longestQuery { refuse(context) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .inputClosed? = event as? ChannelEvent else { return context.fireUserInboundEventTriggered(event) }
        hasAll = true
        endIfAnswered(context)
    }

    /// Answers complete messages while the channel is writable: the answers to one read may be many times its size.
    private func answer(_ context: ChannelHandlerContext) {
        while context.channel.isWritable, !isRefused, let message = pending.next() {
            lastProgress = .now()
            let answer = connections.worker.answer(message, from: client!, at: .now)
            // Messages that are not queries get no answer, and end the connection.
            guard !answer.isEmpty else { return refuse(context) }
            var buffer = context.channel.allocator.buffer(capacity: 2 + answer.count)
            buffer.writeInteger(UInt16(answer.count))
            buffer.writeBytes(answer)
            context.write(wrapOutboundOut(buffer), promise: nil)
        }
    }

    /// Reads no further messages, and closes the connection after the answers to earlier ones. It stays open for input
    /// until the client closes it: closing it with input that was not read would make the kernel discard the answers.
    private func refuse(_ context: ChannelHandlerContext) {
        isRefused = true
        pending = MessageFraming()
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in
            channel.close(mode: .output, promise: nil)
        }
        if hasAll { endIfAnswered(context) }
    }

    /// Closes the connection after the answers if the client has sent all its messages and each is answered.
    private func endIfAnswered(_ context: ChannelHandlerContext) {
        // While the channel is not writable, complete messages may wait.
        guard hasAll, context.channel.isWritable else { return }
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in channel.close(promise: nil) }
    }

    func channelReadComplete(context: ChannelHandlerContext) { context.flush() }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        context.channel.setOption(.autoRead, value: context.channel.isWritable).whenFailure { _ in }
        if context.channel.isWritable {
            answer(context)
            context.flush()
            endIfAnswered(context)
        }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func close() { context?.close(promise: nil) }
}

extension IPAddress {
    fileprivate init?(_ address: NIOCore.SocketAddress) {
        guard let text = address.ipAddress, let parsed = try? IPAddress(text) else { return nil }
        self = parsed.unmapped
    }
}
