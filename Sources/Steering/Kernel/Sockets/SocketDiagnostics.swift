import CSteering
import Glibc

/// An IPv4 or IPv6 socket as sock_diag reports it.
package struct DiagnosedSocket: Sendable, Hashable {
    package let cookie: SocketCookie
    package let transport: TransportProtocol
    package let localAddress: SocketAddress
    /// The remote address; nil for listeners and unconnected sockets.
    package let remoteAddress: SocketAddress?
    /// The inode number that /proc/PID/fd shows; 0 if no process holds the socket, as in TIME_WAIT.
    package let inode: UInt32
    package let userID: uid_t
    /// The index of the interface to which it is bound; 0 for none.
    package let interface: UInt32
    /// The number of connections in a listener's accept queue; 0 for other sockets.
    package let waiting: UInt32
    /// Whether it can send from addresses that no interface has (IP_FREEBIND, IP_TRANSPARENT); nil before Linux 5.10.
    package let sendsFromAnywhere: Bool?

    /// Whether it is connected. The kernel finds connected sockets before it runs sk_lookup programs.
    package var isConnected: Bool { remoteAddress != nil }

    func isBound(as other: DiagnosedSocket) -> Bool { place == other.place }

    /// The address, interface and user. Only members of one SO_REUSEPORT group, or UDP sockets with SO_REUSEADDR, share
    /// them.
    var place: Place { Place(transport: transport, address: localAddress, interface: interface, userID: userID) }

    struct Place: Hashable {
        let transport: TransportProtocol
        let address: SocketAddress
        let interface: UInt32
        let userID: uid_t
    }
}

/// Queries the kernel about the IPv4 and IPv6 sockets of a network namespace, as `ss` does. Needs no privilege. See
/// sock_diag(7).
package struct SocketDiagnostics: ~Copyable, Sendable {
    private let netlink: NetlinkSocket

    /// Opens a sock_diag socket in the calling thread's network namespace.
    ///
    /// - Throws: `systemCall`.
    package init() throws(SteeringError) { netlink = try NetlinkSocket(CInt(NETLINK_SOCK_DIAG)) }

    /// Returns all listening TCP and unconnected UDP sockets. A Multipath TCP listener appears as the plain TCP socket
    /// beneath it, with inode 0 or, on newer kernels, its own inode.
    ///
    /// - Throws: `systemCall`; with ENOENT if the kernel lacks inet_diag.
    package func sockets() throws(SteeringError) -> [SocketCookie: DiagnosedSocket] {
        var found: [SocketCookie: DiagnosedSocket] = [:]
        for transport in TransportProtocol.allCases {
            for family in [AF_INET, AF_INET6] {
                var request = request(transport, family)
                request.idiag_states = 1 << UInt32(transport == .tcp ? TCP_LISTEN : TCP_CLOSE)
                for socket in try dump(request, transport) { found[socket.cookie] = socket }
            }
        }
        return found
    }

    /// Returns the Multipath TCP listeners, which nothing can be steered to, by inode.
    ///
    /// - Throws: `systemCall`; with ENOENT if the kernel cannot list them (before Linux 5.19).
    package func multipathListeners() throws(SteeringError) -> [UInt32: SocketAddress] {
        var found: [UInt32: SocketAddress] = [:]
        for family in [AF_INET, AF_INET6] {
            var request = request(.tcp, family)
            request.idiag_states = 1 << UInt32(TCP_LISTEN)
            // The protocol number, 262, does not fit the field of the request.
            let attribute = nlattr(nla_len: 8, nla_type: UInt16(INET_DIAG_REQ_PROTOCOL))
            for socket in try dump(request, .tcp, bytes(of: attribute) + bytes(of: UInt32(262))) {
                found[socket.inode] = socket.localAddress
            }
        }
        return found
    }

    /// Returns the remote addresses of the established TCP connections.
    ///
    /// - Throws: As ``sockets()``.
    func peers() throws(SteeringError) -> Set<IPAddress> {
        var found: Set<IPAddress> = []
        for family in [AF_INET, AF_INET6] {
            var request = request(.tcp, family)
            request.idiag_states = 1 << UInt32(TCP_ESTABLISHED)
            for socket in try dump(request, .tcp) {
                if let address = socket.remoteAddress?.address { found.insert(address) }
            }
        }
        return found
    }

    private func dump(
        _ request: inet_diag_req_v2, _ transport: TransportProtocol, _ attributes: [UInt8] = []
    ) throws(SteeringError) -> [DiagnosedSocket] {
        try netlink.dump(UInt16(SOCK_DIAG_BY_FAMILY), bytes(of: request) + attributes) { _, payload in
            DiagnosedSocket(payload, transport)
        }
    }

    /// Returns the socket that would receive a packet, by the kernel's own lookup: first a connected one, then the
    /// selection of the sk_lookup programs, then a listening or unconnected one; nil if the packet would be refused.
    ///
    /// The sk_lookup programs run and count as for a real packet. Of a SO_REUSEPORT group, the result is the member
    /// that would receive it, unless a BPF program selects the member.
    ///
    /// - Parameters:
    ///   - transport: The protocol of the packet.
    ///   - destination: The destination of the packet.
    ///   - source: The source of the packet, of the same family.
    ///   - interface: The index of the interface on which it arrives; 0 for none.
    /// - Throws: `systemCall`; `invalidAddress` if the families differ.
    package func socket(
        receiving transport: TransportProtocol, to destination: SocketAddress, from source: SocketAddress,
        on interface: UInt32 = 0
    ) throws(SteeringError) -> DiagnosedSocket? {
        guard destination.address.family == source.address.family else {
            throw SteeringError(
                .invalidAddress, "a packet cannot go from \(source) to \(destination): give addresses of one family")
        }
        var request = request(transport, destination.address.family == .ipv4 ? AF_INET : AF_INET6)
        request.idiag_states = .max
        // The kernel takes the local end from `src` for TCP and, "for historical reasons", from `dst` for UDP.
        let (src, dst) = transport == .tcp ? (destination, source) : (source, destination)
        request.id.idiag_sport = src.port.bigEndian
        request.id.idiag_dport = dst.port.bigEndian
        store(src.address, in: &request.id.idiag_src)
        store(dst.address, in: &request.id.idiag_dst)
        request.id.idiag_if = interface
        request.id.idiag_cookie = (.max, .max)  // INET_DIAG_NOCOOKIE

        var found: DiagnosedSocket?
        do throws(SteeringError) {
            try netlink.request(UInt16(SOCK_DIAG_BY_FAMILY), flags: 0, payload: bytes(of: request)) { _, payload in
                found = DiagnosedSocket(payload, transport)
            }
        } catch  where error.errno == ENOENT {
            return nil
        }
        return found
    }

    private func request(_ transport: TransportProtocol, _ family: CInt) -> inet_diag_req_v2 {
        var request = inet_diag_req_v2()
        request.sdiag_family = UInt8(family)
        request.sdiag_protocol = UInt8(transport == .tcp ? IPPROTO_TCP : IPPROTO_UDP)
        return request
    }

    private func store<Words>(_ address: IPAddress, in words: inout Words) {
        withUnsafeMutableBytes(of: &words) { $0.copyBytes(from: address.bytes) }
    }
}

extension DiagnosedSocket {
    fileprivate init?(_ payload: ArraySlice<UInt8>, _ transport: TransportProtocol) {
        guard let message = value(inet_diag_msg.self, in: payload) else { return nil }
        func address<Words: BitwiseCopyable>(_ words: Words, _ port: UInt16) -> SocketAddress {
            SocketAddress(
                IPAddress(networkOrder: words, CInt(message.idiag_family)), port: UInt16(bigEndian: port))
        }
        let id = message.id
        cookie = SocketCookie(UInt64(id.idiag_cookie.0) | UInt64(id.idiag_cookie.1) << 32)
        self.transport = transport
        localAddress = address(id.idiag_src, id.idiag_sport)
        let waits = transport == .tcp ? TCP_LISTEN : TCP_CLOSE
        remoteAddress = Int(message.idiag_state) == Int(waits) ? nil : address(id.idiag_dst, id.idiag_dport)
        inode = message.idiag_inode
        userID = message.idiag_uid
        interface = id.idiag_if
        waiting = transport == .tcp && remoteAddress == nil ? message.idiag_rqueue : 0
        var options: UInt8?
        forEachAttribute(in: payload.dropFirst(MemoryLayout<inet_diag_msg>.size)) { type, content in
            if type == 22 /* INET_DIAG_SOCKOPT */ { options = content.first }
        }
        // The bits of inet_diag_sockopt for freebind and transparent.
        sendsFromAnywhere = options.map { $0 & 0x24 != 0 }
    }
}
