import AddressPools
import Glibc

extension SocketAddress {
    /// The address as a sockaddr, with its size.
    package var storage: (sockaddr_storage, socklen_t) {
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
    package init?(_ storage: sockaddr_storage) {
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
}
