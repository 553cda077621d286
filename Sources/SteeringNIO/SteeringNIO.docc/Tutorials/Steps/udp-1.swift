import NIOCore
import NIOPosix

@main
struct UDPEcho {
    static func main() async throws {
        let channel = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "0.0.0.0", port: 7777) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<AddressedEnvelope<ByteBuffer>, AddressedEnvelope<ByteBuffer>>(
                        wrappingChannelSynchronously: channel)
                }
            }
        try await channel.executeThenClose { datagrams, replies in
            // The kernel chooses the source address, which can differ from the original destination.
            for try await datagram in datagrams { try await replies.write(datagram) }
        }
    }
}
