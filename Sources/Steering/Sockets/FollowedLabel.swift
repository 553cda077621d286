import Glibc

/// A label whose registered sockets a ``SocketFollower`` keeps equal to those of a program.
struct FollowedLabel {
    /// A socket or SO_REUSEPORT group that is or was registered.
    private struct Served {
        let place: ListeningProgram.Place
        /// The distance in generations from the program's root to the process that held it.
        let depth: Int
        var cookies: Set<SocketCookie>
    }

    /// The standby socket for one kind of packet, and since when the label has had no other (nil while it has one).
    private struct Standby {
        let socket: StandbySocket
        var vacant: ContinuousClock.Instant?
    }

    let part: SocketFollower.Part
    /// The groups to register first, which ``SocketFollower/choices(one:)`` picks.
    var chosen: [ListenerGroup] = []
    /// The reasons why packets have no socket, which ``MissingSockets`` gives.
    var missing: [String] = []
    /// Whether a registration failed and is to be retried.
    private(set) var isUnsettled = false
    private var served: [Served] = []
    private var standbys: [ListeningProgram.Kind: Standby] = [:]
    private var told: Set<String> = []

    /// How long standby sockets bridge a gap. After that the label's options decide whether its packets are refused or
    /// passed.
    private static let patience: Duration = .seconds(10)

    init(_ part: SocketFollower.Part) { self.part = part }

    /// The cookies of all registered sockets.
    var cookies: Set<SocketCookie> { served.reduce(into: []) { $0.formUnion($1.cookies) } }

    /// Returns the candidates that the processes nearest to the root hold: one group, or one for each kind of packet.
    ///
    /// - Throws: `ambiguousSocket`.
    static func nearest(
        _ groups: [ListenerGroup], one: Bool, of root: pid_t
    ) throws(SteeringError) -> [ListenerGroup] {
        guard let depth = groups.map(\.depth).min() else { return [] }
        if one {
            let nearest = groups.filter { $0.depth == depth }
            guard nearest.count == 1 else { throw .ambiguous(root, nearest, all: true) }
            return nearest
        }
        var chosen: [ListenerGroup] = []
        for (_, candidates) in groups.byKind {
            let nearest = candidates.filter { $0.depth == candidates[0].depth }
            guard nearest.count == 1 else { throw .ambiguous(root, nearest, all: false) }
            if !chosen.contains(where: { $0.place == nearest[0].place }) { chosen.append(nearest[0]) }
        }
        return chosen
    }

    /// Registers the chosen groups.
    ///
    /// - Returns: False if one of their sockets has been closed.
    mutating func begin(_ lender: any SocketLender, replacing: Bool) throws(SteeringError) -> Bool {
        var taken: [(group: ListenerGroup, sockets: [SharedDescriptor])] = []
        for group in chosen {
            let sockets = try group.take()
            guard sockets.count == group.members.count else { return false }
            taken.append((group, sockets))
        }
        try lend(taken.flatMap(\.sockets), lender, replacing: replacing)
        served = taken.map { Served(place: $0.group.place, depth: $0.group.depth, cookies: $0.group.cookies) }
        return true
    }

    // MARK: - Following

    /// Has the next ``follow(_:stillOpen:_:_:)`` register all sockets again, since their registrations are lost.
    mutating func registerAnew() {
        for index in served.indices { served[index].cookies = [] }
        standbys = [:]
        isUnsettled = true
    }

    /// Brings the registered sockets in line with the program's.
    mutating func follow(
        _ groups: [ListenerGroup], stillOpen: Set<SocketCookie>, _ lender: any SocketLender,
        _ tell: (String) -> Void
    ) {
        isUnsettled = false
        let held = groups.reduce(into: Set<SocketCookie>()) { $0.formUnion($1.cookies) }
        for index in served.indices {
            // The kernel has removed closed sockets. Those that other processes still hold must be unregistered: the
            // program will not read them.
            for cookie in served[index].cookies.subtracting(held) {
                if stillOpen.contains(cookie) { try? lender.takeBack(cookie, from: part.label) }
                served[index].cookies.remove(cookie)
            }
        }
        for group in groups { followAtItsPlace(group, lender, tell) }
        followElsewhere(groups, lender, tell)
        for group in served { tellLeftOut(group, tell) }
    }

    /// Registers new sockets at a known address: more members of a group, or the same listener opened again.
    private mutating func followAtItsPlace(_ group: ListenerGroup, _ lender: any SocketLender, _ tell: (String) -> Void)
    {
        guard let index = served.firstIndex(where: { $0.place == group.place }) else { return }
        let fresh = group.members.filter { !served[index].cookies.contains($0.facts.cookie) }
        guard !fresh.isEmpty, register(ListenerGroup(members: fresh), lender, tell) else { return }
        served[index].cookies.formUnion(fresh.map(\.facts.cookie))
    }

    /// Registers sockets at a new address, for a kind of packet that no open socket receives: another port or family
    /// after a reload.
    private mutating func followElsewhere(
        _ groups: [ListenerGroup], _ lender: any SocketLender, _ tell: (String) -> Void
    ) {
        let living = served.filter { !$0.cookies.isEmpty }
        let occupied = living.reduce(into: Set<ListeningProgram.Kind>()) { $0.formUnion($1.place.kinds) }
        let candidates = groups.filter { group in
            group.place.kinds.isDisjoint(with: occupied) && isPlausible(group)
        }
        let ambiguous = candidates.byKind.map(\.groups).filter { $0.count > 1 }
        for groups in ambiguous { tellOnce(SteeringError.cannotChoose(part.label, groups).message, tell) }
        let unclear = Set(ambiguous.joined().map(\.place))
        for group in candidates where !unclear.contains(group.place) {
            guard register(group, lender, tell) else { continue }
            served.removeAll { $0.cookies.isEmpty && !$0.place.kinds.isDisjoint(with: group.place.kinds) }
            served.append(Served(place: group.place, depth: group.depth, cookies: group.cookies))
        }
    }

    /// Whether a group at a new address is likely to be the server's own. Login sessions and processes that the server
    /// starts may listen too, but further from the root; a UDP socket may belong to a DNS client.
    private func isPlausible(_ group: ListenerGroup) -> Bool {
        let former = served.filter { !$0.place.kinds.isDisjoint(with: group.place.kinds) }
        let limit = (former.isEmpty ? served : former).map(\.depth).max() ?? 0
        guard group.depth <= limit else { return false }
        return group.place.transport == .tcp || part.selectors.contains { $0.transport == .udp }
            || served.contains { $0.place.address.port == group.place.address.port }
    }

    private mutating func register(
        _ group: ListenerGroup, _ lender: any SocketLender, _ tell: (String) -> Void
    ) -> Bool {
        do throws(SteeringError) {
            let sockets = try group.take()
            guard sockets.count == group.members.count else {
                isUnsettled = true
                return false
            }
            try lend(sockets, lender, replacing: false)
            return true
        } catch {
            // If the label was taken over, it stays with its new owner; other errors may pass.
            isUnsettled = error.code != .destinationOccupied
            tellOnce("\(group.place) is not registered as \(part.label): \(error.message)", tell)
            return false
        }
    }

    private func lend(
        _ sockets: [SharedDescriptor], _ lender: any SocketLender, replacing: Bool
    ) throws(SteeringError) {
        try withExtendedLifetime(sockets) { () throws(SteeringError) in
            try lender.lend(sockets.map(\.rawValue), to: part.label, replacing: replacing)
        }
    }

    mutating func tellMissing(_ tell: (String) -> Void) {
        for reason in missing { tellOnce(reason, tell) }
    }

    /// Tells of the members of a SO_REUSEPORT group that find no slot, of which the standby socket takes one.
    private mutating func tellLeftOut(_ group: Served, _ tell: (String) -> Void) {
        let room = SocketSlots.perDestination - 1
        guard group.cookies.count > room else { return }
        tellOnce(
            "\(room) of the \(group.cookies.count) sockets at \(group.place) are registered as \(part.label): all get their share, but the others do not stand in when these are closed",
            tell)
    }

    private mutating func tellOnce(_ sentence: String, _ tell: (String) -> Void) {
        if told.insert(sentence).inserted { tell(sentence) }
    }

    // MARK: - Standby sockets

    /// Keeps a standby socket for each kind of packet that the label has, or recently had, a socket for.
    mutating func keepStandbys(
        _ open: Set<SocketCookie>, _ lender: any SocketLender, _ tell: (String) -> Void
    ) {
        let living = served.filter { !$0.cookies.isDisjoint(with: open) }
        let kinds = living.reduce(into: Set<ListeningProgram.Kind>()) { $0.formUnion($1.place.kinds) }
        for kind in kinds {
            standbys[kind]?.vacant = nil
            guard standbys[kind] == nil else { continue }
            do throws(SteeringError) {
                let standby = Standby(socket: try StandbySocket(kind.transport, kind.family))
                try lender.standBy(standby.socket.socket.rawValue, for: part.label)
                standbys[kind] = standby
            } catch {
                tellOnce("clients are refused while \(part.label) is reloaded: \(error.message)", tell)
            }
        }
        let now = ContinuousClock.now
        for kind in Array(standbys.keys) where !kinds.contains(kind) {
            let since = standbys[kind]?.vacant ?? now
            standbys[kind]?.vacant = since
            if now - since > Self.patience { standbys[kind] = nil }
        }
    }
}

extension ListenerGroup {
    /// Returns a duplicate of each member that is still open.
    fileprivate func take() throws(SteeringError) -> [SharedDescriptor] {
        var sockets: [SharedDescriptor] = []
        for member in members { if let socket = try member.take() { sockets.append(socket) } }
        return sockets
    }
}

extension [ListenerGroup] {
    /// The groups that can receive each kind of packet.
    fileprivate var byKind: [(kind: ListeningProgram.Kind, groups: [ListenerGroup])] {
        var byKind: [(kind: ListeningProgram.Kind, groups: [ListenerGroup])] = []
        for transport in TransportProtocol.allCases {
            for family in IPFamily.allCases {
                let kind = ListeningProgram.Kind(transport: transport, family: family)
                let groups = filter { $0.place.kinds.contains(kind) }
                if !groups.isEmpty { byKind.append((kind, groups)) }
            }
        }
        return byKind
    }

    /// A description of each group, of 12 at most.
    fileprivate var words: String {
        let texts = prefix(12).map {
            $0.members.count > 1 ? "\($0.place) (\($0.members.count) sockets, SO_REUSEPORT)" : "\($0.place)"
        }
        return texts.joined(separator: ", ") + (count > texts.count ? " and \(count - texts.count) more" : "")
    }
}

extension SteeringError {
    fileprivate static func ambiguous(_ process: pid_t, _ groups: [ListenerGroup], all: Bool) -> SteeringError {
        let kinds = groups.map(\.place.kinds)
        let areDisjoint = kinds.reduce(0) { $0 + $1.count } == kinds.reduce(into: Set()) { $0.formUnion($1) }.count
        let places = Set(groups.map { SocketSelector($0.place.transport, $0.place.address) })
        let remedy =
            places.count < groups.count
            ? "they share protocol and address: let it register itself"
            : all && areDisjoint
                ? "name one by protocol and address, or give --all" : "name one by protocol and address"
        return SteeringError(
            .ambiguousSocket,
            "process \(process) has \(groups.count) sockets that match, \(groups.words): \(remedy)")
    }

    fileprivate static func cannotChoose(_ label: Label, _ groups: [ListenerGroup]) -> SteeringError {
        SteeringError(
            .ambiguousSocket,
            "\(label) has lost its socket, and \(groups.count) others could replace it, \(groups.words): none is registered; restart it with one, or name one"
        )
    }
}
