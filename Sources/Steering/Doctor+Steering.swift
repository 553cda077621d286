/// What is found about the steering that is loaded: other programs, sockets, interfaces.
extension Doctor {
    static func unopened(_ error: SteeringError) -> [Finding] {
        switch error.code {
        case .notLoaded:
            [Finding(.warning, "loaded", "no steering is loaded in this network namespace", remedy: "steer load")]
        case .olderLayout: [Finding(.warning, "loaded", error.message, remedy: "steer upgrade")]
        case .damagedState: [Finding(.broken, "loaded", error.message, remedy: "steer unload && steer load")]
        // What is wrong with the file system is a finding already.
        case .storageUnavailable where error.cause == nil: []
        default: [Finding(.broken, "loaded", error.message)]
        }
    }

    func programs(_ steering: SocketSteering?) -> [Finding] {
        guard let programs = try? namespace.attachedPrograms() else { return [] }
        let own = steering?.programID
        let place = programs.firstIndex { $0.programID == own }
        return programs.enumerated().filter { $0.element.programID != own }.map { index, program in
            let name = "sk_lookup program \(program.programID)" + (program.name.map { " (\($0))" } ?? "")
            guard let place, index < place else {
                return Finding(
                    place == nil ? .note : .warning, "programs",
                    place == nil
                        ? "\(name) is attached to this network namespace"
                        : "\(name) was attached after the steering, so it decides where both select a socket",
                    remedy: program.linkID.map { "bpftool link detach id \($0)" })
            }
            return Finding(
                .note, "programs", "\(name) was attached before the steering, which decides where both select a socket")
        }
    }

    func sockets(of steering: SocketSteering, _ policy: Policy) throws(SteeringError) -> [Finding] {
        let registered = try steering.sockets.list()
        let taken = Set(registered.map(\.destination))
        var findings: [Finding] = policy.destinations.subtracting(taken).sorted().map { destination in
            let outcome = policy[destination.label].withoutSocket
            return Finding(
                .warning, "sockets",
                "\(destination) has bindings but no socket: its packets are \(outcome == .refuse ? "refused" : "left to the ordinary lookup")",
                remedy: "steer register \(destination.label) --pid PID \(destination.transport) ADDRESS:PORT")
        }
        guard let known = try? namespace.run({ () throws(SteeringError) in try SocketDiagnostics().sockets() }) else {
            return findings
        }
        let owners = try SocketOwners(of: registered.compactMap { known[$0.cookie]?.inode })
        for socket in registered {
            guard let inode = known[socket.cookie]?.inode else {
                findings.append(
                    Finding(
                        .warning, "sockets",
                        "the socket \(socket.cookie) of \(socket.destination) receives nothing any more: it no longer listens, or is connected",
                        remedy: "steer unregister \(socket.destination.label) --cookie \(socket.cookie)"))
                continue
            }
            if owners[inode].isEmpty, owners.isComplete {
                findings.append(
                    Finding(
                        .warning, "sockets",
                        "no process holds the socket \(socket.cookie) of \(socket.destination) that could accept from it",
                        remedy: "steer unregister \(socket.destination.label) --cookie \(socket.cookie)"))
            }
        }
        return findings + migration(registered, known)
    }

    /// A listener that is closed takes the connections that wait in it along, unless the kernel may give them to others of
    /// its SO_REUSEPORT group: when a worker ends, and when steerd closes what a new socket has replaced.
    private func migration(
        _ registered: [RegisteredSocket], _ known: [SocketCookie: DiagnosedSocket]
    ) -> [Finding] {
        let listeners = known.values.filter { $0.transport == .tcp }
        let hasGroup = registered.contains { socket in
            guard let own = known[socket.cookie], own.transport == .tcp else { return false }
            return listeners.contains { $0.cookie != own.cookie && $0.isBound(as: own) }
        }
        let name = "net.ipv4.tcp_migrate_req"
        guard hasGroup, (try? namespace.run({ HostFacts.sysctl(name) })) == "0" else { return [] }
        return [
            Finding(
                .note, "tcp_migrate_req",
                "connections that wait in a listener are reset when it is closed, though others of its SO_REUSEPORT group could take them",
                remedy: "sysctl -w \(name)=1")
        ]
    }

    /// A name means the interface that had it when the policy was applied; the tables have its number.
    func interfaces(of steering: SocketSteering, _ policy: Policy) throws(SteeringError) -> [Finding] {
        let names = policy.interfaces
        let bound = try steering.reading { $0.interfaceIndices }
        guard let now = try? InterfaceIndices(of: namespace).existing(names) else { return [] }
        return names.compactMap { name in
            guard let index = now[name] else {
                return Finding(
                    .warning, "interfaces",
                    "bindings are on the interface \(name), which does not exist any more: they match nothing, and no policy that names it can be applied",
                    remedy: "steer apply FILE")
            }
            if bound[name] == nil || bound[name] == index { return nil }
            return Finding(
                .warning, "interfaces",
                "bindings are on the interface \(name), which is another one than when they were applied: they do not match what arrives there",
                remedy: "steer upgrade")
        }
    }
}

extension Policy {
    /// What packets of its bindings can need a socket for.
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
