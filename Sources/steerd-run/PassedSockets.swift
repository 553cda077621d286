import Steering

/// Sockets that steerd holds, so that they outlive the command that is run with them.
struct PassedSockets {
    private let label: Label
    private let client: SteeringClient
    private let places: [Place]
    private let isForNginx: Bool

    init(_ label: Label, _ client: SteeringClient, _ places: [Place], isForNginx: Bool) {
        self.label = label
        self.client = client
        self.places = places
        self.isForNginx = isForNginx
    }

    /// Becomes the command, with a socket for each place.
    ///
    /// - Returns: Why that cannot be.
    func become(_ command: [String]) -> SteeringError {
        do throws(SteeringError) {
            try ProgramExecution(command).check()
            let sockets = try sockets()
            var environment: [String: String?] = [:]
            if isForNginx {
                // It takes what it finds there for sockets that an earlier nginx has left: those do not block. Of two
                // workers that are told of one connection, one would wait for the next.
                environment["NGINX"] = sockets.indices.map { "\($0 + 3);" }.joined()
                for socket in sockets { try OwnedDescriptor.setNonblocking(socket.rawValue) }
            }
            let program = ProgramExecution(command, environment: environment)
            // Optimised code would let go of them, which closes them, as soon as their numbers are known.
            return withExtendedLifetime(sockets) { program.run(passing: sockets.map(\.rawValue), as: label.name) }
        } catch {
            return error
        }
    }

    /// Those that are held, and new ones where none is.
    private func sockets() throws(SteeringError) -> [SharedDescriptor] {
        let held = try claimed()
        var sockets: [SharedDescriptor] = []
        for place in places {
            // All members of a SO_REUSEPORT group: each has its share of the connections.
            let own = held.filter { place.isOf($0.held) }
            for socket in own { sockets.append(SharedDescriptor(try socket.duplicate())) }
            guard own.isEmpty else { continue }
            let made = try place.open()
            try client.register(made, as: label, replacing: true)
            sockets.append(SharedDescriptor(made))
        }
        return sockets
    }

    private func claimed() throws(SteeringError) -> [ClaimedSocket] {
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

    fileprivate func open() throws(SteeringError) -> OwnedDescriptor {
        switch transport {
        case .tcp: try .listener(on: address, .reuseAddress)
        case .udp: try .receiver(on: address)
        }
    }
}
