import NIOCore
import NIOPosix
import Steering
import SteeringNIO

@main
struct UDPEcho {
    static func main() async throws {
        let steering = try SocketSteering.attach()
        let channel = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel(steeredDatagramsOf: channel) }
            }
        try await steering.sockets.register(channel, as: "echo")
        try steering.bind("echo", .udp, to: PrefixPool("192.0.2.0/24"), ports: .all)
        try await channel.executeThenClose { datagrams, replies in
            // The addresses are unchanged, so the reply comes from the original destination.
            for try await datagram in datagrams { try await replies.write(datagram) }
        }
        withExtendedLifetime(steering) {}
    }
}
