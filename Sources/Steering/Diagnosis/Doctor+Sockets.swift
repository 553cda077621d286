/// Findings about registered sockets.
extension Doctor {
    func sockets(of steering: SocketSteering, _ policy: Policy) throws(SteeringError) -> [Finding] {
        let registered = try steering.sockets.list()
        let taken = Set(registered.map(\.destination))
        var findings = Self.shortened(policy.destinations.subtracting(taken).sorted(), "sockets") { destination in
            let outcome = policy[destination.label].withoutSocket
            return Finding(
                .warning, "sockets",
                "\(destination) has bindings but no socket: its packets are \(outcome == .refuse ? "refused" : "left to the ordinary lookup")",
                remedy: place.steer(
                    .register, ["register", destination.label.name],
                    blanks: ["--pid", "PID", "\(destination.transport)", "ADDRESS:PORT"], namesProcess: true))
        }
        guard let known = try? namespace.run({ () throws(SteeringError) in try SocketDiagnostics().sockets() }) else {
            return findings
        }
        let groups = SocketGroups(registered, known, full: try full(steering))
        let owners = try SocketOwners(of: groups.inodes)
        let byCookie = Dictionary(grouping: registered, by: \.cookie).sorted { $0.key < $1.key }
        findings += Self.shortened(byCookie.compactMap { dead($0.value, known[$0.key], owners) }, "sockets") { $0 }
        findings += Self.shortened(byCookie.compactMap { bound($0.value, known[$0.key]) }, "devices") { $0 }
        findings += unregistered(groups, owners) + waiting(groups, owners) + alone(registered, known, owners)
        return findings + migration(groups) + answers(registered, known, owners, policy)
    }

    /// Returns the destinations without a free slot. A standby socket, which no list shows, has a slot, too.
    private func full(_ steering: SocketSteering) throws(SteeringError) -> Set<Destination> {
        try steering.reading { state throws(SteeringError) in
            let labels = state.numbers.byNumber
            let taken = Dictionary(grouping: try SocketSlots(state.plane).all(), by: \.destination)
            let full = taken.filter { $0.value.count >= SocketSlots.perDestination }
            return Set(full.keys.compactMap { Destination(number: $0, labels) })
        }
    }

    /// Returns a finding about a socket, registered for one or two destinations, that can no longer receive.
    private func dead(
        _ registered: [RegisteredSocket], _ socket: DiagnosedSocket?, _ owners: SocketOwners
    ) -> Finding? {
        let cookie = registered[0].cookie, label = registered[0].destination.label
        let what = "the socket \(cookie) of \(registered.map { "\($0.destination)" }.joined(separator: " and "))"
        let remedy = place.steer(.unregister, ["unregister", label.name, "--cookie", "\(cookie)"])
        guard let inode = socket?.inode else {
            return Finding(
                .warning, "sockets", "\(what) receives nothing: it no longer listens, or is connected",
                remedy: remedy)
        }
        guard owners[inode].isEmpty, owners.isComplete else { return nil }
        return Finding(
            .warning, "sockets", "no process holds \(what), so nothing can accept from it", remedy: remedy)
    }

    /// Returns a finding about a socket that has been bound to a device after it was registered.
    private func bound(_ registered: [RegisteredSocket], _ socket: DiagnosedSocket?) -> Finding? {
        guard let socket, socket.interface != 0 else { return nil }
        let links = try? namespace.run { () throws(SteeringError) in try NetworkLinks() }
        let name = links?.all[socket.interface]?.name ?? "number \(socket.interface)"
        let destinations = registered.map { "\($0.destination)" }.joined(separator: " and ")
        return Finding(
            .warning, "devices",
            "the socket \(socket.cookie) of \(destinations) is bound to the device \(name) (SO_BINDTODEVICE), which steering ignores: over other devices TCP handshakes fail, and UDP answers are lost; have its service leave that out, and give the bindings `--on \(name)`"
        )
    }

    /// Returns findings about unregistered group members: once the registered ones are closed, the label has no socket.
    private func unregistered(_ groups: SocketGroups, _ owners: SocketOwners) -> [Finding] {
        var missing: [(destination: Destination, member: DiagnosedSocket, owner: SocketOwner?, count: Int)] = []
        for group in groups.all {
            let others = group.others.filter { !owners[$0.inode].isEmpty }
            guard let first = others.first, group.hasRoom else { continue }
            missing.append((group.destination, first, owners[first.inode].first, others.count))
        }
        return Self.shortened(missing, "groups") { missing in
            let members = missing.count == 1 ? "a socket" : "\(missing.count) sockets"
            let remedy = missing.owner.map { owner in
                place.steer(
                    .register,
                    [
                        "register", missing.destination.label.name, "--pid", "\(owner.pid)",
                        "\(missing.destination.transport)", "\(missing.member.localAddress)",
                    ], namesProcess: true)
            }
            return Finding(
                .warning, "groups",
                "the SO_REUSEPORT group of \(missing.destination) has \(members) of \(missing.owner.map { "\($0)" } ?? "an unknown process") that \(missing.count == 1 ? "is" : "are") not registered: they get their share, but do not stand in when the others are closed",
                remedy: remedy)
        }
    }

    /// Returns findings about sockets with waiting connections that their service has closed, and that only steerd
    /// holds.
    private func waiting(_ groups: SocketGroups, _ owners: SocketOwners) -> [Finding] {
        var stuck: [(Destination, DiagnosedSocket)] = []
        for group in groups.all where group.members.contains(where: { owners.areServing($0) }) {
            stuck += group.members.filter { $0.waiting > 0 && owners.onlyKeep($0) }.map { (group.destination, $0) }
        }
        return Self.shortened(stuck, "queues") { destination, socket in
            Finding(
                .warning, "queues",
                "\(socket.waiting == 1 ? "a connection waits" : "\(socket.waiting) connections wait") on the socket \(socket.cookie) of \(destination), which only \(owners.keeper(of: socket)) holds, while others of its group are served: the service has closed it, so restart the service under steerd, or end that process"
            )
        }
    }

    /// Returns findings about destinations whose sockets only steerd holds, while a process serves others of the label:
    /// it was started without them.
    private func alone(
        _ registered: [RegisteredSocket], _ known: [SocketCookie: DiagnosedSocket], _ owners: SocketOwners
    ) -> [Finding] {
        let served = registered.filter { known[$0.cookie].map(owners.areServing) ?? false }.map(\.destination)
        let labels = Set(served.map(\.label))
        let lone = registered.filter { socket in
            !served.contains(socket.destination) && labels.contains(socket.destination.label)
                && known[socket.cookie].map(owners.onlyKeep) ?? false
        }
        let byCookie = Dictionary(grouping: lone, by: \.cookie).sorted { $0.key < $1.key }
        return Self.shortened(byCookie, "queues") { cookie, sockets in
            let socket = known[cookie]!
            let waiting = socket.waiting == 0 ? "" : " (now \(socket.waiting))"
            let served = Set(served.filter { $0.label == sockets[0].destination.label }).sorted()
            return Finding(
                .warning, "queues",
                "clients of \(sockets.map { "\($0.destination)" }.joined(separator: " and ")) wait\(waiting) on the socket \(cookie) at \(socket.localAddress), which only \(owners.keeper(of: socket)) holds, while \(served.map { "\($0)" }.joined(separator: " and ")) is served: restart the service with a --listen for it, or with --fresh, which releases it"
            )
        }
    }

    /// Returns a finding about connections lost when a listener is closed.
    ///
    /// Its waiting connections are reset unless the kernel may move them to others of its SO_REUSEPORT group. That
    /// happens when a worker ends, and when steerd closes a socket that a new one has replaced.
    private func migration(_ groups: SocketGroups) -> [Finding] {
        let hasGroup = groups.all.contains { $0.destination.transport == .tcp && $0.members.count > 1 }
        let name = "net.ipv4.tcp_migrate_req"
        guard hasGroup, (try? namespace.run({ HostFacts.sysctl(name) })) == "0" else { return [] }
        return [
            Finding(
                .note, "tcp_migrate_req",
                "connections that wait in a listener are reset when it is closed, though others of its SO_REUSEPORT group could take them",
                remedy: place.sysctl(.migrateRequests, ["\(name)=1"]))
        ]
    }
}

extension SocketOwners {
    /// Whether only steerd holds a socket, and a service manager that stores it for steerd, but no service.
    fileprivate func onlyKeep(_ socket: DiagnosedSocket) -> Bool {
        // Who sees what steerd, as root, holds sees what services hold.
        self[socket.inode].contains(where: \.isSteerd)
            && self[socket.inode].allSatisfy { $0.isSteerd || $0.pid == 1 }
    }

    /// Whether a process holds a socket that serves it.
    fileprivate func areServing(_ socket: DiagnosedSocket) -> Bool {
        !self[socket.inode].isEmpty && !onlyKeep(socket)
    }

    fileprivate func keeper(of socket: DiagnosedSocket) -> SocketOwner {
        self[socket.inode].first(where: \.isSteerd) ?? self[socket.inode][0]
    }
}

extension SocketOwner {
    fileprivate var isSteerd: Bool { command.hasPrefix("steerd") }
}

/// The SO_REUSEPORT groups of registered sockets.
struct SocketGroups {
    struct Group {
        let destination: Destination
        /// All members, registered or not.
        let members: [DiagnosedSocket]
        /// The members that are not registered.
        let others: [DiagnosedSocket]
        let hasRoom: Bool
    }
    let all: [Group]
    /// The inodes of all registered sockets and of all members of their groups.
    let inodes: [UInt32]

    /// - Parameters:
    ///   - registered: The registered sockets.
    ///   - known: All sockets.
    ///   - full: The destinations without a free slot.
    init(
        _ registered: [RegisteredSocket], _ known: [SocketCookie: DiagnosedSocket], full: Set<Destination>
    ) {
        let bound = Dictionary(grouping: known.values, by: \.place)
        var groups: [Group] = []
        for (destination, sockets) in Dictionary(grouping: registered, by: \.destination) {
            // A destination has either one socket or one group.
            guard let own = sockets.lazy.compactMap({ known[$0.cookie] }).first, sockets[0].isReuseport else {
                continue
            }
            let taken = Set(sockets.map(\.cookie))
            let members = bound[own.place]!.sorted { $0.cookie < $1.cookie }
            groups.append(
                Group(
                    destination: destination, members: members, others: members.filter { !taken.contains($0.cookie) },
                    hasRoom: !full.contains(destination)))
        }
        all = groups.sorted { $0.destination < $1.destination }
        inodes = registered.compactMap { known[$0.cookie]?.inode } + groups.flatMap { $0.members.map(\.inode) }
    }
}

extension Policy {
    /// The destinations that packets of the bindings may need a socket for.
    fileprivate var destinations: Set<Destination> {
        var destinations: Set<Destination> = []
        for binding in bindings {
            guard case .label(let label) = binding.outcome else { continue }
            for transport in TransportProtocol.allCases where binding.protocols.contains(transport) {
                destinations.insert(Destination(label, binding.prefix.family, transport))
            }
        }
        return destinations
    }
}
