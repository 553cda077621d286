// A tarpit on every TCP and UDP port of a prefix, which prints the source and destination of connections and datagrams:
//
//   sudo ip route add local 192.0.2.0/24 dev lo
//   swift build && sudo .build/debug/any-port 192.0.2.0/24
//   socat - TCP:192.0.2.7:2323        # connects, and is kept waiting
//   echo hello | socat - UDP:192.0.2.9:161
//
// Each connection uses a descriptor, so `ulimit -n` limits their number.
import Foundation
import NIOCore
import NIOPosix
import Steering
import SteeringNIO

@main
struct AnyPort {
    static func main() async throws {
        let steering = try SocketSteering.attach()
        let group = MultiThreadedEventLoopGroup.singleton

        let listeners = try await steering.sockets.registerListeners(as: "tarpit", over: group) { loop in
            ServerBootstrap(group: loop)
                .childChannelOption(.autoRead, value: false)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Tarpit()) }
                }
        }
        _ = try await steering.sockets.registerReceivers(as: "tarpit", over: group) { loop in
            DatagramBootstrap(group: loop).channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(SteeredDatagramHandler(), Listener())
                }
            }
        }
        try steering.bind(
            "tarpit", .both, to: PrefixPool(parsing: Array(CommandLine.arguments.dropFirst())), ports: .all)
        say("answering on every port")
        try await listeners[0].closeFuture.get()
        withExtendedLifetime(steering) {}
    }
}

/// Reads nothing, and sends one byte every ten seconds to keep a scanner waiting.
private final class Tarpit: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel
        if let client = channel.clientAddress, let asked = channel.originalDestination {
            say("tcp \(client) -> \(asked)")
        }
        context.eventLoop.scheduleRepeatedTask(initialDelay: .seconds(10), delay: .seconds(10)) { task in
            channel.writeAndFlush(ByteBuffer(string: "\r")).whenFailure { _ in
                task.cancel()
                channel.close(promise: nil)
            }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// Prints datagrams without replying.
private final class Listener: ChannelInboundHandler {
    typealias InboundIn = SteeredDatagram

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let datagram = unwrapInboundIn(data)
        say("udp \(datagram.remote) -> \(datagram.local), \(datagram.payload.readableBytes) bytes")
    }
}

/// Prints a line without buffering, which `print` would do when writing to a pipe.
private func say(_ line: String) { FileHandle.standardOutput.write(Data("\(line)\n".utf8)) }
