import AddressPools
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix

/// Serves counters over HTTP, in the format of Prometheus: GET and HEAD of /metrics, nothing else.
///
/// It has its own event loop and a limited number of connections. A connection beyond the limit closes the oldest. Each
/// connection is answered once and has a deadline, so that idle clients do not keep others out, and a client that sends
/// requests and reads no answers makes this process store one.
package final class MetricsListener: Sendable {
    /// The content of a response.
    package enum Page: Sendable {
        /// The counters, in the Prometheus text format.
        case counters(String)
        /// The reason why there are none, in one sentence.
        case unavailable(String)
    }

    /// Why it cannot listen.
    package enum Failure: Error, CustomStringConvertible {
        /// This process may open too few files: this many.
        case tooFewDescriptors(rlim_t)
        /// The address cannot be bound, for this reason.
        case cannotBind(String)

        /// A sentence for the former, a reason for the latter.
        package var description: String {
            switch self {
            case .tooFewDescriptors(let limit):
                "this process may open \(limit) files, and needs \(MetricsListener.fewest) or more: raise ulimit -n"
            case .cannotBind(let reason): reason
            }
        }
    }

    /// The maximum number of concurrent connections, each with one descriptor.
    package static let places = 64
    private static let fewest: rlim_t = 24

    /// The address at which it listens, with the actual port.
    package let address: AddressPools.SocketAddress
    private let group: MultiThreadedEventLoopGroup
    private let channel: any Channel

    /// Begins to listen.
    ///
    /// - Parameters:
    ///   - address: The address at which to listen; port 0 for a free one.
    ///   - page: Returns the content of a response; called on the event loop for each request of /metrics.
    package init(on address: AddressPools.SocketAddress, _ page: @escaping @Sendable () -> Page) throws(Failure) {
        // SwiftNIO ends the process where it cannot create an event queue.
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur < Self.fewest {
            throw .tooFewDescriptors(limit.rlim_cur)
        }
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
            throw .cannotBind(reason(of: error))
        }
        let port = channel.localAddress?.port.flatMap(UInt16.init(exactly:)) ?? address.port
        self.address = AddressPools.SocketAddress(address.address, port: port)
    }

    /// Runs a closure every second, on the thread that answers requests, until the listener is closed.
    ///
    /// - Parameter body: The closure; requests wait while it runs.
    package func everySecond(_ body: @escaping @Sendable () -> Void) {
        group.next().scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in body() }
    }

    /// Closes the listener and all connections.
    package func close() { try? group.syncShutdownGracefully() }
}

/// The open connections, oldest first, confined to one event loop.
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
    private var isAnswered = false
    private var deadline: Scheduled<Void>?

    /// For a whole connection. A limit on idle time would let a client that sends a byte now and then keep its
    /// connection forever.
    private static let limit = TimeAmount.seconds(30)

    init(_ page: @escaping @Sendable () -> MetricsListener.Page) { self.page = page }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // The pipeline reads no further while a request that it has delivered is not answered.
        guard !isAnswered else { return }
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body: break
        case .end: answer(context)
        }
    }

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel
        deadline = context.eventLoop.scheduleTask(in: Self.limit) { channel.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) { deadline?.cancel() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func answer(_ context: ChannelHandlerContext) {
        guard let head else { return }
        isAnswered = true
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
        var headers: HTTPHeaders = [
            "Content-Type": type, "Content-Length": "\(body.utf8.count)", "Connection": "close",
        ]
        if status == .methodNotAllowed { headers.add(name: "Allow", value: "GET, HEAD") }
        let answer = HTTPResponseHead(version: head.version, status: status, headers: headers)
        context.write(wrapOutboundOut(.head(answer)), promise: nil)
        if head.method != .HEAD {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: body)))), promise: nil)
        }
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
    }
}
