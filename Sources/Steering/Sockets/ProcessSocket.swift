import Glibc

/// Which sockets of a process are meant.
public struct SocketSelector: Sendable, Hashable, CustomStringConvertible {
    /// The protocol; nil for either.
    public let transport: TransportProtocol?
    /// Exactly where the socket is bound, such as 0.0.0.0:80; nil for anywhere.
    public let address: SocketAddress?
    /// The port that it is bound to, at whatever address; nil for any.
    public let port: UInt16?

    /// Names sockets by protocol and by where they are bound.
    public init(_ transport: TransportProtocol? = nil, _ address: SocketAddress? = nil) {
        self.transport = transport
        self.address = address
        port = nil
    }

    /// Names sockets by protocol and port, at whatever address they are bound.
    public init(_ transport: TransportProtocol? = nil, port: UInt16) {
        self.transport = transport
        self.port = port
        address = nil
    }

    /// Reads where sockets are bound.
    ///
    /// - Parameters:
    ///   - transport: The protocol; nil for either.
    ///   - place: `127.0.0.1:80`, `[::1]:80`, or `:80` for whatever address.
    /// - Throws: `AddressError`
    public init(_ transport: TransportProtocol?, place: some StringProtocol) throws(AddressError) {
        if place.first == ":" {
            self.init(transport, port: try SocketAddress("0.0.0.0\(place)").port)
        } else {
            self.init(transport, try SocketAddress(place))
        }
    }

    /// Whether a socket of this protocol that is bound there is meant.
    public func matches(_ transport: TransportProtocol, _ boundAddress: SocketAddress) -> Bool {
        (self.transport ?? transport) == transport && (address ?? boundAddress).unmapped == boundAddress.unmapped
            && (port ?? boundAddress.port) == boundAddress.port
    }

    /// `tcp 0.0.0.0:80`, `tcp :80`.
    public var description: String {
        let parts = [transport?.description, address?.description, port.map { ":\($0)" }].compactMap { $0 }
        return parts.isEmpty ? "any socket" : parts.joined(separator: " ")
    }
}

/// A socket of another process, which can be steered to without that process's knowledge: a duplicate
/// (`pidfd_getfd`), closed when this object is gone.
///
/// While it is open the socket lives on, even when its process ends: register it, then let it go.
public final class ProcessSocket: Sendable {
    /// The duplicate.
    public let socket: OwnedDescriptor
    /// The process it was taken from.
    public let pid: pid_t
    /// The socket's inode, as /proc and `ss -e` show it.
    public let inode: UInt32
    /// How many members of its SO_REUSEPORT group this process does not hold. The kernel spreads over
    /// those too; register them too, so that they are known when this one is closed.
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
    /// Where it is bound.
    public var boundAddress: SocketAddress { steerable.localAddress }
    /// The kernel's identity of it.
    public var cookie: SocketCookie { steerable.cookie }

    func isGroup(with other: ProcessSocket) -> Bool {
        transport == other.transport && steerable.registration.isGroup(with: other.steerable.registration)
    }
}

extension ProcessSocket {
    /// The sockets of a process that can be steered to: listening TCP and unconnected, bound UDP sockets
    /// of the calling thread's network namespace, each once, in the order of protocol and address.
    ///
    /// ## Kernel
    /// `pidfd_open`, `pidfd_getfd`: Linux 5.6. Needs CAP_SYS_PTRACE, for another user's process also
    /// CAP_DAC_READ_SEARCH; nothing for a process of the same user, if it has no more capabilities, is
    /// dumpable and Yama (`kernel.yama.ptrace_scope`) is 0 or absent. `sock_diag` tells beforehand which descriptors
    /// are worth taking: connections are not touched.
    ///
    /// - Parameters:
    ///   - pid: The process, as the caller's /proc shows it.
    ///   - selector: Which of them; nil for all.
    /// - Returns: At least one.
    /// - Throws: `processUnavailable`; `socketNotFound`, which says what the process has instead;
    ///   `foreignNetworkNamespace` when it has such sockets in another namespace only.
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

    /// The socket of a process that must be meant: its only one, or its SO_REUSEPORT group, whole.
    ///
    /// - Throws: As ``sockets(of:matching:)``; `ambiguousSocket`, which lists what there is to choose from.
    public static func theOne(
        of pid: pid_t, matching selector: SocketSelector? = nil
    ) throws(SteeringError) -> [ProcessSocket] {
        let sockets = try sockets(of: pid, matching: selector)
        guard sockets.candidates.count == 1 else { throw .ambiguous(pid, sockets.candidates) }
        return sockets
    }
}

extension ProcessSocket {
    /// The listening socket, or the bound UDP socket, of this process itself: for a server library that does not hand out
    /// what it opens.
    ///
    ///     try steering.sockets.register(ProcessSocket.own(matching: SocketSelector(.tcp)), as: "web")
    ///
    /// Needs no privilege but a mounted /proc.
    ///
    /// - Parameter selector: Which of them, where there are several.
    /// - Returns: The only one, or its SO_REUSEPORT group, whole.
    /// - Throws: As ``theOne(of:matching:)``: `socketNotFound` before the library listens.
    public static func own(matching selector: SocketSelector? = nil) throws(SteeringError) -> [ProcessSocket] {
        try theOne(of: getpid(), matching: selector)
    }
}

extension [ProcessSocket] {
    /// What there is to choose from: single sockets and SO_REUSEPORT groups.
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

    /// Each candidate in words, a dozen at most.
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
            ? "name one by protocol and address" : "they differ in nothing that could be named: let it register itself"
        return SteeringError(
            .ambiguousSocket,
            "process \(pid) has \(candidates.count) sockets that could be meant, "
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
