import AddressPools
import NIOCore
import NIOHTTP1
import NIOPosix

/// Serves counters over HTTP, as Prometheus reads them: GET and HEAD of /metrics, nothing else.
///
/// It has an event loop of its own, and a bounded number of connections: when all places are taken the oldest goes, and no
/// request may take long, so that those who are silent keep out nobody.
public final class MetricsListener: Sendable {
    /// What is served.
    public enum Page: Sendable {
        /// The counters.
        case counters(String)
        /// Why there are none: one sentence.
        case unavailable(String)
    }

    /// How many connections there may be at a time, and with them descriptors.
    public static let places = 64

    /// Where it listens.
    public let address: AddressPools.SocketAddress
    private let group: MultiThreadedEventLoopGroup
    private let channel: any Channel

    /// Listens.
    ///
    /// - Parameters:
    ///   - address: Where; port 0 for a free one.
    ///   - page: Asked on the event loop for each request.
    /// - Throws: What binding throws.
    public init(on address: AddressPools.SocketAddress, _ page: @escaping @Sendable () -> Page) throws {
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        do {
            let open = try loop.submit { NIOLoopBound(OpenConnections(), eventLoop: loop) }.wait()
            channel = try ServerBootstrap(group: group)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        open.value.add(channel)
                        let pipeline = channel.pipeline.syncOperations
                        try pipeline.configureHTTPServerPipeline()
                        try pipeline.addHandler(MetricsHandler(page))
                    }
                }
                .bind(host: address.address.description, port: Int(address.port)).wait()
        } catch {
            try? group.syncShutdownGracefully()
            throw error
        }
        let port = channel.localAddress?.port.flatMap(UInt16.init(exactly:)) ?? address.port
        self.address = AddressPools.SocketAddress(address.address, port: port)
    }

    /// Does something every second, on the thread that answers requests, until it is closed.
    public func everySecond(_ body: @escaping @Sendable () -> Void) {
        group.next().scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in body() }
    }

    /// Closes it, with all connections.
    public func close() { try? group.syncShutdownGracefully() }
}

/// The connections that there are, the oldest first. Of one event loop.
private final class OpenConnections {
    private var channels: [any Channel] = []

    func add(_ channel: any Channel) {
        if channels.count >= MetricsListener.places { channels.removeFirst().close(promise: nil) }
        channels.append(channel)
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        channel.closeFuture.whenComplete { _ in bound.value.channels.removeAll { $0 === channel } }
    }
}

private final class MetricsHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let page: @Sendable () -> MetricsListener.Page
    private var head: HTTPRequestHead?
    private var deadline: Scheduled<Void>?

    /// For a whole request and its answer, and between two of them. A limit of silence would let a client that
    /// sends a byte now and then keep its place for ever.
    private static let limit = TimeAmount.seconds(30)

    init(_ page: @escaping @Sendable () -> MetricsListener.Page) { self.page = page }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body: break
        case .end: answer(context)
        }
    }

    func channelActive(context: ChannelHandlerContext) { renewDeadline(context) }

    func channelInactive(context: ChannelHandlerContext) { deadline?.cancel() }

    private func renewDeadline(_ context: ChannelHandlerContext) {
        deadline?.cancel()
        let channel = context.channel
        deadline = context.eventLoop.scheduleTask(in: Self.limit) { channel.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func answer(_ context: ChannelHandlerContext) {
        guard let head else { return }
        var (status, body, type) = (HTTPResponseStatus.ok, "", "text/plain; charset=utf-8")
        if ![.GET, .HEAD].contains(head.method) {
            (status, body) = (.methodNotAllowed, "only GET and HEAD\n")
        } else if head.uri.split(separator: "?").first != "/metrics" {
            (status, body) = (.notFound, "the counters are at /metrics\n")
        } else {
            switch page() {
            case .counters(let text): (body, type) = (text, "text/plain; version=0.0.4; charset=utf-8")
            case .unavailable(let sentence): (status, body) = (.serviceUnavailable, "\(sentence)\n")
            }
        }
        var headers: HTTPHeaders = ["Content-Type": type, "Content-Length": "\(body.utf8.count)"]
        if status == .methodNotAllowed { headers.add(name: "Allow", value: "GET, HEAD") }
        if !head.isKeepAlive { headers.add(name: "Connection", value: "close") }
        let answer = HTTPResponseHead(version: head.version, status: status, headers: headers)
        context.write(wrapOutboundOut(.head(answer)), promise: nil)
        if head.method != .HEAD {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: body)))), promise: nil)
        }
        let (channel, bound) = (context.channel, NIOLoopBound((self, context), eventLoop: context.eventLoop))
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { result in
            guard case .success = result, head.isKeepAlive else { return channel.close(promise: nil) }
            bound.value.0.renewDeadline(bound.value.1)
        }
        self.head = nil
    }
}
