import Glibc

/// Selects sockets of a process by protocol and bound address.
public struct SocketSelector: Sendable, Hashable, CustomStringConvertible {
    /// The protocol; nil for any.
    public let transport: TransportProtocol?
    /// The exact address and port to which the socket is bound, such as 0.0.0.0:80; nil for any.
    public let address: SocketAddress?
    /// The port to which the socket is bound, at any address; nil for any.
    public let port: UInt16?

    /// Selects by protocol and bound address.
    ///
    /// - Parameters:
    ///   - transport: The protocol; nil for any.
    ///   - address: The exact address and port; nil for any.
    public init(_ transport: TransportProtocol? = nil, _ address: SocketAddress? = nil) {
        self.transport = transport
        self.address = address
        port = nil
    }

    /// Selects by protocol and port, at any address.
    ///
    /// - Parameters:
    ///   - transport: The protocol; nil for any.
    ///   - port: The port.
    public init(_ transport: TransportProtocol? = nil, port: UInt16) {
        self.transport = transport
        self.port = port
        address = nil
    }

    /// Parses the bound address or port to select.
    ///
    /// - Parameters:
    ///   - transport: The protocol; nil for any.
    ///   - place: `127.0.0.1:80`, `[::1]:80`, or `:80` for any address.
    /// - Throws: `AddressError` if `place` has none of these forms.
    public init(_ transport: TransportProtocol?, place: some StringProtocol) throws(AddressError) {
        if place.first == ":" {
            self.init(transport, port: try SocketAddress("0.0.0.0\(place)").port)
        } else {
            self.init(transport, try SocketAddress(place))
        }
    }

    /// Returns whether a socket is selected.
    ///
    /// - Parameters:
    ///   - transport: The socket's protocol.
    ///   - boundAddress: The address and port to which it is bound.
    /// - Returns: True if protocol, address and port match; an IPv4-mapped IPv6 address matches as IPv4.
    public func matches(_ transport: TransportProtocol, _ boundAddress: SocketAddress) -> Bool {
        (self.transport ?? transport) == transport && (address ?? boundAddress).unmapped == boundAddress.unmapped
            && (port ?? boundAddress.port) == boundAddress.port
    }

    /// A description such as `tcp 0.0.0.0:80` or `tcp :80`.
    public var description: String {
        let parts = [transport?.description, address?.description, port.map { ":\($0)" }].compactMap { $0 }
        return parts.isEmpty ? "any socket" : parts.joined(separator: " ")
    }
}

/// A duplicate of another process's socket (`pidfd_getfd`), closed when this object is released.
///
/// That process need not know that it is steered to. While the duplicate is open the socket stays open, even when the
/// process ends: register the socket, then release this object.
public final class ProcessSocket: Sendable {
    /// The duplicate.
    public let socket: OwnedDescriptor
    /// The process from which it was taken.
    public let pid: pid_t
    /// The socket's inode, as shown in /proc and by `ss -e`.
    public let inode: UInt32
    /// The number of members of its SO_REUSEPORT group that this process does not hold.
    ///
    /// The kernel distributes packets to them as well; register them too, so that one can stand in when this socket is
    /// closed.
    public let membersElsewhere: Int
    let steerable: SteerableSocket

    init(
        _ socket: consuming OwnedDescriptor, _ steerable: SteerableSocket, pid: pid_t, inode: UInt32,
        membersElsewhere: Int
    ) {
        self.socket = socket
        self.steerable = steerable
        self.pid = pid
        self.inode = inode
        self.membersElsewhere = membersElsewhere
    }

    /// The protocol.
    public var transport: TransportProtocol { steerable.transport }
    /// The address to which it is bound.
    public var boundAddress: SocketAddress { steerable.localAddress }
    /// Its cookie, which identifies the socket in the kernel.
    public var cookie: SocketCookie { steerable.cookie }

    func isGroup(with other: ProcessSocket) -> Bool {
        transport == other.transport && steerable.registration.isGroup(with: other.steerable.registration)
    }
}

extension ProcessSocket {
    /// Returns the sockets of a process that can be steered to.
    ///
    /// These are listening TCP sockets, and UDP sockets that are bound and not connected, in the calling thread's
    /// network namespace: each once, ordered by protocol and address.
    ///
    /// ## Kernel
    /// `pidfd_open`, `pidfd_getfd`: Linux 5.6. Needs CAP_SYS_PTRACE, and for another user's process also
    /// CAP_DAC_READ_SEARCH. Needs neither for a process of the same user that has no capability that the caller lacks
    /// and is dumpable, if Yama (`kernel.yama.ptrace_scope`) is 0 or absent. If the kernel has `sock_diag`, that finds
    /// the candidates first, and connections are not duplicated.
    ///
    /// - Parameters:
    ///   - pid: The process, by its number in the caller's /proc.
    ///   - selector: The sockets to return; nil for all.
    /// - Returns: At least one socket.
    /// - Throws: `processUnavailable`; `socketNotFound`, whose message lists the sockets that the process does have;
    ///   `multipathTCP` if only a Multipath TCP listener matches; `foreignNetworkNamespace` if it has matching sockets
    ///   in another namespace only; `systemCall`.
    public static func sockets(
        of pid: pid_t, matching selector: SocketSelector? = nil
    ) throws(SteeringError) -> [ProcessSocket] {
        let process = try ProcessDescriptors(of: pid)
        let selector = selector ?? SocketSelector()
        let sockets = try process.steerable()
        let matching = sockets.filter { selector.matches($0.transport, $0.boundAddress) }
        if !matching.isEmpty { return matching }
        throw try process.nothing(matching: selector, candidates: sockets)
    }

    /// Returns the only matching socket of a process, or all members of its only matching SO_REUSEPORT group.
    ///
    /// - Parameters:
    ///   - pid: The process, by its number in the caller's /proc.
    ///   - selector: The sockets to choose from; nil for all.
    /// - Returns: One socket, or the members of one group.
    /// - Throws: As ``sockets(of:matching:)``; `ambiguousSocket`, whose message lists the candidates.
    public static func onlySocket(
        of pid: pid_t, matching selector: SocketSelector? = nil
    ) throws(SteeringError) -> [ProcessSocket] {
        let sockets = try sockets(of: pid, matching: selector)
        guard sockets.candidates.count == 1 else { throw .ambiguous(pid, sockets.candidates) }
        return sockets
    }
}

extension ProcessSocket {
    /// Returns the listening TCP or bound UDP socket of this process itself, for server libraries that do not expose
    /// theirs.
    ///
    ///     try steering.sockets.register(ProcessSocket.own(matching: SocketSelector(.tcp)), as: "web")
    ///
    /// Needs a mounted /proc, but no privilege.
    ///
    /// - Parameter selector: The socket to return, if there are several; nil for any.
    /// - Returns: The only matching socket, or all members of its SO_REUSEPORT group.
    /// - Throws: As ``onlySocket(of:matching:)``; `socketNotFound` until the library listens.
    public static func own(matching selector: SocketSelector? = nil) throws(SteeringError) -> [ProcessSocket] {
        try onlySocket(of: getpid(), matching: selector)
    }
}

extension [ProcessSocket] {
    /// The candidates: single sockets and SO_REUSEPORT groups.
    var candidates: [[ProcessSocket]] {
        var groups: [[ProcessSocket]] = []
        var indices: [ListeningProgram.Place: Int] = [:]
        for socket in self {
            let place = ListeningProgram.Place(socket.transport, socket.boundAddress, socket.steerable.families)
            if let index = indices[place], groups[index][0].isGroup(with: socket) {
                groups[index].append(socket)
            } else {
                indices[place] = groups.count
                groups.append([socket])
            }
        }
        return groups
    }

    /// Describes each candidate, 12 at most.
    fileprivate static func describe(_ candidates: [[ProcessSocket]]) -> String {
        let texts = candidates.prefix(12).map { group in
            let text = "\(group[0].transport) \(group[0].boundAddress)"
            return group.count > 1 ? "\(text) (\(group.count) sockets, SO_REUSEPORT)" : text
        }
        let rest = candidates.count - texts.count
        return texts.joined(separator: ", ") + (rest > 0 ? " and \(rest) more" : "")
    }
}

extension SteeringError {
    static func ambiguous(_ pid: pid_t, _ candidates: [[ProcessSocket]]) -> SteeringError {
        let addresses = Set(candidates.map { SocketSelector($0[0].transport, $0[0].boundAddress) })
        let remedy =
            addresses.count > 1
            ? "name one by protocol and address" : "they share protocol and address: let it register itself"
        return SteeringError(
            .ambiguousSocket,
            "process \(pid) has \(candidates.count) sockets that match, "
                + "\([ProcessSocket].describe(candidates)): \(remedy)")
    }

    static func noneMatches(
        _ process: String, _ selector: SocketSelector, _ candidates: [ProcessSocket]
    ) -> SteeringError {
        SteeringError(
            .socketNotFound,
            "\(process) has no socket \(selector), but \([ProcessSocket].describe(candidates.candidates)): name one of these"
        )
    }
}
