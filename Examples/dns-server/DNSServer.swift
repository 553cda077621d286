// A DNS server in a few lines: the policy of a file, UDP on one address.
//
//   swift run dns-server policy.yaml 127.0.0.1:5353
//   dig @127.0.0.1 -p 5353 www.example.com

import AddressPools
import SteeringDNS

@main
enum DNSServer {
    static func main() throws {
        guard CommandLine.arguments.count == 3 else { return print("usage: dns-server POLICY ADDRESS:PORT") }
        // All that answers are made of: zones, names, pools. To change it, `replace(with:)` another.
        let serving = try NamePolicyFile.read(contentsOf: CommandLine.arguments[1])
        let server = NameServer(serving, ResponderOptions())

        let address = try SocketAddress(CommandLine.arguments[2])
        var worker = try DatagramServer(try ServerSocket.datagrams(on: address), of: server)
        print("serving \(serving.origins.map(\.description).joined(separator: " ")) on \(address)")
        worker.run(server)  // Until `server.stop()`, on another thread.
    }
}
