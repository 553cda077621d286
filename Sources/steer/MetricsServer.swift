import Dispatch
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import Steering
import Synchronization

/// Serves the counters over HTTP: GET and HEAD of /metrics, nothing else.
struct MetricsServer {
    private let metrics: MetricsText

    init(_ metrics: MetricsText) { self.metrics = metrics }

    /// Returns when the process is interrupted or terminated.
    func serve(on address: Steering.SocketAddress) throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        defer { try? group.syncShutdownGracefully() }
        let limit = ConnectionLimit(64)
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                guard limit.enter(until: channel.closeFuture) else { return channel.close() }
                return channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.configureHTTPServerPipeline()
                    try pipeline.addHandler(MetricsHandler(metrics))
                }
            }
        let channel: any Channel
        do {
            channel = try bootstrap.bind(host: address.address.description, port: Int(address.port)).wait()
        } catch {
            let reason = (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
            throw SteeringError(
                .addressUnavailable, "cannot listen on \(address) (\(reason)): choose another address or port")
        }
        signal(SIGPIPE, SIG_IGN)
        let sources = [SIGINT, SIGTERM].map { number in
            signal(number, SIG_IGN)  // The source sees it all the same.
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { @Sendable in channel.close(promise: nil) }
            source.resume()
            return source
        }
        // Port 0 was the kernel's choice.
        let port = channel.localAddress?.port.flatMap(UInt16.init(exactly:)) ?? address.port
        print("serving http://\(Steering.SocketAddress(address.address, port: port))/metrics")
        fflush(nil)
        // Changes of the policy, also while nobody asks. What fails is told to those who do.
        let following = group.next().scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
            try? metrics.counter?.keepUp()
        }
        try channel.closeFuture.wait()
        following.cancel()
        for source in sources { source.cancel() }
    }
}

/// Counts connections, on the one event loop.
private final class ConnectionLimit: Sendable {
    private let open = Mutex(0)
    private let maximum: Int

    init(_ maximum: Int) { self.maximum = maximum }

    func enter(until closed: EventLoopFuture<Void>) -> Bool {
        let isFree = open.withLock { open in
            open += 1
            return open <= maximum
        }
        closed.whenComplete { _ in self.open.withLock { $0 -= 1 } }
        return isFree
    }
}

private final class MetricsHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let metrics: MetricsText
    private var head: HTTPRequestHead?
    private var deadline: Scheduled<Void>?

    /// For a whole request and its answer, and between two of them. A limit of silence would let a client that
    /// sends a byte now and then keep its place for ever.
    private static let limit = TimeAmount.seconds(30)

    init(_ metrics: MetricsText) { self.metrics = metrics }

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
            do throws(SteeringError) {
                body = try metrics.text()
                type = "text/plain; version=0.0.4; charset=utf-8"
            } catch {
                (status, body) = (.serviceUnavailable, "\(error.message)\n")
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
