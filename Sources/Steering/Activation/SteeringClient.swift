import Glibc
import Synchronization

/// A connection to steerd, the socket activation service: it registers sockets on behalf of processes without any
/// privilege, and holds them, so that a listener outlives its process.
///
///     let steerd = SteeringClient()
///     // What the former instance left, with the connections that wait in it; or the first of its kind.
///     if let claimed = try? steerd.claim("web").first {
///         serve(on: try claimed.duplicate())
///     } else {
///         let listener = try OwnedDescriptor.listener(on: SocketAddress("127.0.0.1:0"))
///         try steerd.register(listener, as: "web", replacing: true)
///         serve(on: listener)
///     }
///
/// Who may do that for which label, the policy file says. Calls take turns, may be made from any thread and wait
/// for the answer. A connection is made when it is needed, and made anew when steerd was restarted: a call that meets
/// a restart is made again, for as long as the client's patience lasts.
///
/// Needs no capability and no BPF; works in other mount, process and user namespaces, wherever steerd's socket can be
/// reached, but the sockets must be of steerd's network namespace.
public final class SteeringClient: Sendable {
    /// Where steerd listens unless told otherwise.
    public static let defaultPath = "/run/steerd.sock"

    private let path: String
    private let patience: Duration
    private let connection = Mutex<MessageSocket?>(nil)

    /// Makes a client; nothing is connected yet.
    ///
    /// - Parameters:
    ///   - path: Where steerd listens.
    ///   - patience: How long a call waits for steerd to answer, and to come back when it is restarted.
    public init(_ path: String = defaultPath, patience: Duration = .seconds(5)) {
        self.path = path
        self.patience = patience
    }

    /// Registers sockets, and has steerd hold them. They stay the caller's, too.
    ///
    /// - Parameters:
    ///   - descriptors: TCP listeners and bound UDP sockets, as ``SockMap`` takes them.
    ///   - label: The label; the policy must name it.
    ///   - replacing: Whether they take the place of those that the label has for their protocols and families, which
    ///     steerd then closes. Connections that wait in those are lost, unless the former owner still accepts them, or
    ///     this process has claimed them: see ``claim(_:)``.
    /// - Returns: Each of the sockets.
    /// - Throws: `notAllowed`, `unknownLabel`, `destinationOccupied` unless replacing, `tooManySockets`; for sockets
    ///   that cannot be steered to, the codes of ``SockMap``; `serviceUnavailable`, `busy`. Without an
    ///   answer in time (`serviceUnavailable`) it may have been done.
    @discardableResult
    public func register(
        _ descriptors: [CInt], as label: Label, replacing: Bool = false
    ) throws(SteeringError) -> [HeldSocket] {
        try exchange(.register(label, replacing: replacing), descriptors).sockets()
    }

    /// Registers a socket that is owned here.
    ///
    /// - Throws: As ``register(_:as:replacing:)``.
    public func register(
        _ socket: borrowing OwnedDescriptor, as label: Label, replacing: Bool = false
    ) throws(SteeringError) {
        try register([socket.rawValue], as: label, replacing: replacing)
    }

    /// Registers sockets that steerd is not to hold: they stay the caller's alone, and are out when they are closed.
    ///
    /// - Throws: As ``register(_:as:replacing:)``.
    package func lend(_ descriptors: [CInt], to label: Label, replacing: Bool) throws(SteeringError) {
        _ = try exchange(.lend(label, replacing: replacing), descriptors)
    }

    package func standBy(_ descriptor: CInt, for label: Label) throws(SteeringError) {
        _ = try exchange(.standby(label), [descriptor])
    }

    package func takeBack(_ socket: SocketCookie, from label: Label) throws(SteeringError) {
        _ = try exchange(.unregister(label, socket))
    }

    /// Takes sockets of a label out, and has steerd close them. They stay open here.
    ///
    /// - Parameters:
    ///   - label: The label.
    ///   - descriptors: Which; none for all.
    /// - Throws: `notAllowed`, `unknownLabel`, `socketNotRegistered`, `serviceUnavailable`, `busy`.
    public func unregister(_ label: Label, _ descriptors: [CInt] = []) throws(SteeringError) {
        _ = try exchange(.unregister(label), descriptors)
    }

    /// A duplicate of each socket that steerd holds for a label, in the order in which they were registered. It goes
    /// on holding them.
    ///
    /// - Throws: `socketNotFound` when there is none; `invalidMessage` when what comes is something else; `notAllowed`, `unknownLabel`, `serviceUnavailable`, `busy`.
    public func claim(_ label: Label) throws(SteeringError) -> [ClaimedSocket] {
        let answer = try exchange(.claim(label))
        let sockets = try answer.sockets()
        guard sockets.count == answer.descriptors.count else { throw .invalidReply }
        for (socket, descriptor) in zip(sockets, answer.descriptors) {
            // Whoever shares a socket can make something else of it, and whoever listens at the path need not be steerd.
            let cookie = descriptor.lend { number in try? SteerableSocket(number).cookie }
            guard cookie == socket.cookie else { throw .otherSocket(socket) }
        }
        return zip(sockets, answer.descriptors).map { ClaimedSocket($0, $1) }
    }

    /// The sockets that steerd holds for a label, in the order in which they were registered; then those that are lent
    /// to it.
    ///
    /// - Throws: `notAllowed`, `serviceUnavailable`, `busy`; `unknownLabel` where no binding leads to the label and it
    ///   has no socket.
    public func sockets(of label: Label) throws(SteeringError) -> [HeldSocket] {
        try exchange(.list(label)).sockets()
    }

    /// The labels that this process may use, with what is known of each.
    ///
    /// - Throws: `serviceUnavailable`, `busy`.
    public func status() throws(SteeringError) -> [LabelHoldings] {
        var labels: [LabelHoldings] = []
        for line in try exchange(.status).lines { labels.append(try LabelHoldings(line: line)) }
        return labels
    }

    /// What happened since steerd was started, as Prometheus reads it; of labels, what this process may use.
    ///
    /// - Throws: `notAllowed`, `serviceUnavailable`, `busy`.
    public func metrics() throws(SteeringError) -> String {
        try exchange(.metrics).lines.map { $0 + "\n" }.joined()
    }

    /// Has steerd read its policy file again: who may use which label, and what it starts. The file's bindings must be in
    /// force. It waits until that is done. Root may ask for it, and the user that steerd runs as.
    ///
    /// - Throws: `notAllowed`; `invalidPolicyFile` and what else is wrong with the file, which then changes nothing;
    ///   `missingCapability` when its bindings are not those in force; `serviceUnavailable`, `busy`.
    public func reload() throws(SteeringError) { _ = try exchange(.reload) }

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
        _ request: ActivationRequest, _ descriptors: [CInt] = []
    ) throws(SteeringError) -> Answer {
        guard descriptors.count <= MessageSocket.maximumDescriptors else { throw .tooManyDescriptors }
        let message = try connection.withLock { connection throws(SteeringError) in
            try answer(to: request, descriptors, over: &connection)
        }
        guard !message.isCut, !message.lacksDescriptors else { throw .invalidReply }
        switch try ActivationReply(message.bytes) {
        case .done(let lines): return Answer(lines: lines, descriptors: message.descriptors)
        case .refused(let code, let sentence): throw SteeringError(code, sentence)
        case .tubular: throw .invalidReply
        }
    }

    /// Asks until there is an answer: steerd may be restarted at any moment.
    private func answer(
        to request: ActivationRequest, _ descriptors: [CInt], over connection: inout MessageSocket?
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
                return message
            } catch {
                // Whatever comes over it would be the answer to something else.
                connection = nil
                let isRestart = [EPIPE, ECONNRESET, ECONNREFUSED, ENOENT].contains(error.errno)
                guard isRestart, .now < end else { throw .unavailable(path, error) }
                usleep(20_000)
            }
        }
    }
}

/// A socket that steerd held, taken back: a duplicate, closed when this object is gone.
public final class ClaimedSocket: Sendable {
    /// What steerd says of it.
    public let held: HeldSocket
    private let shared: SharedDescriptor

    init(_ held: HeldSocket, _ descriptor: SharedDescriptor) {
        self.held = held
        shared = descriptor
    }

    /// The descriptor, lent: it must not be closed, nor used after this object is gone.
    public var rawValue: CInt { shared.rawValue }

    /// Another descriptor of the same socket, to keep: close-on-exec.
    public func duplicate() throws(SteeringError) -> OwnedDescriptor { try OwnedDescriptor.duplicate(rawValue) }
}

extension SteeringError {
    fileprivate static func otherSocket(_ socket: HeldSocket) -> SteeringError {
        SteeringError(
            .invalidMessage,
            "what came for \(socket.transport) \(socket.boundAddress) is no such socket any more, or never was: "
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
            case EACCES: ("Permission denied", "its path and the socket must be open to this user")
            case EBADF: ("a descriptor is not open", "register sockets before closing them")
            default: (describe(errno: error.errno), "is it running, and is this its --socket?")
            }
        return SteeringError(
            error.errno == EBADF ? .invalidDescriptor : .serviceUnavailable,
            "steerd cannot be asked at \(path) (\(reason)): \(remedy)", cause: error.cause)
    }
}
