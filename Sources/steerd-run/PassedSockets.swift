import Glibc
import ServiceSupport
import Steering

/// Sockets that steerd holds and that are passed to a command, so that they outlive it.
struct PassedSockets {
    private let client: SteeringClient
    /// The labels in the given order, each with the addresses of its sockets.
    private let labels: [(label: Label, places: [Place])]
    private let isForNginx: Bool
    /// Whether steerd is to release the sockets that are not to be passed.
    private let isFresh: Bool

    init(_ client: SteeringClient, _ labels: [(label: Label, places: [Place])], isForNginx: Bool, isFresh: Bool) {
        self.client = client
        self.labels = labels
        self.isForNginx = isForNginx
        self.isFresh = isFresh
    }

    /// Executes the command in place of this process, with a socket for each place.
    ///
    /// - Parameter command: The program and its arguments.
    /// - Returns: The reason why it cannot be executed.
    func become(_ command: [String]) -> SteeringError {
        do throws(SteeringError) {
            try ProgramExecution(command).check()
            for (label, _) in labels { _ = try client.sockets(of: label) }
            if isFresh { for (label, places) in labels { try release(label, places) } }
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
            let made = try open(place, among: places)
            try client.register(made, as: label, replacing: true)
            sockets.append(SharedDescriptor(made))
        }
        try tell(label, places, held)
        return sockets
    }

    private func open(_ place: Place, among places: [Place]) throws(SteeringError) -> OwnedDescriptor {
        do throws(SteeringError) { return try place.open(isDualStack: isDualStack(place, among: places)) } catch {
            guard error.errno == EADDRINUSE else { throw error }
            for (label, _) in labels {
                let held = try client.sockets(of: label).filter { !$0.isLent && place.collides(with: $0) }
                guard held.isEmpty else { throw .occupied(place, held, label) }
            }
            throw error
        }
    }

    // MARK: - Sockets that are not passed

    /// Has steerd close the sockets that it holds for a label and that are not to be passed as they are.
    private func release(_ label: Label, _ places: [Place]) throws(SteeringError) {
        let unwanted = try unwanted(label, places)
        for socket in unwanted { try client.takeBack(socket.cookie, from: label) }
        try unwanted.waitUntilClosed()
    }

    /// Returns the sockets that steerd holds for a label at no place, or for other families than are meant there.
    private func unwanted(_ label: Label, _ places: [Place]) throws(SteeringError) -> [HeldSocket] {
        try claimed(label).filter { socket in
            !places.contains { place in
                place.isOf(socket.held)
                    && (!place.isOfAnyIPv6Address || socket.isDualStack == isDualStack(place, among: places))
            }
        }.map(\.held)
    }

    /// Tells of held sockets that are not passed, so that clients wait there, of packets that passed ones do not
    /// receive, and of places that no binding leads to.
    private func tell(_ label: Label, _ places: [Place], _ held: [ClaimedSocket]) throws(SteeringError) {
        let others = try client.sockets(of: label).filter { socket in
            !socket.isLent && !places.contains { $0.isOf(socket) }
        }.unserved
        if !others.isEmpty {
            SteerdRun.note(
                "steerd also holds \(others.words) for \(label), which no --listen names: unless another process serves it, clients wait there, so name it, too, or release it with --fresh"
            )
        }
        let destinations = try client.destinations(of: label)
        for place in places {
            let families = isDualStack(place, among: places) ? IPFamily.allCases : [place.address.address.family]
            let isBound = destinations.contains { $0.transport == place.transport && families.contains($0.family) }
            if !isBound, !destinations.isEmpty {
                SteerdRun.note(
                    "no binding of \(label) is for \(place.transport)/\(families[0]), so \(place.address) gets no packets: add one to the policy file"
                )
            }
            let lacksIPv4 =
                families.count > 1 && held.contains { place.isOf($0.held) && !$0.isDualStack }
                && (destinations.isEmpty || destinations.contains(Destination(label, .ipv4, place.transport)))
            if lacksIPv4 {
                SteerdRun.note(
                    "the \(place.transport) socket at \(place.address) that steerd holds for \(label) does not receive IPv4: --fresh makes one that does"
                )
            }
        }
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

extension ClaimedSocket {
    /// Whether it is an IPv6 socket that receives IPv4, too.
    fileprivate var isDualStack: Bool { (try? SteerableSocket(rawValue))?.families.count == 2 }
}

extension Place {
    /// Whether a socket may keep another one from being bound here.
    fileprivate func collides(with socket: HeldSocket) -> Bool {
        let hosts = [address.address, socket.boundAddress.address]
        return transport == socket.transport && address.port == socket.boundAddress.port
            && (hosts[0] == hosts[1] || hosts.contains { $0.bits == 0 })
    }

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

extension SteeringError {
    fileprivate static func occupied(_ place: Place, _ held: [HeldSocket], _ label: Label) -> SteeringError {
        SteeringError(
            .addressUnavailable,
            "\(place.transport) \(place.address) cannot be bound, because steerd holds \(held.words) for \(label) from an earlier --listen: release it with --fresh"
        )
    }
}
