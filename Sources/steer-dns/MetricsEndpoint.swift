import AddressPools
import NIOCore
import NIOHTTP1
import NIOPosix
import SteeringDNS

/// Serves the counters for Prometheus: GET of /metrics, nothing else.
struct MetricsEndpoint {
    let address: AddressPools.SocketAddress
    private let channel: any Channel

    init(
        _ server: NameServer, _ times: PolicyTimes, _ group: MultiThreadedEventLoopGroup,
        on address: AddressPools.SocketAddress
    ) throws {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(IdleStateHandler(allTimeout: .seconds(30)))
                    try channel.pipeline.syncOperations.addHandler(MetricsHandler(server, times))
                }
            }
        do {
            channel = try bootstrap.bind(host: address.address.description, port: Int(address.port)).wait()
        } catch {
            throw CommandError("cannot serve the counters on \(address) (\(error)): choose another address or port")
        }
        let port = channel.localAddress?.port.flatMap(UInt16.init(exactly:)) ?? address.port
        self.address = AddressPools.SocketAddress(address.address, port: port)
    }
}

private final class MetricsHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let server: NameServer
    private let times: PolicyTimes
    private var isFound = false

    init(_ server: NameServer, _ times: PolicyTimes) { (self.server, self.times) = (server, times) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): isFound = head.uri == "/metrics" && (head.method == .GET || head.method == .HEAD)
        case .body: break
        case .end: answer(context)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func answer(_ context: ChannelHandlerContext) {
        let body = isFound ? MetricsText(server, times.current).text : "not found: the counters are at /metrics\n"
        let headers: HTTPHeaders = [
            "Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Content-Length": "\(body.utf8.count)",
            "Connection": "close",
        ]
        let head = HTTPResponseHead(version: .http1_1, status: isFound ? .ok : .notFound, headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: body)))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil))).assumeIsolated().whenComplete { _ in
            context.close(promise: nil)
        }
    }
}
