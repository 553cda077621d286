import Glibc
import Synchronization

/// A client of steerd, the socket activation service, which registers sockets on behalf of unprivileged processes and
/// holds them, so that a listener outlives its process.
///
///     let steerd = SteeringClient()
///     // Take over the listener of the previous instance, with its queued connections, or create the first one.
///     if let claimed = try? steerd.claim("web").first {
///         serve(on: try claimed.duplicate())
///     } else {
///         let listener = try OwnedDescriptor.listener(on: SocketAddress("127.0.0.1:0"))
///         try steerd.register(listener, as: "web", replacing: true)
///         serve(on: listener)
///     }
///
/// The policy file defines which users may use which label. Calls may be made from any thread; they take turns, and
/// block until steerd answers. The client connects when needed, and reconnects after a restart of steerd: a call that
/// fails because of a restart is repeated until the client's patience runs out.
///
/// Needs no capability and no BPF. Works from other mount, process and user namespaces that can reach steerd's socket,
/// but the sockets must belong to steerd's network namespace.
public final class SteeringClient: Sendable {
    /// The path at which steerd listens by default.
    public static let defaultPath = "/run/steerd.sock"

    private let path: String
    private let patience: Duration
    private let connection = Mutex<MessageSocket?>(nil)

    /// Creates a client without connecting.
    ///
    /// - Parameters:
    ///   - path: The path at which steerd listens.
    ///   - patience: How long a call waits for an answer, and for steerd to return after a restart.
    public init(_ path: String = defaultPath, patience: Duration = .seconds(5)) {
        self.path = path
        self.patience = patience
    }

    /// Registers sockets and has steerd hold a duplicate of each.
    ///
    /// The caller's descriptors stay open.
    ///
    /// - Parameters:
    ///   - descriptors: TCP listeners and bound UDP sockets, as for ``SockMap``: 1 to 253.
    ///   - label: The label; a binding or a label option of the policy in force must name it.
    ///   - replacing: Whether they replace the sockets that the label has for their protocols and families, which
    ///     steerd then closes. Connections that wait in those are lost, unless the former owner still accepts them or
    ///     this process has claimed them: see ``claim(_:)``.
    /// - Returns: The registered sockets.
    /// - Throws: `notAllowed`, `unknownLabel`, `destinationOccupied` unless replacing, `tooManySockets`,
    ///   `invalidMessage` for an empty list; for sockets that cannot be steered to, the codes of ``SockMap``;
    ///   `serviceUnavailable`, `busy`. If steerd does not answer in time (`serviceUnavailable`), the sockets may have
    ///   been registered.
    @discardableResult
    public func register(
        _ descriptors: [CInt], as label: Label, replacing: Bool = false
    ) throws(SteeringError) -> [HeldSocket] {
        try exchange(.register(label, replacing: replacing), descriptors).sockets()
    }

    /// Registers a socket that the caller owns, as ``register(_:as:replacing:)`` does several.
    ///
    /// - Parameters:
    ///   - socket: The socket.
    ///   - label: The label; a binding or a label option of the policy in force must name it.
    ///   - replacing: Whether it replaces the sockets that the label has for its protocol and families.
    /// - Throws: As `register`.
    public func register(
        _ socket: borrowing OwnedDescriptor, as label: Label, replacing: Bool = false
    ) throws(SteeringError) {
        try register([socket.rawValue], as: label, replacing: replacing)
    }

    /// Registers sockets without having steerd hold them: they remain the caller's alone, and are unregistered by
    /// closing them.
    ///
    /// - Throws: As `register`.
    package func lend(_ descriptors: [CInt], to label: Label, replacing: Bool) throws(SteeringError) {
        _ = try exchange(.lend(label, replacing: replacing), descriptors)
    }

    package func standBy(_ descriptor: CInt, for label: Label) throws(SteeringError) {
        _ = try exchange(.standby(label), [descriptor])
    }

    package func takeBack(_ socket: SocketCookie, from label: Label) throws(SteeringError) {
        _ = try exchange(.unregister(label, socket))
    }

    /// Unregisters sockets of a label and has steerd close its duplicates.
    ///
    /// The caller's descriptors stay open.
    ///
    /// - Parameters:
    ///   - label: The label.
    ///   - descriptors: The sockets, 253 at most; an empty list for all of the label.
    /// - Throws: `notAllowed`, `socketNotRegistered`, `tooManySockets`; for sockets that cannot be steered to, the
    ///   codes of ``SockMap``; `serviceUnavailable`, `busy`.
    public func unregister(_ label: Label, _ descriptors: [CInt] = []) throws(SteeringError) {
        _ = try exchange(.unregister(label), descriptors)
    }

    /// Returns a duplicate of each socket that steerd holds for a label. steerd keeps holding them.
    ///
    /// - Parameter label: The label.
    /// - Returns: At least one socket, in the order of registration.
    /// - Throws: `socketNotFound` if steerd holds none; `invalidMessage` if a descriptor is not the socket that the
    ///   answer names; `notAllowed`, `serviceUnavailable`, `busy`.
    public func claim(_ label: Label) throws(SteeringError) -> [ClaimedSocket] {
        let answer = try exchange(.claim(label))
        let sockets = try answer.sockets()
        guard sockets.count == answer.descriptors.count else { throw .invalidReply }
        for (socket, descriptor) in zip(sockets, answer.descriptors) {
            // Other holders can change a shared socket, and the process that listens at the path need not be steerd.
            let cookie = descriptor.lend { number in try? SteerableSocket(number).cookie }
            guard cookie == socket.cookie else { throw .otherSocket(socket) }
        }
        return zip(sockets, answer.descriptors).map { ClaimedSocket($0, $1) }
    }

    /// Returns the sockets that steerd holds for a label, in the order of registration, then those that are lent to the
    /// label.
    ///
    /// - Parameter label: The label.
    /// - Returns: The sockets, possibly none.
    /// - Throws: `unknownLabel` if the label has no socket, and no binding or label option of the policy in force names
    ///   it; `notAllowed`, `serviceUnavailable`, `busy`.
    public func sockets(of label: Label) throws(SteeringError) -> [HeldSocket] {
        try exchange(.list(label)).sockets()
    }

    /// Returns the labels that this process may use, with their sockets and counters.
    ///
    /// - Returns: The labels.
    /// - Throws: `notAllowed` if there is none, `serviceUnavailable`, `busy`.
    public func status() throws(SteeringError) -> [LabelHoldings] {
        var labels: [LabelHoldings] = []
        for line in try exchange(.status).lines { labels.append(try LabelHoldings(line: line)) }
        return labels
    }

    /// Returns steerd's counters since its start, in the Prometheus text format.
    ///
    /// - Returns: The counters; those of labels only for labels that this process may use.
    /// - Throws: `notAllowed`, `serviceUnavailable`, `busy`.
    public func metrics() throws(SteeringError) -> String {
        try exchange(.metrics).lines.map { $0 + "\n" }.joined()
    }

    /// Has steerd reread its policy file for permissions and start commands, and waits until that is done.
    ///
    /// The file's bindings must be in force already. Only root and the user that steerd runs as may do this.
    ///
    /// - Throws: `notAllowed`; `invalidPolicyFile` and other codes for errors in the file, which then changes nothing;
    ///   `missingCapability` if its bindings are not those in force; `serviceUnavailable`, `busy`.
    public func reload() throws(SteeringError) { _ = try exchange(.reload) }

    /// Returns the number of what steerd has loaded, which changes when it is unloaded and loaded again; nil if steerd
    /// is too old to know. Does not wait for a restart of steerd.
    ///
    /// - Throws: `notLoaded` if nothing is loaded; `notAllowed`, `serviceUnavailable`, `busy`.
    package func attachment() throws(SteeringError) -> UInt32? {
        do throws(SteeringError) {
            guard let number = try exchange(.loaded(nil), isPatient: false).lines.first.flatMap({ UInt32($0) }) else {
                throw .invalidReply
            }
            return number
        } catch {
            guard error.code == .invalidMessage else { throw error }
            return nil
        }
    }

    /// Returns the destinations of a label that bindings lead to; none if steerd is too old to know.
    ///
    /// - Throws: `notLoaded`, `notAllowed`, `serviceUnavailable`, `busy`.
    package func destinations(of label: Label) throws(SteeringError) -> [Destination] {
        do throws(SteeringError) {
            let lines = try exchange(.loaded(label)).lines.dropFirst()
            return Destination.all(of: label).filter { lines.contains($0.line) }
        } catch {
            guard error.code == .invalidMessage else { throw error }
            return []
        }
    }

    // MARK: - Messages

    private struct Answer {
        let lines: [String]
        let descriptors: [SharedDescriptor]

        func sockets() throws(SteeringError) -> [HeldSocket] {
            var sockets: [HeldSocket] = []
            for line in lines { sockets.append(try HeldSocket(line: line)) }
            return sockets
        }
    }

    private func exchange(
        _ request: ActivationRequest, _ descriptors: [CInt] = [], isPatient: Bool = true
    ) throws(SteeringError) -> Answer {
        guard descriptors.count <= MessageSocket.maximumDescriptors else { throw .tooManyDescriptors }
        let message = try connection.withLock { connection throws(SteeringError) in
            try answer(to: request, descriptors, over: &connection, isPatient: isPatient)
        }
        guard !message.isCut, !message.lacksDescriptors else { throw .invalidReply }
        switch try ActivationReply(message.bytes) {
        case .done(let lines): return Answer(lines: lines, descriptors: message.descriptors)
        case .refused(let code, let sentence): throw SteeringError(code, sentence)
        case .tubular: throw .invalidReply
        }
    }

    /// Sends the request until it is answered, since steerd may be restarted at any moment, and does not itself wait
    /// for another process that is changing the steering; only once if not `isPatient`.
    private func answer(
        to request: ActivationRequest, _ descriptors: [CInt], over connection: inout MessageSocket?, isPatient: Bool
    ) throws(SteeringError) -> MessageSocket.Message {
        let end = ContinuousClock.now + patience
        while true {
            do throws(SteeringError) {
                if connection == nil { connection = try MessageSocket(connectedTo: path, timeout: patience) }
                let open = connection!
                try open.send(request.bytes, descriptors)
                guard let message = try open.receive(limit: ActivationReply.maximumSize) else {
                    throw SteeringError.failed("recvmsg", ECONNRESET)
                }
                if case .refused(.busy, _)? = try? ActivationReply(message.bytes), .now < end {
                    usleep(50_000)
                    continue
                }
                return message
            } catch {
                // A late answer over this connection would be taken for that of the next request.
                connection = nil
                let isRestart = [EPIPE, ECONNRESET, ECONNREFUSED, ENOENT].contains(error.errno)
                guard isRestart, isPatient, .now < end else { throw .unavailable(path, error) }
                usleep(20_000)
            }
        }
    }
}

/// A duplicate of a socket that steerd holds, closed when this object is released.
public final class ClaimedSocket: Sendable {
    /// The socket as steerd describes it.
    public let held: HeldSocket
    private let shared: SharedDescriptor

    init(_ held: HeldSocket, _ descriptor: SharedDescriptor) {
        self.held = held
        shared = descriptor
    }

    /// The descriptor, borrowed: do not close it, or use it after this object is released.
    public var rawValue: CInt { shared.rawValue }

    /// Returns another descriptor of the socket, close-on-exec, that the caller owns.
    ///
    /// - Returns: The descriptor.
    /// - Throws: `systemCall`.
    public func duplicate() throws(SteeringError) -> OwnedDescriptor { try OwnedDescriptor.duplicate(rawValue) }
}

extension SteeringError {
    fileprivate static func otherSocket(_ socket: HeldSocket) -> SteeringError {
        SteeringError(
            .invalidMessage,
            "the descriptor received for \(socket.transport) \(socket.boundAddress) is not that socket: "
                + "register another in its place")
    }

    fileprivate static let tooManyDescriptors = SteeringError(
        .tooManySockets,
        "a message takes \(MessageSocket.maximumDescriptors) sockets at most: register them in several calls")

    fileprivate static func unavailable(_ path: String, _ error: SteeringError) -> SteeringError {
        guard error.code == .systemCall else { return error }
        let (reason, remedy) =
            switch error.errno {
            case EAGAIN: ("it did not answer in time", "see its log")
            case EACCES: ("Permission denied", "this user needs access to its path and the socket")
            case EBADF: ("a descriptor is not open", "register sockets before closing them")
            default: (describe(errno: error.errno), "is it running, and is this its --socket?")
            }
        return SteeringError(
            error.errno == EBADF ? .invalidDescriptor : .serviceUnavailable,
            "steerd cannot be reached at \(path) (\(reason)): \(remedy)", cause: error.cause)
    }
}
