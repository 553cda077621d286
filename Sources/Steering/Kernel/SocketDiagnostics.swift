import CSteering
import Glibc

/// A listening or unconnected socket, as the kernel's sock_diag reports it.
struct DiagnosedSocket {
    let transport: TransportProtocol
    let localAddress: SocketAddress
    let inode: UInt32
    let userID: UInt32
}

/// Asks the kernel for all listening TCP and unconnected UDP sockets of a network namespace, which any
/// user may: what `ss -lnue` does. See sock_diag(7).
struct SocketDiagnostics: ~Copyable, Sendable {
    private let netlink: NetlinkSocket

    /// Opens the diagnosis of the calling thread's namespace.
    init() throws(SteeringError) { netlink = try NetlinkSocket(CInt(NETLINK_SOCK_DIAG)) }

    func sockets() throws(SteeringError) -> [SocketCookie: DiagnosedSocket] {
        var found: [SocketCookie: DiagnosedSocket] = [:]
        for transport in TransportProtocol.allCases {
            for family in [AF_INET, AF_INET6] {
                try netlink.request(
                    UInt16(SOCK_DIAG_BY_FAMILY), flags: NLM_F_DUMP, payload: request(transport, family)
                ) { _, payload in
                    guard let message = value(inet_diag_msg.self, in: payload) else { return }
                    let cookie = UInt64(message.id.idiag_cookie.0) | UInt64(message.id.idiag_cookie.1) << 32
                    found[SocketCookie(cookie)] = DiagnosedSocket(message, transport)
                }
            }
        }
        return found
    }

    private func request(_ transport: TransportProtocol, _ family: CInt) -> [UInt8] {
        var request = inet_diag_req_v2()
        request.sdiag_family = UInt8(family)
        request.sdiag_protocol = UInt8(transport == .tcp ? IPPROTO_TCP : IPPROTO_UDP)
        request.idiag_states = 1 << UInt32(transport == .tcp ? TCP_LISTEN : TCP_CLOSE)
        return bytes(of: request)
    }
}

extension DiagnosedSocket {
    fileprivate init(_ message: inet_diag_msg, _ transport: TransportProtocol) {
        let bytes = bytes(of: message.id.idiag_src).prefix(CInt(message.idiag_family) == AF_INET ? 4 : 16)
        self.transport = transport
        localAddress = SocketAddress(IPAddress(bytes: bytes)!, port: UInt16(bigEndian: message.id.idiag_sport))
        inode = message.idiag_inode
        userID = message.idiag_uid
    }
}
