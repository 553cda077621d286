import CSteering
import Glibc

/// Asks the kernel which addresses it would take as its own (RTM_GETROUTE): steering sees only what is
/// delivered to this host. Needs no privilege.
public struct LocalRoutes: ~Copyable, Sendable {
    private let netlink: NetlinkSocket

    /// Opens the routes of the calling thread's network namespace.
    ///
    /// - Throws: `systemCall`.
    public init() throws(SteeringError) { netlink = try NetlinkSocket(CInt(NETLINK_ROUTE)) }

    /// Whether packets to an address are delivered to this host.
    ///
    /// - Throws: `systemCall`; an address without any route is no error.
    public func deliver(_ address: IPAddress) throws(SteeringError) -> Bool {
        var request = rtmsg()
        request.rtm_family = UInt8(address.family == .ipv4 ? AF_INET : AF_INET6)
        request.rtm_dst_len = UInt8(address.family.bitWidth)
        var attribute = rtattr()
        attribute.rta_type = UInt16(RTA_DST.rawValue)
        attribute.rta_len = UInt16(MemoryLayout<rtattr>.size + address.bytes.count)

        var isLocal = false
        do throws(SteeringError) {
            try netlink.request(
                UInt16(RTM_GETROUTE), flags: 0, payload: bytes(of: request) + bytes(of: attribute) + address.bytes
            ) { _, payload in
                isLocal = value(rtmsg.self, in: payload).map { CInt($0.rtm_type) == CInt(RTN_LOCAL) } ?? false
            }
        } catch {
            guard [ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL].contains(error.errno) else { throw error }
            return false
        }
        return isLocal
    }

    /// The prefixes of a pool of which some address is not delivered here: their first and last address
    /// are asked for and, unless they are many, some at random.
    ///
    /// - Throws: As ``deliver(_:)``.
    public func undelivered(in pool: PrefixPool) throws(SteeringError) -> [IPPrefix] {
        var missing: [IPPrefix] = []
        let extra = pool.prefixes.count > 256 ? 0 : 14
        for prefix in pool.prefixes {
            let single = PrefixPool([prefix])
            let samples = [prefix.first, prefix.last] + (0..<extra).compactMap { _ in single.randomAddress() }
            for address in samples where try !deliver(address) {
                missing.append(prefix)
                break
            }
        }
        return missing
    }
}
