// Echoes UDP on every address and port of some prefixes. Replies come from the original destination of each datagram:
//
//   sudo ip route add local 192.0.2.0/24 dev lo
//   swift build && sudo .build/debug/udp-echo 192.0.2.0/24
//   echo hello | socat - UDP:192.0.2.99:7777     # socat accepts replies only from 192.0.2.99:7777
import Foundation
import NIOCore
import NIOPosix
import Steering
import SteeringNIO

@main
struct UDPEcho {
    static func main() async throws {
        let steering = try SocketSteering.attach()
        // One socket per family on each event loop, all registered for the label.
        let receivers: [NIOAsyncChannel<SteeredDatagram, SteeredDatagram>] =
            try await steering.sockets.registerReceivers(as: "echo", over: MultiThreadedEventLoopGroup.singleton)
        try steering.bind(
            "echo", .udp, to: PrefixPool(parsing: Array(CommandLine.arguments.dropFirst())), ports: .all)
        FileHandle.standardOutput.write(Data("answering\n".utf8))

        try await withThrowingDiscardingTaskGroup { tasks in
            for receiver in receivers {
                tasks.addTask {
                    try await receiver.executeThenClose { datagrams, replies in
                        // The addresses are unchanged, so replies come from the original destination.
                        for try await datagram in datagrams { try await replies.write(datagram) }
                    }
                }
            }
        }
        withExtendedLifetime(steering) {}
    }
}
