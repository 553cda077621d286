import NIOCore
import NIOPosix
import Steering
import SteeringNIO

@main
struct UDPEcho {
    static func main() async throws {
        let channel = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel(steeredDatagramsOf: channel) }
            }
        try await channel.executeThenClose { datagrams, replies in
            // The addresses are unchanged, so the reply comes from the original destination.
            for try await datagram in datagrams { try await replies.write(datagram) }
        }
    }
}
