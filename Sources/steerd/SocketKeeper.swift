import Glibc
import Logging
import PolicyFiles
import ServiceSupport
import Steering

/// Carries out requests: holds sockets, and keeps the steering's map consistent with them. Used by one thread.
final class SocketKeeper {
    let steering: SocketSteering
    /// Makes the calls that a client could block.
    let deputy: Deputy
    /// The sockets registered for labels, by way of the deputy.
    let registered: SockMap
    let policyFile: String
    let limits: Limits
    let manager: Notifier?
    let onDemand: OnDemand?
    let state: ServiceState
    let logger: Logger
    var log: RequestLog
    var authority: Authority
    var holdings = Holdings()
    var requests = Counts<String>()
    var postponed = PostponedWork()
    /// Stored sockets that are locked: they are taken over when they are not.
    var locked: [StoredDescriptor] = []

    init(
        _ steering: SocketSteering, _ deputy: Deputy, _ authority: Authority, policyFile: String, _ limits: Limits,
        _ manager: Notifier?, _ onDemand: OnDemand?, _ state: ServiceState, _ logger: Logger
    ) {
        self.steering = steering
        self.deputy = deputy
        registered = steering.sockets(by: deputy)
        self.policyFile = policyFile
        self.authority = authority
        self.limits = limits
        self.manager = manager
        self.onDemand = onDemand
        self.state = state
        self.logger = logger
        log = RequestLog(logger)
        steering.waitForWriters(atMost: PostponedWork.patience)
    }

    /// The state of the service in one line.
    var status: String { state.text }

    /// The number of held sockets.
    var count: Int { holdings.count }

    /// The groups whose members may use a label.
    var groups: Set<UInt32> { authority.groups }

    /// Returns how the policy file knows a client. Descriptors from strangers are not even received.
    func standing(of peer: Peer) -> Standing { authority.standing(of: peer) }

    /// Carries out the request in a message; returns the answer and the descriptors that go with it.
    func answer(
        _ message: ClientMessage, from client: Reception.Client
    ) -> (reply: ActivationReply, descriptors: [CInt]) {
        let peer = client.peer
        var label: Label?
        do throws(SteeringError) {
            guard authority.allowsAnything(peer) else { throw .notAllowed(peer, nil) }
            guard !message.isCut else { throw .messageTooLong }
            let request = try ActivationRequest(message.bytes, descriptors: message.count)
            label = request.label
            guard !message.lacksDescriptors else { throw .noRoom }
            let answer = try answer(request, message, peer)
            requests.add(request.verb)
            if let label, request.givesSockets, let onDemand, let process = client.process {
                onDemand.serves(label, peer.pid, process)
            }
            return answer
        } catch {
            log.add(error, peer, label)
            return (ActivationReply(error), [])
        }
    }

    private func answer(
        _ request: ActivationRequest, _ message: ClientMessage, _ peer: Peer
    ) throws(SteeringError) -> (ActivationReply, [CInt]) {
        if let label = request.label {
            guard authority.allows(peer, label) else { throw .notAllowed(peer, label) }
            try prune(label)
            deputy.begin(.user(peer.user), label)
        }
        switch request {
        case .register(let label, let replacing):
            return (.done(try register(message, label, replacing: replacing, peer)), [])
        case .lend(let label, let replacing):
            return (.done(try register(message, label, replacing: replacing, isLent: true, peer)), [])
        case .standby(let label):
            guard try steering.policy.labels.contains(label) else { throw .labelUnknown(label) }
            if let refusal = message.refusal { throw refusal }
            try registered.standBy(message.descriptors[0].rawValue, for: label)
            return (.done([]), [])
        case .tubular(let label):
            _ = try register(message, label, replacing: true, peer)
            return (.tubular, [])
        case .unregister(let label, let cookie):
            try unregister(message, cookie, label, peer)
            return (.done([]), [])
        case .claim(let label):
            let sockets = holdings[label]
            guard !sockets.isEmpty else { throw .nothingHeld(label) }
            guard sockets.count <= limits.socketsPerLabel else { throw .full("the answer", limits.socketsPerLabel) }
            log.add("claimed", label, sockets, peer)
            return (.done(try lines(sockets, label)), sockets.map(\.descriptor.rawValue))
        case .list(let label):
            let sockets = try lines(holdings[label], label) + lent(to: label)
            let isBound = try steering.policy.labels.contains(label)
            guard isBound || !sockets.isEmpty else { throw .labelUnknown(label) }
            return (.done(sockets), [])
        case .loaded(let label):
            let destinations = try label.map { label throws(SteeringError) in
                try steering.policy.destinations(of: label).map(\.line)
            }
            return (.done(["\(try steering.attachment())"] + (destinations ?? [])), [])
        case .status:
            return (.done(try status(for: peer).map(\.line)), [])
        case .metrics:
            return (.done(try metrics(for: peer)), [])
        case .reload:
            guard authority.mayReload(peer) else { throw .mayNotReload(peer) }
            try reload()
            return (.done([]), [])
        }
    }

    // MARK: - Registering

    /// Registers the sockets of a message, and holds them unless they are lent.
    ///
    /// - Returns: The sockets as they appear in the answer.
    /// - Throws: Only if no socket is registered: what fails afterwards is not the client's concern.
    private func register(
        _ message: ClientMessage, _ label: Label, replacing: Bool, isLent: Bool = false, _ peer: Peer
    ) throws(SteeringError) -> [String] {
        // A new label would need a number, which takes a capability; and a client could fill the map with labels.
        guard try steering.policy.labels.contains(label) else { throw .labelUnknown(label) }
        if let refusal = message.refusal { throw refusal }
        var sockets: [Holding] = []
        for (descriptor, facts) in zip(message.descriptors, try inspect(message.descriptors)) {
            let socket = Holding(descriptor: descriptor, facts: try facts.get())
            if !sockets.contains(where: { $0.facts.cookie == socket.facts.cookie }) { sockets.append(socket) }
        }
        let former = holdings[label]
        let places = Set(sockets.flatMap { $0.destinations(label) })
        /// Returns the sockets to keep; before the registration, those that may have to be kept.
        func staying(_ isRegistered: (Holding) -> Bool) -> [Holding] {
            former.filter { socket in
                if sockets.contains(where: { $0.facts.cookie == socket.facts.cookie }) { return !isLent }
                return !replacing || places.isDisjoint(with: socket.destinations(label)) || isRegistered(socket)
            }
        }
        let most = staying { !places.isSuperset(of: $0.destinations(label)) }
        let fresh = sockets.filter { socket in
            !isLent && !former.contains { $0.facts.cookie == socket.facts.cookie }
        }
        guard most.count + fresh.count <= limits.socketsPerLabel else {
            throw .full("label \(label)", limits.socketsPerLabel)
        }
        guard holdings.count - former.count + most.count + fresh.count <= limits.sockets else {
            throw .full("steerd", limits.sockets)
        }
        let result: [RegisteredSocket]
        do throws(SteeringError) {
            result = try registered.register(
                sockets.map { ($0.descriptor.rawValue, $0.facts) }, as: label, replacing: replacing)
        } catch {
            // Sockets that were replaced before the failure are not restored by themselves.
            if replacing, error.code != .busy { reinstate(label) }
            throw error
        }
        // Packets now go to the new sockets; only now may the replaced ones be closed. Where the others cannot be listed,
        // they stay until the next registration.
        let present = (try? steering.sockets.list()).map { sockets in
            Set(sockets.filter { $0.destination.label == label }.map(\.cookie))
        }
        hold(staying { present?.contains($0.facts.cookie) ?? true } + fresh, label)
        log.add(replacing ? "registered in place of others" : "registered", label, sockets, peer)
        return sockets.map { $0.shown(among: result).line }
    }

    private func unregister(
        _ message: ClientMessage, _ cookie: SocketCookie?, _ label: Label, _ peer: Peer
    ) throws(SteeringError) {
        if let refusal = message.refusal { throw refusal }
        let registered = try steering.sockets.list().filter { $0.destination.label == label }
        var cookies = Set(registered.map(\.cookie)).union(holdings[label].map(\.facts.cookie))
        if !message.descriptors.isEmpty || cookie != nil {
            var meant = Set([cookie].compactMap { $0 })
            for descriptor in message.descriptors { meant.insert(try SteerableSocket.cookie(descriptor.rawValue)) }
            guard meant.isSubset(of: cookies) else { throw .notRegistered(label) }
            cookies = meant
        }
        guard !cookies.isEmpty else { throw .notRegistered(label) }
        for cookie in cookies where registered.contains(where: { $0.cookie == cookie }) {
            try steering.sockets.unregister(cookie, from: label)
        }
        let gone = holdings[label].filter { cookies.contains($0.facts.cookie) }
        hold(holdings[label].filter { !cookies.contains($0.facts.cookie) }, label)
        log.add("unregistered", label, gone, peer)
    }

    /// Replaces the sockets that are held for a label, also in the service manager's store.
    private func hold(_ sockets: [Holding], _ label: Label) {
        let before = Dictionary(uniqueKeysWithValues: holdings[label].map { ($0.facts.cookie, $0) })
        let after = Set(sockets.map(\.facts.cookie))
        for socket in sockets where before[socket.facts.cookie] == nil {
            manager?.store(socket.descriptor, as: StoredName(label, .socket(socket.facts.cookie)))
        }
        for cookie in before.keys where !after.contains(cookie) {
            manager?.forget(StoredName(label, .socket(cookie)))
        }
        holdings[label] = sockets
        onDemand?.hold(sockets.map(\.descriptor), label)
    }

    /// Releases sockets that no longer listen: any holder can shut a socket down for all, and the kernel's map keeps it
    /// until it is closed everywhere.
    ///
    /// - Throws: `busy`, since a socket that stays registered must stay held.
    private func prune(_ label: Label) throws(SteeringError) {
        deputy.begin(.label(label), label)
        let datagram = holdings[label].filter { $0.facts.transport == .udp }
        // If they are locked, or memory is lacking, this shows nothing.
        let found = datagram.isEmpty ? nil : try? inspect(datagram.map(\.descriptor))
        var dead = zip(datagram, found ?? []).filter { _, facts in
            if case .failure(let error) = facts { error.errno == 0 && error.code != .busy } else { false }
        }.map(\.0)
        dead += holdings[label].filter {
            $0.facts.transport == .tcp && (try? SteerableSocket.listens($0.descriptor.rawValue)) == false
        }
        guard !dead.isEmpty else { return }
        for socket in dead {
            do throws(SteeringError) { try steering.sockets.unregister(socket.facts.cookie, from: label) } catch {
                if error.code == .busy { throw error }
            }
        }
        hold(holdings[label].filter { socket in !dead.contains { $0.facts.cookie == socket.facts.cookie } }, label)
    }

    /// Inspects sockets by way of the deputy.
    func inspect(
        _ descriptors: [SharedDescriptor]
    ) throws(SteeringError) -> [Result<SteerableSocket, SteeringError>] {
        try withExtendedLifetime(descriptors) { () throws(SteeringError) in
            try deputy.inspect(descriptors.map(\.rawValue))
        }
    }
}

extension SteeringError {
    fileprivate static func notAllowed(_ peer: Peer, _ label: Label?) -> SteeringError {
        let what = label.map { "the label \($0)" } ?? "any label"
        return SteeringError(
            .notAllowed, "user \(peer.user) may not use \(what): allow the user in the policy file")
    }

    fileprivate static func mayNotReload(_ peer: Peer) -> SteeringError {
        SteeringError(.notAllowed, "user \(peer.user) may not reload the policy file: root may")
    }

    fileprivate static func labelUnknown(_ label: Label) -> SteeringError {
        SteeringError(
            .unknownLabel, "no binding in force leads to \(label): add one to the policy file, and reload it first")
    }

    fileprivate static func nothingHeld(_ label: Label) -> SteeringError {
        SteeringError(.socketNotFound, "no socket is held for \(label): register one")
    }

    static func full(_ what: String, _ limit: Int) -> SteeringError {
        SteeringError(
            .tooManySockets, "\(what) would hold more than \(limit) sockets: unregister some, or replace them")
    }

    fileprivate static let messageTooLong = SteeringError(
        .invalidMessage,
        "the message is longer than \(ActivationRequest.maximumSize) bytes: docs/protocol.md lists the messages"
    )

    fileprivate static let noRoom = SteeringError(
        .busy, "not all descriptors of the message could be taken: send fewer at once, or try again")
}
