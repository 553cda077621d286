/// Findings about the source addresses of UDP answers. TCP always answers from the original destination.
extension Doctor {
    /// Checks whether UDP sockets that were just registered can answer from their original destinations.
    ///
    /// - Parameters:
    ///   - descriptors: The sockets.
    ///   - steering: The steering that they are registered in.
    /// - Returns: The findings. Anything that may not be inspected is skipped.
    public func answers(of descriptors: [CInt], registeredIn steering: SocketSteering) -> [Finding] {
        guard let registered = try? steering.sockets.list(), let policy = try? steering.policy else { return [] }
        var findings: [Finding] = []
        for descriptor in descriptors {
            guard let cookie = try? SteerableSocket.cookie(descriptor), let options = AnswerOptions(descriptor) else {
                continue
            }
            let own = registered.filter { $0.cookie == cookie && $0.destination.transport == .udp }
            findings += answers(own, policy) { _ in (options, options.sendsFromAnywhere) }
        }
        return findings.withoutRepeats
    }

    func answers(
        _ registered: [RegisteredSocket], _ known: [SocketCookie: DiagnosedSocket], _ owners: SocketOwners,
        _ policy: Policy
    ) -> [Finding] {
        let udp = registered.filter { $0.destination.transport == .udp && known[$0.cookie] != nil }
        return answers(udp, policy) { cookie in
            let socket = known[cookie]!
            let options = owners[socket.inode].first.flatMap { AnswerOptions(of: socket.inode, in: $0.pid) }
            return (options, options?.sendsFromAnywhere ?? socket.sendsFromAnywhere)
        }.withoutRepeats
    }

    private func answers(
        _ registered: [RegisteredSocket], _ policy: Policy,
        _ options: (SocketCookie) -> (AnswerOptions?, sendsFromAnywhere: Bool?)
    ) -> [Finding] {
        if registered.isEmpty { return [] }
        struct Environment: Sendable {
            let bindsNonlocal: Bool
            let addresses: Set<IPAddress>
        }
        let looked = try? namespace.run { () throws(SteeringError) in
            Environment(
                bindsNonlocal: HostFacts.sysctl(Self.nonlocalBind) == "1",
                addresses: Set(try NetworkLinks.addresses()))
        }
        var findings: [Finding] = []
        for (destination, sockets) in Dictionary(grouping: registered, by: \.destination).sorted(by: { $0.key < $1.key }
        ) {
            let bindings = policy.bindings(of: destination)
            guard !bindings.isEmpty else { continue }
            // The members of a group have the same options.
            let socket = sockets[0]
            let (known, isFree) = options(socket.cookie)
            if let looked, !looked.bindsNonlocal, destination.family == .ipv6, isFree == false,
                known?.knowsAddress ?? true,
                let foreign = bindings.first(where: {
                    $0.prefix.count > 1 || !looked.addresses.contains($0.prefix.first)
                })
            {
                findings.append(
                    Finding(
                        .warning, "answers",
                        "the socket of \(destination) cannot answer from \(foreign.prefix), whose addresses no interface has: it has no IPV6_FREEBIND, and \(Self.nonlocalBind) is 0",
                        remedy: place.sysctl(.bindNonlocal, ["\(Self.nonlocalBind)=1"])))
            }
            if let known { findings += Self.strangers(destination, socket, known, bindings, looked?.addresses) }
        }
        return findings
    }

    /// Returns findings about answers from another address or port than the original destination: warnings if no client
    /// of a binding ever gets an answer from where it asked.
    private static func strangers(
        _ destination: Destination, _ socket: RegisteredSocket, _ options: AnswerOptions, _ bindings: [Binding],
        _ addresses: Set<IPAddress>?
    ) -> [Finding] {
        let bound = socket.boundAddress
        let isOne = bound.address.bits != 0
        var findings: [Finding] = []
        let sources = isOne ? [bound.address.unmapped] : addresses
        func isLost(_ binding: Binding) -> Bool {
            sources.map { !$0.contains(where: binding.prefix.contains) } ?? false
        }
        let others = bindings.filter { $0.prefix.count > 1 || $0.prefix.first != bound.address }
        if !options.knowsAddress, let other = others.first(where: isLost) ?? others.first {
            findings.append(
                Finding(
                    isLost(other) ? .warning : .note, "answers",
                    "the server of \(destination) does not request the original destination of datagrams to \(other.prefix) (IP_PKTINFO): it answers from "
                        + (isOne ? "\(bound.address), where it is bound" : "an address that the route chooses")))
        }
        let elsewhere = bindings.filter { $0.ports != PortSet(PortRange(bound.port)) }
        let unasked = elsewhere.first { !$0.ports.contains(bound.port) }
        if !options.knowsPort, let other = unasked ?? elsewhere.first {
            findings.append(
                Finding(
                    unasked == nil ? .note : .warning, "answers",
                    "the socket of \(destination) is bound to port \(bound.port), and answers datagrams to \(other.ports) from that port, too: bind only that port, or use a socket for each"
                ))
        }
        return findings
    }

    private static let nonlocalBind = "net.ipv6.ip_nonlocal_bind"
}

extension Policy {
    /// Returns the bindings that lead packets to a destination.
    fileprivate func bindings(of destination: Destination) -> [Binding] {
        bindings.filter {
            $0.outcome == .label(destination.label) && $0.protocols.contains(destination.transport)
                && $0.prefix.family == destination.family
        }
    }
}

extension [Finding] {
    fileprivate var withoutRepeats: [Finding] {
        var seen: Set<Finding> = []
        return filter { seen.insert($0).inserted }
    }
}
