// One process serves two sites on several prefixes, both on port 80, which two sockets at INADDR_ANY could not share:
//
//   for prefix in 192.0.2.0/25 192.0.2.128/25 198.51.100.0/24; do sudo ip route add local $prefix dev lo; done
//   swift build && sudo .build/debug/virtual-hosts red=192.0.2.0/25 blue=192.0.2.128/25 blue=198.51.100.0/24
//   curl http://192.0.2.1/ http://192.0.2.200/ http://198.51.100.7/      # red, blue, blue
import Foundation
import NIOCore
import NIOPosix
import Steering
import SteeringNIO

@main
struct VirtualHosts {
    static func main() async throws {
        let steering = try SocketSteering.attach()
        var policy = Policy()
        var listeners: [Label: [any Channel]] = [:]
        for argument in CommandLine.arguments.dropFirst() {
            let parts = argument.split(separator: "=").map(String.init)
            guard parts.count == 2 else {
                print("virtual-hosts: \(argument) is not a site: give sites such as red=192.0.2.0/25")
                exit(64)
            }
            let site = try Label(parts[0])
            if listeners[site] == nil { listeners[site] = try await listen(for: site, steering) }
            try policy.bind(site, .tcp, to: PrefixPool(parts[1]), ports: [80])
        }
        // Atomic for all sites.
        try steering.apply(policy)
        FileHandle.standardOutput.write(Data("answering for \(listeners.keys.sorted())\n".utf8))
        for listener in listeners.values.joined() { try await listener.closeFuture.get() }
        withExtendedLifetime(steering) {}
    }

    /// Binds listeners for one site.
    ///
    /// Since each site has its own, the listener that accepts a connection identifies it.
    private static func listen(for site: Label, _ steering: SocketSteering) async throws -> [any Channel] {
        try await steering.sockets.registerListeners(as: site, over: MultiThreadedEventLoopGroup.singleton) { loop in
            ServerBootstrap(group: loop).childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Site(site)) }
            }
        }
    }
}

/// Responds to every request with the name of the site and the original destination.
private final class Site: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let name: Label
    init(_ name: Label) { self.name = name }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let asked = context.channel.originalDestination.map(String.init(describing:)) ?? "?"
        let body = "\(name) at \(asked)\n"
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
