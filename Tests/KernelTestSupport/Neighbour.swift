import Glibc
import Steering

/// A network namespace with a link of its own to the calling thread's, by which it sends everything.
public final class Neighbour: Sendable {
    /// The interface here on which its packets arrive.
    public let interface: InterfaceName
    /// Its path, for `--netns`.
    public let path: String
    private let name: String

    /// - Parameters:
    ///   - interface: A name that is not taken here.
    ///   - number: Of the link's addresses, 10.0.NUMBER.0/24 and fd00:NUMBER::/64: 1 is here, 2 there.
    public init(_ interface: InterfaceName, number: Int) throws {
        self.interface = interface
        name = "steering-\(UInt64.random(in: 0...UInt64.max))"
        path = "/run/netns/\(name)"
        try KernelTestSupport.shell(
            """
            set -e
            ip netns add \(name)
            ip link add \(interface) type veth peer name out netns \(name)
            ip addr add 10.0.\(number).1/24 dev \(interface)
            ip addr add fd00:\(number)::1/64 dev \(interface) nodad
            ip link set \(interface) up
            ip -n \(name) link set lo up
            ip -n \(name) addr add 10.0.\(number).2/24 dev out
            ip -n \(name) addr add fd00:\(number)::2/64 dev out nodad
            ip -n \(name) link set out up
            ip -n \(name) route add default via 10.0.\(number).1
            ip -n \(name) route add default via fd00:\(number)::1
            """)
    }

    deinit { _ = try? KernelTestSupport.shell("ip netns delete \(name)") }

    /// Runs a command there.
    @discardableResult
    public func shell(_ command: String) throws -> String {
        try KernelTestSupport.shell(line("sh -c '\(command.replacing("'", with: "'\\''"))'"))
    }

    /// A command line that runs a command there.
    public func line(_ command: String) -> String { "ip netns exec \(name) \(command)" }

    /// As ``Traffic/connect(_:to:from:)``, from there: a socket belongs to the namespace that it is made in.
    func connect(_ transport: TransportProtocol, to address: SocketAddress) throws -> OwnedDescriptor? {
        let connected = try NetworkNamespace(path: path).run { () throws(SteeringError) -> Result<CInt, any Error> in
            Result {
                guard let client = try Traffic.connect(transport, to: address) else { return -1 }
                return client.release()
            }
        }
        let descriptor = try connected.get()
        return descriptor < 0 ? nil : OwnedDescriptor(owning: descriptor)
    }
}
