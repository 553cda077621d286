// An HTTP/1 server on every address of a prefix, which responds with the original destination of the request:
//
//   sudo ip route add local 192.0.2.0/24 dev lo
//   swift build && sudo .build/debug/nio-http 192.0.2.0/24
//   curl http://192.0.2.77/
//
// Without privileges, if steerd is running and its policy allows this user to use the label "web":
//
//   STEERD=/run/steerd.sock .build/debug/nio-http
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle
import Steering
import SteeringNIO

@main
struct NIOHTTP {
    static func main() async throws {
        let prefixes = CommandLine.arguments.dropFirst()
        let steerd = ProcessInfo.processInfo.environment["STEERD"]
        // Only this part depends on whether this process or steerd does the steering.
        let steering = steerd == nil ? try SocketSteering.attach() : nil
        let registry: any SocketRegistry = steering?.sockets ?? SteeringClient(steerd!)

        // One listener per family on each event loop, all registered for the label.
        let listeners = try await registry.registerListeners(
            as: "web", over: MultiThreadedEventLoopGroup.singleton, replacing: true
        ) { loop in
            ServerBootstrap(group: loop).childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Answer())
                }
            }
        }
        try steering?.bind("web", .tcp, to: PrefixPool(parsing: Array(prefixes)), ports: [80])
        FileHandle.standardOutput.write(Data("answering\n".utf8))

        // On SIGTERM, an attached server unregisters its sockets and gets no new connections. With steerd they stay
        // registered, and connections wait for the next instance.
        let service = SteeringService(
            registry, listeners, as: "web", onShutdown: steerd == nil ? .unregister : .keepRegistered)
        try await ServiceGroup(
            services: [service], gracefulShutdownSignals: [.sigterm, .sigint], logger: Logger(label: "nio-http")
        ).run()
        withExtendedLifetime(steering) {}
    }
}

/// Responds to each request with its original destination.
private final class Answer: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private var isKeptAlive = true

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): isKeptAlive = head.isKeepAlive
        case .body: break
        case .end:
            let body = ByteBuffer(string: context.channel.originalDestination.map { "you asked \($0)\n" } ?? "")
            let headers: HTTPHeaders = [
                "content-length": "\(body.readableBytes)", "connection": isKeptAlive ? "keep-alive" : "close",
            ]
            context.write(wrapOutboundOut(.head(.init(version: .http1_1, status: .ok, headers: headers))), promise: nil)
            context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
            let end = context.writeAndFlush(wrapOutboundOut(.end(nil)))
            guard !isKeptAlive else { return }
            let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
            end.whenComplete { _ in bound.value.close(promise: nil) }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
