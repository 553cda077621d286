import KernelTestSupport
import Steering
import Testing

/// The BPF program built by other compilers than the one whose object is shipped.
@Suite(.kernel)
struct ObjectTests {
    /// A contributor's comes from the distribution.
    static let compilers = [BPFObject.toolchainCompiler, "/usr/bin/clang"]

    @Test(
        "The program compiles, loads and steers with the toolchain's and the distribution's clang", arguments: compilers
    )
    func otherCompilers(clang: String) async throws {
        let bytes = try BPFObject.compiled(by: clang)
        let replies = try await withNetworkNamespace(routing: ["192.0.2.0/24", "2001:db8:7::/48"]) {
            let steering = try SocketSteering(try .current(), object: bytes)
            var replies: [Reply] = []
            for transport in TransportProtocol.allCases {
                var server = try TestServer(transport, on: SocketAddress("[::]:0"), .dualStack)
                try steering.sockets.register(server.descriptor, as: "echo")
                try steering.bind("echo", .both, to: PrefixPool("192.0.2.0/24", "2001:db8:7::/48"), ports: [7])
                for address in ["192.0.2.99:7", "[2001:db8:7::99]:7"] {
                    replies.append(try server.exchange(with: SocketAddress(address)))
                }
            }
            return replies
        }
        #expect(replies.count == 4)
        for reply in replies {
            guard case .answered = reply else {
                Issue.record("\(reply)")
                continue
            }
        }
    }

    @Test("An object that is no object is refused, and says so")
    func notAnObject() async throws {
        let code = try await withNetworkNamespace {
            do {
                _ = try SocketSteering(try .current(), object: Array("not an object at all".utf8))
                return nil as SteeringError.Code?
            } catch let error as SteeringError { return error.code }
        }
        #expect(code == .systemCall)
    }
}
