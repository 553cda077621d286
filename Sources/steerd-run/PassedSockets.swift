import Steering

/// Sockets that steerd holds, so that they outlive the command that is run with them.
struct PassedSockets {
    private let client: SteeringClient
    /// The labels in the order in which they were given, each with where its sockets are.
    private let labels: [(label: Label, places: [Place])]
    private let isForNginx: Bool

    init(_ client: SteeringClient, _ labels: [(label: Label, places: [Place])], isForNginx: Bool) {
        self.client = client
        self.labels = labels
        self.isForNginx = isForNginx
    }

    /// Becomes the command, with a socket for each place.
    ///
    /// - Returns: Why that cannot be.
    func become(_ command: [String]) -> SteeringError {
        do throws(SteeringError) {
            try ProgramExecution(command).check()
            for (label, _) in labels { _ = try client.sockets(of: label) }
            var sockets: [(socket: SharedDescriptor, label: Label)] = []
            for (label, places) in labels {
                sockets += try self.sockets(of: label, places).map { ($0, label) }
            }
            var environment: [String: String?] = [:]
            if isForNginx {
                // It takes what it finds there for sockets that an earlier nginx has left: those do not block. Of two
                // workers that are told of one connection, one would wait for the next.
                environment["NGINX"] = sockets.indices.map { "\($0 + 3);" }.joined()
                for (socket, _) in sockets { try OwnedDescriptor.setNonblocking(socket.rawValue) }
            }
            let program = ProgramExecution(command, environment: environment)
            // Optimised code would let go of them, which closes them, as soon as their numbers are known.
            return withExtendedLifetime(sockets) {
                program.run(passing: sockets.map { ($0.socket.rawValue, $0.label.name) })
            }
        } catch {
            return error
        }
    }

    /// Those of a label that are held, and new ones where none is.
    private func sockets(of label: Label, _ places: [Place]) throws(SteeringError) -> [SharedDescriptor] {
        let held = try claimed(label)
        var sockets: [SharedDescriptor] = []
        for place in places {
            // All members of a SO_REUSEPORT group: each has its share of the connections.
            let own = held.filter { place.isOf($0.held) }
            for socket in own { sockets.append(SharedDescriptor(try socket.duplicate())) }
            guard own.isEmpty else { continue }
            let made = try place.open(isDualStack: isDualStack(place, among: places))
            try client.register(made, as: label, replacing: true)
            sockets.append(SharedDescriptor(made))
        }
        return sockets
    }

    /// [::] receives IPv4, too, unless that has a socket of its own.
    private func isDualStack(_ place: Place, among own: [Place]) -> Bool {
        guard place.isOfAnyIPv6Address else { return false }
        let others = own + labels.flatMap(\.places).filter { $0.address.port == place.address.port }
        return !others.contains { $0.transport == place.transport && $0.address.address.family == .ipv4 }
    }

    private func claimed(_ label: Label) throws(SteeringError) -> [ClaimedSocket] {
        do throws(SteeringError) { return try client.claim(label) } catch {
            guard error.code == .socketNotFound else { throw error }
            return []
        }
    }
}

extension Place {
    /// Whether a socket is bound there; any port will do for 0.
    fileprivate func isOf(_ socket: HeldSocket) -> Bool {
        transport == socket.transport && address.address == socket.boundAddress.address
            && [0, socket.boundAddress.port].contains(address.port)
    }

    fileprivate func open(isDualStack: Bool) throws(SteeringError) -> OwnedDescriptor {
        let dualStack: SocketOptions = isDualStack ? .dualStack : []
        return switch transport {
        case .tcp: try .listener(on: address, dualStack.union(.reuseAddress))
        case .udp: try .receiver(on: address, dualStack)
        }
    }
}
