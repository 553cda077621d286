import Glibc

extension SocketAddress {
    /// The address as a sockaddr, with its size.
    var storage: (sockaddr_storage, socklen_t) {
        var storage = sockaddr_storage()
        let size = withUnsafeMutablePointer(to: &storage) { pointer -> Int in
            let raw = UnsafeMutableRawPointer(pointer)
            switch address.family {
            case .ipv4:
                var inet = sockaddr_in()
                inet.sin_family = sa_family_t(AF_INET)
                inet.sin_port = port.bigEndian
                inet.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.bits).bigEndian
                raw.storeBytes(of: inet, as: sockaddr_in.self)
                return MemoryLayout<sockaddr_in>.size
            case .ipv6:
                var inet = sockaddr_in6()
                inet.sin6_family = sa_family_t(AF_INET6)
                inet.sin6_port = port.bigEndian
                withUnsafeMutableBytes(of: &inet.sin6_addr) {
                    $0.storeBytes(of: address.bits.bigEndian, as: UInt128.self)
                }
                raw.storeBytes(of: inet, as: sockaddr_in6.self)
                return MemoryLayout<sockaddr_in6>.size
            }
        }
        return (storage, socklen_t(size))
    }

    /// Reads a sockaddr; nil for other families than IPv4 and IPv6.
    init?(_ storage: sockaddr_storage) {
        let parts: (IPAddress, UInt16)? = withUnsafeBytes(of: storage) { raw in
            switch Int32(storage.ss_family) {
            case AF_INET:
                let inet = raw.load(as: sockaddr_in.self)
                return (IPAddress(ipv4: UInt32(bigEndian: inet.sin_addr.s_addr)), UInt16(bigEndian: inet.sin_port))
            case AF_INET6:
                let inet = raw.load(as: sockaddr_in6.self)
                let bits = withUnsafeBytes(of: inet.sin6_addr) { $0.loadUnaligned(as: UInt128.self) }
                return (IPAddress(ipv6: UInt128(bigEndian: bits)), UInt16(bigEndian: inet.sin6_port))
            default: return nil
            }
        }
        guard let (address, port) = parts else { return nil }
        self.init(address, port: port)
    }

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
