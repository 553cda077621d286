import Glibc
import LinuxSockets

extension SocketAddress {
    /// An IPv4-mapped IPv6 address as IPv4; other addresses unchanged.
    var unmapped: SocketAddress { SocketAddress(address.unmapped, port: port) }

    /// An IPv4 address as IPv4-mapped IPv6; other addresses unchanged.
    var mapped: SocketAddress {
        guard address.family == .ipv4 else { return self }
        return SocketAddress(IPAddress(ipv6: 0xffff << 32 | address.bits), port: port)
    }

    /// Passes the address to a call such as bind.
    package func pass(
        to name: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt
    ) throws(SteeringError) {
        let (storage, size) = storage
        try systemCall(name) {
            withUnsafePointer(to: storage) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, size) }
            }
        }
    }

    /// Reads the address that a call such as getsockname returns.
    ///
    /// - Throws: `systemCall`; `invalidAddress` for other families than IPv4 and IPv6.
    static func read(
        _ name: String, _ body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> CInt
    ) throws(SteeringError) -> SocketAddress {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        try systemCall(name) {
            withUnsafeMutablePointer(to: &storage) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, &size) }
            }
        }
        guard let address = SocketAddress(storage) else {
            throw SteeringError(.invalidAddress, "\(name) gave an address that is neither IPv4 nor IPv6")
        }
        return address
    }
}

extension IPAddress {
    /// Reads an address from 32-bit words in network order: four for IPv6, the first one for IPv4.
    init<Words: BitwiseCopyable>(networkOrder words: Words, _ family: CInt) {
        self.init(bytes: Steering.bytes(of: words).prefix(family == AF_INET ? 4 : 16))!
    }
}
