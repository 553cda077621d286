// A minimal DNS server: UDP on one address, with the zones and name policies of a file.
//
//   swift run dns-server policy.yaml 127.0.0.1:5353
//   dig @127.0.0.1 -p 5353 www.example.com

import AddressPools
import SteeringDNS

@main
enum DNSServer {
    static func main() throws {
        guard CommandLine.arguments.count == 3 else { return print("usage: dns-server POLICY ADDRESS:PORT") }
        // Zones, name policies and pools, as one immutable value. To change it, pass another one to `replace(with:)`.
        let serving = try NamePolicyFile.read(contentsOf: CommandLine.arguments[1])
        let server = NameServer(serving, ResponderOptions())

        let address = try SocketAddress(CommandLine.arguments[2])
        var worker = try DatagramServer(try ServerSocket.datagrams(on: address), of: server)
        print("serving \(serving.origins.map(\.description).joined(separator: " ")) on \(address)")
        worker.run(server)  // Runs until another thread calls `server.stop()`.
    }
}
