import Foundation
import Steering

@main
struct LeastPrivilege {
    static func main() throws {
        // The only step that needs capabilities: CAP_BPF and CAP_NET_ADMIN.
        let steering = try SocketSteering.attach()
        // Before there are other threads: capabilities are per thread, and new threads inherit them.
        try Capabilities.dropAll()

        let pool = try PrefixPool(parsing: Array(CommandLine.arguments.dropFirst()))
        let listener = try OwnedDescriptor.listener(on: SocketAddress("127.0.0.1:0"))
        try steering.sockets.register(listener, as: "moving")
        try steering.bind("moving", .tcp, to: pool, ports: [8000])
        // Without this, optimized code could release the steering right after its last use.
        withExtendedLifetime(steering) {
            while true { answer(on: listener, "with no capability\n") }
        }
    }

    /// Serves one connection.
    private static func answer(on listener: borrowing OwnedDescriptor, _ body: String) {
        let accepted = accept(listener.rawValue, nil, nil)
        guard accepted >= 0 else { return }
        let connection = OwnedDescriptor(owning: accepted)
        var request = [UInt8](repeating: 0, count: 4096)
        _ = recv(connection.rawValue, &request, request.count, 0)
        let text = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
        _ = send(connection.rawValue, text, text.utf8.count, CInt(MSG_NOSIGNAL))
    }
}
