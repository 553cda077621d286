import AddressPools
import Documents
import NIOCore
import NIOPosix

/// The times at which a server's data took effect, from its counters.
package struct ServerTimes: Sendable {
    /// When the server began to read the policy in force, in seconds since 1970.
    package var read = 0.0
    /// The time since which each pool has its current addresses, in seconds since 1970.
    package var pools: [String: Double] = [:]

    /// Reads the counters of a server, waiting at most 5 seconds.
    package init(_ server: AddressPools.SocketAddress) throws(DocumentError) {
        let text: String
        do { text = try Self.metrics(of: server) } catch {
            throw DocumentError(
                "cannot read the counters of the server at \(server) (\(error)): run steer-dns serve with --metrics \(server)"
            )
        }
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let words = line.split(separator: " ")
            guard words.count == 2, let value = Double(words[1]) else { continue }
            if words[0] == "steer_dns_policy_read_seconds" { read = value }
            let parts = words[0].split(separator: "\"")
            if parts.count == 3, parts[0] == "steer_dns_pool_since_seconds{pool=" { pools[String(parts[1])] = value }
        }
        guard read > 0 else {
            throw DocumentError(
                "the counters at \(server) are not those of steer-dns: name the address of its --metrics")
        }
    }

    private static func metrics(of server: AddressPools.SocketAddress) throws -> String {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let whole = loop.makePromise(of: String.self)
        let timeout = loop.scheduleTask(in: .seconds(5)) { whole.fail(ChannelError.connectTimeout(.seconds(5))) }
        ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Collector(whole))
                }
            }
            .connect(host: server.address.description, port: Int(server.port))
            .whenFailure { whole.fail($0) }
        defer { timeout.cancel() }
        return try whole.futureResult.wait()
    }
}

/// Requests the counters, and collects the response until the server closes the connection.
private final class Collector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let whole: EventLoopPromise<String>
    private var text = ""

    init(_ whole: EventLoopPromise<String>) { self.whole = whole }

    func channelActive(context: ChannelHandlerContext) {
        let request = "GET /metrics HTTP/1.1\r\nHost: steer-dns\r\nConnection: close\r\n\r\n"
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: request)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        text += String(buffer: unwrapInboundIn(data))
    }

    func channelInactive(context: ChannelHandlerContext) { whole.succeed(text) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        whole.fail(error)
        context.close(promise: nil)
    }
}
