// Attaches, drops every capability permanently, and keeps changing the policy: each response atomically moves the
// service to the next port:
//
//   sudo ip route add local 192.0.2.0/24 dev lo
//   swift build && sudo .build/debug/least-privilege 192.0.2.0/24
//   curl http://192.0.2.7:8000/        # ... next at port 8001
//   grep CapEff /proc/$(pidof least-privilege)/task/*/status
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
        for port in UInt16(8000)...UInt16.max {
            var policy = Policy()
            try policy.bind("moving", .tcp, to: pool, ports: [port...port])
            try steering.apply(policy)
            FileHandle.standardOutput.write(Data("answering at port \(port)\n".utf8))
            answer(on: listener, "no capability, next at port \(port + 1)\n")
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
