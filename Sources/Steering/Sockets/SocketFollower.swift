import Glibc

/// Keeps what is registered for labels equal to what a program listens on, while it is reloaded and its workers change.
///
/// Nobody but the program holds its sockets: one that it closes is closed for all, and the kernel takes it out. What it
/// opens is registered beside its SO_REUSEPORT group, or once the socket before it is gone. Between the two a
/// ``StandbySocket`` has clients try again. So a turn may come late: it costs a client a second, not the connection.
///
/// The kernel has no event for a socket that begins to listen. (sock_diag multicasts the end of each socket, which would
/// cost every connection of the machine.) A turn asks sock_diag for what listens, and looks at the program's descriptors
/// only where that has changed.
package struct SocketFollower {
    /// A label, and which of the program's sockets are its own.
    package struct Part: Sendable {
        package let label: Label
        /// Any of these; none for every socket.
        package let selectors: [SocketSelector]
        /// Whether it is to have a socket of a protocol: whether a binding is of it.
        let needs: @Sendable (TransportProtocol) -> Bool

        package init(
            _ label: Label, _ selectors: [SocketSelector],
            needs: @escaping @Sendable (TransportProtocol) -> Bool = { _ in true }
        ) {
            self.label = label
            self.selectors = selectors
            self.needs = needs
        }

        func means(_ transport: TransportProtocol, _ address: SocketAddress) -> Bool {
            selectors.isEmpty || selectors.contains { $0.matches(transport, address) }
        }
    }

    private let lender: any SocketLender
    private let tell: @Sendable (String) -> Void
    private var program: ListeningProgram
    private var labels: [FollowedLabel]
    /// What listened in the namespace at the last look at the program.
    private var listened: Set<SocketCookie> = []
    private var nextLook = ContinuousClock.now

    /// - Parameters:
    ///   - process: The program's first process, as the caller's /proc shows it.
    ///   - parts: The labels.
    ///   - lender: Where sockets are registered.
    ///   - tell: Takes a sentence for people, once for each trouble.
    package init(
        _ process: pid_t, _ parts: [Part], _ lender: any SocketLender, tell: @escaping @Sendable (String) -> Void
    ) {
        program = ListeningProgram(root: process)
        labels = parts.map { FollowedLabel($0) }
        self.lender = lender
        self.tell = tell
    }

    // MARK: - The beginning

    /// What the program has for a label.
    package struct Choice: Sendable, Hashable {
        package let label: Label
        package let sockets: Set<SocketCookie>
    }

    /// What would be registered now; nothing where a label has no socket yet.
    ///
    /// - Parameter one: Whether each label has one socket, or one SO_REUSEPORT group; otherwise one for each protocol and
    ///   family.
    /// - Throws: `multipathTCP`, `socketBoundToDevice`, `ambiguousSocket`, `processUnavailable`, `systemCall`.
    package mutating func choices(one: Bool = false) throws(SteeringError) -> [Choice] {
        let listeners = try look(ListeningSockets())
        var choices: [Choice] = []
        for index in labels.indices {
            let part = labels[index].part
            let own = listeners.filter { part.means($0.facts.transport, $0.facts.localAddress) }
            try explainMissing(part, own)
            let groups = try FollowedLabel.nearest(own.groups, one: one, of: program.root)
            labels[index].chosen = groups
            if !groups.isEmpty { choices.append(Choice(label: part.label, sockets: Set(groups.flatMap(\.cookies)))) }
        }
        return choices.count == labels.count ? choices : []
    }

    /// Registers what was chosen.
    ///
    /// - Parameter replacing: Whether it takes the place of what the labels have.
    /// - Returns: Whether it was there still.
    package mutating func register(replacing: Bool) throws(SteeringError) -> Bool {
        for index in labels.indices {
            guard try labels[index].begin(lender, replacing: replacing) else { return false }
        }
        return true
    }

    /// A socket that is there and cannot be steered to, where nothing else of the label's can.
    private func explainMissing(
        _ part: Part, _ own: [ListeningProgram.Listener]
    ) throws(SteeringError) {
        let transports = Set(own.map(\.facts.transport))
        if !transports.contains(.tcp), part.needs(.tcp), part.selectors.allSatisfy({ $0.transport != .udp }),
            let address = program.multipath.sorted().first(where: { part.means(.tcp, $0) })
        {
            throw .isMultipath("process \(program.root)", address)
        }
        if let refused = program.refused.first(where: {
            part.means($0.transport, $0.address) && part.needs($0.transport) && !transports.contains($0.transport)
        }) {
            throw refused.error
        }
        guard let other = own.first, part.selectors.allSatisfy({ $0.transport == nil }),
            !transports.contains(where: part.needs), let needed = TransportProtocol.allCases.first(where: part.needs)
        else { return }
        throw .ofOtherProtocol(part.label, needed, program.root, other.place)
    }

    // MARK: - Following

    /// What is registered and was open at the last look.
    package var registered: Set<SocketCookie> { Set(labels.flatMap(\.cookies)) }

    /// Registers what is new, and forgets what is gone.
    ///
    /// - Parameter isSure: Whether to look at the program though nothing seems to have changed.
    package mutating func turn(isSure: Bool = false) throws(SteeringError) {
        let listening = try ListeningSockets()
        let now = ContinuousClock.now
        let isDue = labels.contains(where: \.isUnsettled) || listening.cookies != listened || now >= nextLook
        for index in labels.indices { labels[index].keepStandbys(listening.cookies, lender, tell) }
        guard isSure || isDue else { return }
        let listeners = try look(listening)
        for index in labels.indices {
            let part = labels[index].part
            let own = listeners.filter { part.means($0.facts.transport, $0.facts.localAddress) }
            labels[index].follow(own.groups, stillOpen: listening.cookies, lender, tell)
        }
    }

    /// How long until the next turn: seldom where a turn takes long.
    package private(set) var pause: Duration = .milliseconds(200)

    /// Looks at the program's descriptors.
    private mutating func look(_ listening: ListeningSockets) throws(SteeringError) -> [ListeningProgram.Listener] {
        let begin = ContinuousClock.now
        let listeners = try program.listeners(among: listening)
        let taken = ContinuousClock.now - begin
        listened = listening.cookies
        // What others still hold is no change that sock_diag shows.
        nextLook = begin + max(.seconds(2), taken * 50)
        pause = max(.milliseconds(200), taken * 20)
        return listeners
    }

    /// The processes that hold what is registered: who goes on when the program's first process has ended.
    package func holders() throws(SteeringError) -> [pid_t] {
        let cookies = registered
        let inodes = try SocketDiagnostics().sockets().values.filter { cookies.contains($0.cookie) }.map(\.inode)
        let owners = try SocketOwners(of: inodes)
        return Set(inodes.flatMap { owners[$0].map(\.pid) }).sorted()
    }

    /// Follows other processes, too.
    package mutating func adopt(_ processes: [pid_t]) {
        for process in processes { program.adopt(process) }
    }
}

extension [ListeningProgram.Listener] {
    /// Single sockets and SO_REUSEPORT groups, those nearest to the root first.
    var groups: [ListenerGroup] {
        var groups: [ListenerGroup] = []
        var indices: [ListeningProgram.Place: Int] = [:]
        for listener in self {
            if let index = indices[listener.place], groups[index].isReuseport, listener.facts.isReuseport {
                groups[index].members.append(listener)
            } else {
                indices[listener.place] = groups.count
                groups.append(ListenerGroup(members: [listener]))
            }
        }
        return groups
    }
}

/// A socket of a program, or a SO_REUSEPORT group of it.
struct ListenerGroup {
    var members: [ListeningProgram.Listener]

    var place: ListeningProgram.Place { members[0].place }
    var isReuseport: Bool { members[0].facts.isReuseport }
    var depth: Int { members[0].depth }
    var cookies: Set<SocketCookie> { Set(members.map(\.facts.cookie)) }
}

extension SteeringError {
    fileprivate static func ofOtherProtocol(
        _ label: Label, _ needed: TransportProtocol, _ process: pid_t, _ place: ListeningProgram.Place
    ) -> SteeringError {
        SteeringError(
            .socketNotFound,
            "the bindings of \(label) are of \(needed), and process \(process) has only \(place): give the process that listens, or name the socket if it is meant"
        )
    }
}
