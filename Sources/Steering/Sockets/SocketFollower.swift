import Glibc

/// Keeps the sockets registered for labels equal to those on which a program listens, through reloads and changes of
/// workers.
///
/// Only the program holds its sockets: when it closes one, the socket is gone and the kernel removes it. A socket that
/// it opens is registered beside its SO_REUSEPORT group, or once the previous socket is gone. In between, a
/// ``StandbySocket`` makes clients retry. So a late turn costs a client a second, not the connection.
///
/// The kernel has no event for a socket that starts to listen. (sock_diag multicasts the destruction of each socket,
/// which would add a cost to every connection on the machine.) Each turn lists the listening sockets by sock_diag, and
/// inspects the program's descriptors if the list has changed, a registration is to be retried, or the last inspection
/// is more than 2 seconds old.
package struct SocketFollower {
    /// A label, and the program's sockets that belong to it.
    package struct Part: Sendable {
        package let label: Label
        /// The sockets, each matched by any of these; empty for all sockets.
        package let selectors: [SocketSelector]
        /// The label's destinations that bindings lead to; empty if there are none, or they are unknown.
        private let destinations: [Destination]

        package init(_ label: Label, _ selectors: [SocketSelector], destinations: [Destination] = []) {
            self.label = label
            self.selectors = selectors
            self.destinations = destinations
        }

        /// Whether the label needs a socket for a kind of packets.
        func needs(_ kind: ListeningProgram.Kind) -> Bool {
            destinations.isEmpty
                || destinations.contains { $0.transport == kind.transport && $0.family == kind.family }
        }

        /// Whether the label needs a socket of a protocol.
        func needs(_ transport: TransportProtocol) -> Bool {
            destinations.isEmpty || destinations.contains { $0.transport == transport }
        }

        func means(_ transport: TransportProtocol, _ address: SocketAddress) -> Bool {
            selectors.isEmpty || selectors.contains { $0.matches(transport, address) }
        }
    }

    private let lender: any SocketLender
    private let tell: @Sendable (String) -> Void
    private var program: ListeningProgram
    private var labels: [FollowedLabel]
    /// The sockets that listened in the namespace when the program was last inspected.
    private var listened: Set<SocketCookie> = []
    private var nextLook = ContinuousClock.now
    /// The number of what the sockets are registered in; nil if it is unknown.
    private var attachment: UInt32?
    private var isLoaded = true
    private var nextQuestion = ContinuousClock.now

    /// Creates a follower, which registers nothing before ``register(replacing:)``.
    ///
    /// - Parameters:
    ///   - process: The program's first process, by its number in the caller's /proc.
    ///   - parts: The labels.
    ///   - lender: Where sockets are registered.
    ///   - tell: Receives a message for people, once for each problem.
    package init(
        _ process: pid_t, _ parts: [Part], _ lender: any SocketLender, tell: @escaping @Sendable (String) -> Void
    ) {
        program = ListeningProgram(root: process)
        labels = parts.map { FollowedLabel($0) }
        self.lender = lender
        self.tell = tell
    }

    // MARK: - First registration

    /// The program's sockets for one label.
    package struct Choice: Sendable, Hashable {
        package let label: Label
        package let sockets: Set<SocketCookie>
    }

    /// Returns what would be registered now, or nothing while a label has no socket.
    ///
    /// - Parameter one: Whether each label gets one socket or SO_REUSEPORT group in total, rather than for each
    ///   protocol and family.
    /// - Returns: The choice for each label.
    /// - Throws: `multipathTCP`, `socketBoundToDevice`, `socketNotFound` if the sockets are of another protocol than
    ///   the bindings, `ambiguousSocket`, `processUnavailable`, `systemCall`.
    package mutating func choices(one: Bool = false) throws(SteeringError) -> [Choice] {
        let listeners = try look(ListeningSockets())
        var choices: [Choice] = []
        for index in labels.indices {
            let part = labels[index].part
            let own = listeners.filter { part.means($0.facts.transport, $0.facts.localAddress) }
            let missing = MissingSockets(part, own, of: program)
            try missing.check()
            labels[index].missing = missing.reasons
            let groups = try FollowedLabel.nearest(own.groups, one: one, of: program.root)
            labels[index].chosen = groups
            if !groups.isEmpty { choices.append(Choice(label: part.label, sockets: Set(groups.flatMap(\.cookies)))) }
        }
        return choices.count == labels.count ? choices : []
    }

    /// Registers the chosen sockets.
    ///
    /// - Parameter replacing: Whether they replace the sockets that the labels have.
    /// - Returns: False if a chosen socket has been closed; the labels before it are registered.
    /// - Throws: Errors of the lender; `systemCall`.
    package mutating func register(replacing: Bool) throws(SteeringError) -> Bool {
        // Asked first: if it is loaded again meanwhile, the sockets are registered once more.
        attachment = try? lender.attachment()
        for index in labels.indices {
            guard try labels[index].begin(lender, replacing: replacing) else { return false }
            labels[index].tellMissing(tell)
        }
        return true
    }

    // MARK: - Following

    /// The registered sockets that were open at the last inspection.
    package var registered: Set<SocketCookie> { Set(labels.flatMap(\.cookies)) }

    /// Registers new sockets, and drops closed ones. If the steering was unloaded and loaded again, registers all.
    ///
    /// - Parameter isSure: Whether to inspect the program even if nothing seems to have changed.
    /// - Throws: `processUnavailable`, `systemCall`. Errors of the lender are reported to `tell` instead.
    package mutating func turn(isSure: Bool = false) throws(SteeringError) {
        let listening = try ListeningSockets()
        let now = ContinuousClock.now
        if isSure || now >= nextQuestion { noticeLoading() }
        let isDue = labels.contains(where: \.isUnsettled) || listening.cookies != listened || now >= nextLook
        for index in labels.indices { labels[index].keepStandbys(listening.cookies, lender, tell) }
        guard isSure || isDue else { return }
        let listeners = try look(listening)
        for index in labels.indices {
            let part = labels[index].part
            let own = listeners.filter { part.means($0.facts.transport, $0.facts.localAddress) }
            labels[index].follow(own.groups, stillOpen: listening.cookies, lender, tell)
            labels[index].missing = MissingSockets(part, own, of: program).reasons
            labels[index].tellMissing(tell)
        }
    }

    /// Notices every 2 seconds whether the steering was unloaded, and loaded again.
    private mutating func noticeLoading() {
        nextQuestion = .now + .seconds(2)
        do throws(SteeringError) {
            guard let number = try lender.attachment() else {
                // An older steerd logs each question that it does not know.
                nextQuestion = .now + .seconds(3600)
                return
            }
            isLoaded = true
            defer { attachment = number }
            guard let former = attachment, former != number else { return }
            for index in labels.indices { labels[index].registerAnew() }
            tell("the steering was unloaded and loaded again: registering the sockets again")
        } catch {
            // steerd may be restarting; then the steering goes on.
            guard error.code == .notLoaded, isLoaded else { return }
            isLoaded = false
            tell("nothing is steered any more: \(error.message)")
        }
    }

    /// The time until the next turn: at least 200 ms, and 20 times as long as the last inspection took.
    package private(set) var pause: Duration = .milliseconds(200)

    /// Inspects the program's descriptors.
    private mutating func look(_ listening: ListeningSockets) throws(SteeringError) -> [ListeningProgram.Listener] {
        let begin = ContinuousClock.now
        let listeners = try program.listeners(among: listening)
        let taken = ContinuousClock.now - begin
        listened = listening.cookies
        // sock_diag shows no change when the program closes a socket that another process still holds.
        nextLook = begin + max(.seconds(2), taken * 50)
        pause = max(.milliseconds(200), taken * 20)
        return listeners
    }

    /// Returns the processes that hold registered sockets, and may carry on after the program's first process has
    /// ended.
    package func holders() throws(SteeringError) -> [pid_t] {
        let cookies = registered
        let inodes = try SocketDiagnostics().sockets().values.filter { cookies.contains($0.cookie) }.map(\.inode)
        let owners = try SocketOwners(of: inodes)
        return Set(inodes.flatMap { owners[$0].map(\.pid) }).sorted()
    }

    /// Adds processes to follow.
    package mutating func adopt(_ processes: [pid_t]) {
        for process in processes { program.adopt(process) }
    }
}

extension [ListeningProgram.Listener] {
    /// Groups the sockets: single ones and SO_REUSEPORT groups, those nearest to the root first.
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

/// A socket of a program, or one of its SO_REUSEPORT groups.
struct ListenerGroup {
    var members: [ListeningProgram.Listener]

    var place: ListeningProgram.Place { members[0].place }
    var isReuseport: Bool { members[0].facts.isReuseport }
    var depth: Int { members[0].depth }
    var cookies: Set<SocketCookie> { Set(members.map(\.facts.cookie)) }
}
