import Foundation
import KernelTestSupport
import Testing

/// steer-dns on whole prefixes, with the sockets that `steerd-run` makes: as docs/steer-dns.md has it.
@Suite(.kernel)
struct NameServerTests {
    private static let policy = """
        labels:
          dns: { allow: { users: 65534 } }
        bindings:
          - { label: dns, protocols: tcp+udp, prefixes: [192.0.2.0/24, "2001:db8::/64"], ports: 53 }
        pools: { web: [198.51.100.7/32, "2001:db8:1::7/128"] }
        names: { zones: [example.zone], policies: [{ name: default, pool: web }] }

        """

    /// Runs the guide's command with the sockets on a port, while a closure asks.
    private func serve(port: Int, _ body: @escaping @Sendable (Bed) throws -> Void) async throws {
        let block = try #require(
            try Guide.blocks(of: "docs/steer-dns.md").first { $0.text.hasPrefix("steerd-run dns ") }?.text)
        try await withBed { bed in
            _ = try bed.write(
                "$ORIGIN example.com.\n@ 60 SOA ns admin 1 3600 600 86400 60\n@ 60 NS ns\nns 60 A 127.0.0.1\n",
                to: "example.zone")
            let steerd = try SteerdBed(bed)
            _ = try bed.write(Self.policy, to: "policy.yaml")
            let running = try steerd.start()
            let command = try block.replacing("\\\n", with: " ").replacing(":53", with: ":\(port)")
                .replacing("/etc/steer/policy.yaml", with: steerd.policy)
                .replacing("steerd-run dns", with: "\(Programs.path(of: "steerd-run")) dns --steerd \(steerd.socket)")
                .replacing("-- steer-dns", with: "-- \(Programs.path(of: "steer-dns"))")
            let server = try Background("sh -c '\(command.trimmingCharacters(in: .whitespacesAndNewlines))'", in: bed)
            try eventually("steer-dns serves") {
                let said = try server.error
                if said.split(separator: "\n").contains(where: { $0.hasPrefix("steer") }) {
                    throw Unmet(description: said)
                }
                return try server.output.contains("serving ")
            }
            try body(bed)
            server.end()
            _ = running
        }
    }

    @Test("steerd-run hands it its sockets: each address of the prefixes answers, over both protocols")
    func onPrefixes() async throws {
        try await serve(port: 53) { bed in
            for (server, type, address) in [
                ("192.0.2.7", "A", "198.51.100.7"), ("2001:db8::7", "AAAA", "2001:db8:1::7"),
                ("127.0.0.1", "A", "198.51.100.7"),
            ] {
                for transport in ["+notcp", "+tcp"] {
                    let run = try bed.sh("dig @\(server) \(transport) +tries=1 +short www.example.com \(type)")
                    try verify(run.output, is: "\(address)\n", "\(server) \(transport)")
                }
            }
        }
    }

    @Test("With another port answers over UDP leave from that port, which no client takes; doctor says so")
    func otherPort() async throws {
        try await serve(port: 5300) { bed in
            try verify(
                bed.sh("dig @192.0.2.7 +tcp +short www.example.com A").output, is: "198.51.100.7\n")
            let lost = try bed.sh("dig @192.0.2.7 +tries=1 +timeout=2 www.example.com A")
            try verify(lost.exitCode == 9 && lost.output.contains("no servers could be reached"), "\(lost)")
            let client = """
                import os, socket
                client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                client.settimeout(int(os.environ["PATIENCE"]))
                query = b"".join(bytes([len(label)]) + label for label in [b"www", b"example", b"com", b""])
                client.sendto(bytes.fromhex("123401000001000000000000") + query + bytes([0, 1, 0, 1]), ("192.0.2.7", 53))
                print(*client.recvfrom(512)[1])
                """
            let program = try bed.write(client, to: "client.py")
            try verify(bed.sh("python3 \(program)").output, is: "192.0.2.7 5300\n")
            let doctor = try bed.run("doctor")
            try verify(doctor.output.contains("dns udp/IPv4 is bound to port 5300, and answers"), doctor.output)
        }
    }
}
