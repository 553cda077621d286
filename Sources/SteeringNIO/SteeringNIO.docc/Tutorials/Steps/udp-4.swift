// Echoes UDP on every address and every port of some prefixes, from exactly the address and port that was asked:
//
//   sudo ip route add local 192.0.2.0/24 dev lo
//   swift build && sudo .build/debug/udp-echo 192.0.2.0/24
//   echo hello | socat - UDP:192.0.2.99:7777     # socat hears nobody but 192.0.2.99:7777
import Foundation
import NIOCore
import NIOPosix
import Steering
import SteeringNIO

@main
struct UDPEcho {
    static func main() async throws {
        let steering = try SocketSteering.attach()
        // A socket on each event loop, all of them behind the label.
        let receivers: [NIOAsyncChannel<SteeredDatagram, SteeredDatagram>] =
            try await steering.sockets.registerReceivers(as: "echo", over: MultiThreadedEventLoopGroup.singleton)
        try steering.bind(
            "echo", .udp, to: PrefixPool(parsing: Array(CommandLine.arguments.dropFirst())), ports: .all)
        FileHandle.standardOutput.write(Data("answering\n".utf8))

        try await withThrowingDiscardingTaskGroup { tasks in
            for receiver in receivers {
                tasks.addTask {
                    try await receiver.executeThenClose { datagrams, replies in
                        // The same ends: it goes back from where it was sent to.
                        for try await datagram in datagrams { try await replies.write(datagram) }
                    }
                }
            }
        }
        withExtendedLifetime(steering) {}
    }
}
