import AddressPools
import Documents
import MetricsHTTP
import NIOCore
import NIOPosix

extension ServerTimes {
    /// Reads the counters of a server, waiting at most 5 seconds.
    @Sendable
    package static func query(_ server: AddressPools.SocketAddress) throws(DocumentError) -> ServerTimes {
        let text: String
        do { text = try metrics(of: server) } catch {
            throw DocumentError(
                "cannot read the counters of the server at \(server) (\(reason(of: error))): run steer-dns serve with --metrics \(server)"
            )
        }
        guard let times = ServerTimes(metrics: text) else {
            throw DocumentError(
                "the counters at \(server) are not those of steer-dns: name the address of its --metrics")
        }
        return times
    }

    private static func metrics(of server: AddressPools.SocketAddress) throws -> String {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let whole = loop.makePromise(of: String.self)
        let timeout = loop.scheduleTask(in: .seconds(5)) { whole.fail(ChannelError.connectTimeout(.seconds(5))) }
        ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(MetricsRequest(whole))
                }
            }
            .connect(host: server.address.description, port: Int(server.port))
            .whenFailure { whole.fail($0) }
        defer { timeout.cancel() }
        return try whole.futureResult.wait()
    }
}

/// Requests the counters, and collects the response until the server closes the connection.
final class MetricsRequest: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    struct TooLong: Error, CustomStringConvertible {
        let description: String
    }

    private let whole: EventLoopPromise<String>
    /// The maximum size of a response, in bytes.
    private let limit: Int
    private var text = ""

    /// The default limit is that of forty pools whose answers are counted by address.
    init(_ whole: EventLoopPromise<String>, limit: Int = 256 << 20) {
        self.whole = whole
        self.limit = limit
    }

    func channelActive(context: ChannelHandlerContext) {
        let request = "GET /metrics HTTP/1.1\r\nHost: steer-dns\r\nConnection: close\r\n\r\n"
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: request)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        text += String(buffer: unwrapInboundIn(data))
        guard text.utf8.count > limit else { return }
        errorCaught(context: context, error: TooLong(description: "the response is longer than \(limit) bytes"))
    }

    func channelInactive(context: ChannelHandlerContext) { whole.succeed(text) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        whole.fail(error)
        context.close(promise: nil)
    }
}
