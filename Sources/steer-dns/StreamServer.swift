import AddressPools
import NIOCore
import NIOPosix
import SteeringDNS

/// DNS over TCP (RFC 7766): messages behind their lengths, as many as a client sends, answered in their order.
struct StreamServer {
    private let group: MultiThreadedEventLoopGroup
    private let connections: NIOLoopBound<StreamConnections>
    private var listeners: [any Channel] = []
    private let sweep: RepeatedTask

    /// Takes over listening sockets; all connections share the group's one loop.
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
                    // A client that does not read its answers is not read from; and little is read at once, since
                    // what was read is kept until it is answered.
                    .childChannelOption(.writeBufferWaterMark, value: .init(low: 2_048, high: 8_192))
                    .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 2_048))
                    .childChannelOption(.maxMessagesPerRead, value: 1)
                    .childChannelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHandler(StreamHandler(connections.value))
                        }
                    }
                    .withBoundSocket(descriptor).wait())
        }
    }

    /// Takes no more connections; those that are there end with their event loop.
    func close() {
        sweep.cancel()
        for listener in listeners { try? listener.close().wait() }
    }
}

/// What connections may take up.
struct StreamLimits {
    /// How many there may be.
    var connections = 1_024
    /// How many of them a client may have.
    var perClient = 64
    /// How long one may be still (RFC 7766, section 6.2.3, speaks of seconds).
    var idle = 15
}

/// The connections of an event loop.
///
/// None keeps its place for long: one that sends no whole message for a while, or does not read its answers, is closed;
/// and when all places are taken, those of a client or all, the one of them that has been still for longest goes, so that
/// many who are silent do not keep out others.
final class StreamConnections {
    fileprivate var worker: ServerWorker
    private var handlers: [ObjectIdentifier: StreamHandler] = [:]
    private var byClient: [IPPrefix: [StreamHandler]] = [:]

    private let capacity: Int
    private let capacityPerClient: Int
    /// How many sweeps a connection may be still; sweeps and not seconds, of which a process that is stopped, or whose
    /// machine is, would lose some before it could read what had come.
    private let patience: Int
    /// With most places taken.
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

    /// What is one client: an address of IPv4; of IPv6 the addresses that a site has.
    private static func network(of client: IPAddress) -> IPPrefix {
        IPPrefix(masking: client, length: client.family == .ipv4 ? 32 : 56)
    }

    /// Every second.
    fileprivate func sweep() {
        let patience = handlers.count > capacity / 2 ? impatience : patience
        for handler in handlers.values {
            handler.sweepsSinceProgress += 1
            if handler.sweepsSinceProgress > patience { handler.close() }
        }
        // So that an idle server does not keep what it no longer serves.
        worker.refresh()
    }
}

private final class StreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let connections: StreamConnections
    private var context: ChannelHandlerContext?
    private var client: IPAddress?
    /// What came, up to a message that is not whole yet.
    private var pending = MessageFraming()
    /// When the last message was whole, with nothing in the way of answers.
    private(set) var lastProgress = NIODeadline.now() {
        didSet { sweepsSinceProgress = 0 }
    }
    fileprivate(set) var sweepsSinceProgress = 0

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
        pending.append(unwrapInboundIn(data).readableBytesView)
        answer(context)
        // No query is that long, and whoever sends one in pieces would have all of it kept.
        if context.channel.isWritable, pending.count > Self.longestQuery { context.close(promise: nil) }
    }

    /// Answers what came, as long as answers are taken: one read may hold queries for many times its size.
    private func answer(_ context: ChannelHandlerContext) {
        while context.channel.isWritable, let message = pending.next() {
            lastProgress = .now()
            let answer = connections.worker.answer(message, from: client!, at: .now)
            // What is no query is not answered, and who sends it has no use for the connection.
            guard !answer.isEmpty else { return context.close(promise: nil) }
            var buffer = context.channel.allocator.buffer(capacity: 2 + answer.count)
            buffer.writeInteger(UInt16(answer.count))
            buffer.writeBytes(answer)
            context.write(wrapOutboundOut(buffer), promise: nil)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) { context.flush() }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        context.channel.setOption(.autoRead, value: context.channel.isWritable).whenFailure { _ in }
        if context.channel.isWritable {
            answer(context)
            context.flush()
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
