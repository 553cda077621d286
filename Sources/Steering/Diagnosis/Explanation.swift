/// The outcome for the first packet of a flow, with the reasons: the policy, the sockets, and the kernel itself.
public struct Explanation: Sendable {
    /// A binding that matches the packet.
    public struct Candidate: Sendable, Hashable {
        /// The binding.
        public let binding: Binding
        /// Why the preceding candidate has precedence; nil for the first candidate, which decides.
        public let reason: String?
    }

    /// The decision of the policy and the registered sockets.
    public enum Decision: Sendable, Hashable {
        /// The packet goes to the first of these sockets that the kernel accepts; within a SO_REUSEPORT group the
        /// kernel chooses.
        case steered(to: [RegisteredSocket])
        /// The label has no socket for the packet, which its options refuse or pass.
        case withoutSocket(Destination, WithoutSocket)
        /// A binding refuses the packet.
        case refused
        /// A binding leaves the packet to the kernel's ordinary lookup.
        case passed
        /// No binding matches: the kernel's ordinary lookup decides.
        case notSteered
    }

    /// The result of the kernel's own lookup.
    public enum KernelVerdict: Sendable, Hashable {
        /// The kernel gives the packet to this socket.
        case delivered(Receiver)
        /// No socket receives the packet: it is refused.
        case refused
        /// Unknown, for this reason.
        case unknown(String)
    }

    /// The socket that receives a packet.
    public struct Receiver: Sendable, Hashable {
        /// The socket's cookie.
        public let cookie: SocketCookie
        /// The address and port that it is bound to.
        public let boundAddress: SocketAddress
        /// Whether it is a connected TCP or UDP socket, which the kernel finds before it runs sk_lookup programs.
        public let isConnected: Bool
    }

    /// The packet's protocol.
    public let transport: TransportProtocol
    /// The packet's destination.
    public let destination: SocketAddress
    /// The matching bindings, the deciding one first.
    public let candidates: [Candidate]
    /// The decision of the policy.
    public let decision: Decision
    /// The counters of the destination, if a label decides.
    public let metrics: DestinationMetrics?
    /// The verdict of the kernel.
    public let kernel: KernelVerdict
    /// The processes that hold the sockets of the decision and of the verdict, as far as the caller may see them.
    public let owners: [SocketCookie: [SocketOwner]]
    /// Other circumstances that decide: an established connection, another program, a missing route.
    public let caveats: [String]

    /// The deciding binding; nil if none matches.
    public var winner: Binding? { candidates.first?.binding }

    /// Whether the kernel's verdict agrees with the decision, or is unknown.
    ///
    /// If it does not agree, ``caveats`` may have the reason.
    public var agrees: Bool {
        switch (decision, kernel) {
        case (_, .unknown): true
        case (.steered(let sockets), .delivered(let receiver)):
            // The kernel may choose a member of the group that is not registered.
            sockets.contains { $0.cookie == receiver.cookie || $0.boundAddress == receiver.boundAddress }
        case (.withoutSocket(_, .refuse), _), (.refused, _): kernel == .refused
        case (.steered, .refused): false
        case (.withoutSocket(_, .pass), _), (.passed, _), (.notSteered, _): true
        }
    }
}

extension SocketSteering {
    /// Explains the outcome for a packet, without sending one.
    ///
    /// The kernel's verdict is the result of its own lookup (sock_diag, as used by `ss`), which takes into account
    /// established connections, all sk_lookup programs, SO_REUSEPORT groups and listeners. Programs run for it, and
    /// count it as a packet. No capability is needed; the owners of sockets are included as far as the caller may see
    /// them.
    ///
    /// - Parameters:
    ///   - packet: The first packet of a flow.
    ///   - namespace: The steering's network namespace. If it is not the calling thread's and CAP_SYS_ADMIN is lacking,
    ///     the kernel's verdict is unknown.
    /// - Returns: The explanation.
    /// - Throws: `invalidAddress` if source and destination differ in family; `unknownInterface` if the interface does
    ///   not exist; `detached`, `networkNamespaceGone`; for a loaded steering as ``open(_:bpffs:for:)``; `systemCall`.
    public func explain(
        _ packet: Packet, in namespace: borrowing NetworkNamespace
    ) throws(SteeringError) -> Explanation {
        if let source = packet.source, source.address.family != packet.destination.address.family {
            throw .mixedFamilies(source, packet.destination)
        }
        let interface = try Self.interface(of: packet, in: namespace)
        let remedies = RemedyPlace(namespace, bpffs: bpffs ?? Self.defaultBPFFS)
        let list = try sockets.list()
        let (candidates, decision, metrics, unknown) = try reading { state throws(SteeringError) in
            // As in the tables: a name may have moved to another interface since.
            let views = interface.map { BoundInterfaces(state.interfaceIndices).views(of: packet, on: $0) } ?? [packet]
            let matching = ReferenceMatcher(state.policy).candidates(forAnyOf: views)
            let (decision, destination) = Self.decision(for: packet, by: matching.first, list, state.policy)
            let labelNumber = destination.flatMap { state.numbers[$0.label] }
            var metrics: DestinationMetrics?
            if let destination, let labelNumber {
                metrics = try Counters(state.plane).destination(destination.number(labelNumber: labelNumber))
            }
            let unknown = Self.caveat(ofUnknownIn: packet, state.policy, decidedBy: matching.first)
            return (Self.reasoned(matching), decision, metrics, unknown)
        }
        var surroundings: PacketSurroundings?
        var verdict: Explanation.KernelVerdict
        do throws(SteeringError) {
            let asked = try namespace.run { () throws(SteeringError) in
                try PacketSurroundings(of: packet, on: interface)
            }
            verdict = asked.verdict(packet.destination.address)
            surroundings = asked
        } catch {
            guard error.code == .missingCapability else { throw error }
            verdict = .unknown(error.message)
        }
        var shown: [SocketCookie] = []
        if case .steered(let sockets) = decision { shown = sockets.map(\.cookie) }
        var known = surroundings?.sockets ?? [:]
        if let receiver = surroundings?.receiver {
            known[receiver.cookie] = receiver
            if !shown.contains(receiver.cookie) { shown.append(receiver.cookie) }
        }
        return Explanation(
            transport: packet.transport, destination: packet.destination, candidates: candidates,
            decision: decision, metrics: metrics, kernel: verdict, owners: try Self.owners(of: shown, known),
            caveats: (unknown.map { [$0] } ?? [])
                + (surroundings.map { Self.caveats($0, packet, decision, remedies) } ?? []))
    }

    /// Returns the index of the packet's interface; nil if there is none or it may not be looked up.
    private static func interface(
        of packet: Packet, in namespace: borrowing NetworkNamespace
    ) throws(SteeringError) -> UInt32? {
        guard let name = packet.interface else { return nil }
        let links: NetworkLinks
        do throws(SteeringError) {
            links = try namespace.run { () throws(SteeringError) in try NetworkLinks() }
        } catch {
            guard error.code == .missingCapability else { throw error }
            return nil
        }
        guard let link = links.named(name) else { throw .unknownInterface(name) }
        return link.index
    }

    /// Returns a caveat about a binding that would decide if the unknown source or interface of the packet were the
    /// binding's.
    private static func caveat(ofUnknownIn packet: Packet, _ policy: Policy, decidedBy winner: Binding?) -> String? {
        guard packet.source == nil || packet.interface == nil else { return nil }
        let instead = policy.bindings.filter { binding in
            let isGreater = winner.map { binding.precedence > $0.precedence } ?? true
            return isGreater && binding.outcome != winner?.outcome && binding.couldMatch(packet)
        }.max { $0.precedence < $1.precedence }
        return instead.map { "the packet's source or interface is unknown, and '\($0)' decides for some: give both" }
    }

    private static func reasoned(_ matching: [Binding]) -> [Explanation.Candidate] {
        zip(matching, [nil] + matching.map(\.precedence)).map { binding, better in
            Explanation.Candidate(binding: binding, reason: better?.reason(over: binding.precedence))
        }
    }

    private static func caveats(
        _ surroundings: PacketSurroundings, _ packet: Packet, _ decision: Explanation.Decision, _ place: RemedyPlace
    ) -> [String] {
        var caveats = surroundings.interfaceCaveat.map { [$0] } ?? []
        let address = packet.destination.address
        switch surroundings.route {
        case .local, .broadcast, .multicast: break
        case .link:
            caveats.append(
                "\(address) is on a link of this host, but not one of its addresses, so no packet to it gets here")
        case .gateway, .none, .throw:
            let remedy = surroundings.remedy.map { ": \(place.routeHere($0))" }
            caveats.append("\(address) is not routed to this host, so no packet to it gets here\(remedy ?? "")")
        }
        if !surroundings.translations.isEmpty {
            caveats.append(
                "netfilter may change the destination first (`nft list chain \(surroundings.translations[0])`): explain the resulting address and port"
            )
        }
        if case .delivered(let receiver) = surroundings.verdict(address) {
            if receiver.isConnected {
                caveats.append("this flow belongs to an established connection, so steering does not run for it")
            } else if case .steered = decision, surroundings.receiver.map({ $0.interface != 0 }) ?? false {
                caveats.append(
                    "the socket is bound to a device (SO_BINDTODEVICE), which steering ignores: over other devices TCP handshakes fail, and UDP answers are lost"
                )
            } else if case .steered(let sockets) = decision,
                !sockets.contains(where: { $0.cookie == receiver.cookie || $0.boundAddress == receiver.boundAddress })
            {
                caveats.append(
                    "another attached sk_lookup program decides: `bpftool link list` lists them"
                )
            }
        }
        return caveats
    }

    private static func decision(
        for packet: Packet, by winner: Binding?, _ sockets: [RegisteredSocket], _ policy: Policy
    ) -> (Explanation.Decision, Destination?) {
        switch winner?.outcome {
        case nil: return (.notSteered, nil)
        case .refuse: return (.refused, nil)
        case .pass: return (.passed, nil)
        case .label(let label):
            let destination = Destination(label, packet.destination.address.family, packet.transport)
            let own = sockets.filter { $0.destination == destination }
            guard own.isEmpty else { return (.steered(to: own), destination) }
            return (.withoutSocket(destination, policy[label].withoutSocket), destination)
        }
    }
}

extension Precedence {
    /// Returns the first criterion by which this precedence is greater than another, in words.
    func reason(over other: Precedence) -> String? {
        if prefixLength != other.prefixLength { return "/\(prefixLength) is longer than /\(other.prefixLength)" }
        if sourceLength != other.sourceLength {
            return other.sourceLength == 0
                ? "a source wins over none" : "source /\(sourceLength) is longer than /\(other.sourceLength)"
        }
        if isOneInterface != other.isOneInterface { return "an interface wins over none" }
        if portCount != other.portCount {
            return "\(portCount) port\(portCount == 1 ? " is" : "s are") fewer than \(other.portCount)"
        }
        if isOneProtocol != other.isOneProtocol { return "one protocol wins over both" }
        return "equal precedence and the same outcome"
    }
}

extension SteeringError {
    static func mixedFamilies(_ source: SocketAddress, _ destination: SocketAddress) -> SteeringError {
        SteeringError(
            .invalidAddress,
            "a packet cannot go from \(source) to \(destination), which are of different families: give addresses of one family"
        )
    }
}

extension Explanation.Receiver {
    fileprivate init(_ socket: DiagnosedSocket) {
        self.init(cookie: socket.cookie, boundAddress: socket.localAddress, isConnected: socket.isConnected)
    }
}

extension PacketSurroundings {
    /// Returns the kernel's verdict for the packet.
    ///
    /// For multicast and broadcast packets no sk_lookup program runs, which sock_diag does not take into account.
    fileprivate func verdict(_ address: IPAddress) -> Explanation.KernelVerdict {
        switch route {
        case .multicast, .broadcast:
            let what = route == .multicast && address.bits != 0xffff_ffff ? "a multicast" : "a broadcast"
            return .unknown(
                "\(address) is \(what) address: each socket that wants its datagrams gets them, and steering does not run"
            )
        default: return receiver.map { .delivered(Explanation.Receiver($0)) } ?? .refused
        }
    }
}
