import Steering

/// Sockets that steerd holds and that are passed to a command, so that they outlive it.
struct PassedSockets {
    private let client: SteeringClient
    /// The labels in the given order, each with the addresses of its sockets.
    private let labels: [(label: Label, places: [Place])]
    private let isForNginx: Bool

    init(_ client: SteeringClient, _ labels: [(label: Label, places: [Place])], isForNginx: Bool) {
        self.client = client
        self.labels = labels
        self.isForNginx = isForNginx
    }

    /// Executes the command in place of this process, with a socket for each place.
    ///
    /// - Parameter command: The program and its arguments.
    /// - Returns: The reason why it cannot be executed.
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
                // nginx takes these for sockets inherited from an earlier nginx, which are non-blocking. If they
                // blocked, of two workers notified of one connection the second would block in accept until the next
                // connection.
                environment["NGINX"] = sockets.indices.map { "\($0 + 3);" }.joined()
                for (socket, _) in sockets { try OwnedDescriptor.setNonblocking(socket.rawValue) }
            }
            let program = ProgramExecution(command, environment: environment)
            // Optimized code would otherwise release the sockets, which closes them, as soon as it has their
            // descriptors.
            return withExtendedLifetime(sockets) {
                program.run(passing: sockets.map { ($0.socket.rawValue, $0.label.name) })
            }
        } catch {
            return error
        }
    }

    /// Returns the held sockets of a label, and new ones for places without any.
    private func sockets(of label: Label, _ places: [Place]) throws(SteeringError) -> [SharedDescriptor] {
        let held = try claimed(label)
        var sockets: [SharedDescriptor] = []
        for place in places {
            // All members of a SO_REUSEPORT group, since each has its share of the connections.
            let own = held.filter { place.isOf($0.held) }
            for socket in own { sockets.append(SharedDescriptor(try socket.duplicate())) }
            guard own.isEmpty else { continue }
            let made = try place.open(isDualStack: isDualStack(place, among: places))
            try client.register(made, as: label, replacing: true)
            sockets.append(SharedDescriptor(made))
        }
        return sockets
    }

    /// Whether a place is [::] and is to receive IPv4, too: unless its label, or another one on that port, has an IPv4
    /// socket.
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
    /// Whether a socket is bound here; port 0 matches any port.
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
