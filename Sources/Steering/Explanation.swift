/// What becomes of the first packet of a flow, and why: by the policy, by the sockets, and by the kernel
/// itself.
public struct Explanation: Sendable {
    /// A binding that matches the packet.
    public struct Candidate: Sendable, Hashable {
        /// The binding.
        public let binding: Binding
        /// Why the one before it in the list goes first; nil for the first, which decides.
        public let reason: String?
    }

    /// What the policy makes of the packet.
    public enum Decision: Sendable, Hashable {
        /// It goes to the first of the label's sockets that the kernel takes; of a SO_REUSEPORT group the
        /// kernel chooses the member.
        case steered(to: [RegisteredSocket])
        /// The label has no socket for it, and says what happens then.
        case withoutSocket(Destination, WithoutSocket)
        /// A binding refuses it.
        case refused
        /// A binding leaves it to the kernel's ordinary lookup.
        case passed
        /// No binding matches: the kernel's ordinary lookup.
        case notSteered
    }

    /// What the kernel said when it ran the program for this packet.
    public enum KernelVerdict: Sendable, Hashable {
        /// It chose this socket.
        case socket(SocketCookie)
        /// It refused the packet.
        case refused
        /// It chose no socket: the ordinary lookup follows.
        case none
        /// It was not asked, for this reason.
        case unknown(String)
    }

    /// The packet's protocol.
    public let transport: TransportProtocol
    /// Where the packet goes.
    public let destination: SocketAddress
    /// Matching bindings, the one that decides first.
    public let candidates: [Candidate]
    /// What the policy says.
    public let decision: Decision
    /// The counters of the label's destination, where a label decides.
    public let metrics: DestinationMetrics?
    /// What the kernel says.
    public let kernel: KernelVerdict
    /// What could make it come differently: an established connection, another program, a missing route.
    public let caveats: [String]

    /// The binding that decides.
    public var winner: Binding? { candidates.first?.binding }

    /// Whether the kernel's verdict is the policy's. False means a defect, or that something changed
    /// between the two questions.
    public var agrees: Bool {
        switch (decision, kernel) {
        case (_, .unknown): true
        case (.steered(let sockets), .socket(let cookie)): sockets.contains { $0.cookie == cookie }
        case (.withoutSocket(_, .refuse), .refused), (.refused, .refused): true
        case (.withoutSocket(_, .pass), .none), (.passed, .none), (.notSteered, .none): true
        default: false
        }
    }
}

/// A packet to explain: the first of a flow.
public struct Packet: Sendable, Hashable {
    /// Its protocol.
    public var transport: TransportProtocol
    /// The address and port that it is sent to.
    public var destination: SocketAddress
    /// Who sends it; nil for anyone.
    public var source: SocketAddress?
    /// The name of the interface on which it arrives; nil for any.
    public var interface: String?

    /// Describes a packet.
    public init(
        _ transport: TransportProtocol, to destination: SocketAddress, from source: SocketAddress? = nil,
        on interface: String? = nil
    ) {
        self.transport = transport
        self.destination = destination
        self.source = source
        self.interface = interface
    }
}

extension SocketSteering {
    /// Says what becomes of a packet, and why. Nothing is sent and nothing is counted.
    ///
    /// The kernel is asked with a program of its own, which decides as the attached one does: so the
    /// answer is right for SO_REUSEPORT sockets too, with which the attached one cannot be run by hand.
    ///
    /// - Throws: `invalidAddress` when source and destination differ in family; `detached`,
    ///   `networkNamespaceGone`; for a loaded steering as ``open(_:bpffs:for:)``. Missing capabilities (asking
    ///   the kernel needs CAP_BPF and CAP_NET_ADMIN) are no error: the explanation says what it lacks.
    public func explain(_ packet: Packet) throws(SteeringError) -> Explanation {
        if let source = packet.source, source.address.family != packet.destination.address.family {
            throw .mixedFamilies(source, packet.destination)
        }
        let caveats = try surroundings(of: packet)
        let list = try sockets.list()
        return try reading { state throws(SteeringError) in
            let matching = ReferenceMatcher(state.policy).candidates(packet.transport, to: packet.destination)
            var candidates: [Explanation.Candidate] = []
            for binding in matching {
                let better = candidates.last?.binding.precedence
                candidates.append(.init(binding: binding, reason: better?.reason(over: binding.precedence)))
            }
            let (decision, destination) = Self.decision(
                for: packet, by: matching.first, list, state.policy)
            let number = destination.flatMap { destination in
                state.numbers[destination.label].map { destination.number(labelNumber: $0) }
            }
            return Explanation(
                transport: packet.transport, destination: packet.destination, candidates: candidates,
                decision: decision,
                metrics: try number.map { (number) throws(SteeringError) in
                    try Counters(state.plane).destination(number)
                },
                kernel: Self.kernelVerdict(on: packet, state.plane), caveats: caveats)
        }
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

    private static func kernelVerdict(on packet: Packet, _ plane: DataPlane) -> Explanation.KernelVerdict {
        do throws(SteeringError) {
            let explaining = try DataPlane(program: "explain", reusing: plane.sharing(MapName.allCases))
            let (verdict, cookie) = try explaining.testRun(
                packet.transport, from: packet.source, to: packet.destination)
            return cookie.map { .socket($0) } ?? (verdict == 0 ? .refused : .none)
        } catch {
            return .unknown(error.message)
        }
    }
}

extension Precedence {
    /// The first point in which this one is greater than another, in words; nil when none is.
    func reason(over other: Precedence) -> String? {
        if prefixLength != other.prefixLength { return "/\(prefixLength) is longer than /\(other.prefixLength)" }
        if portCount != other.portCount {
            return "\(portCount) port\(portCount == 1 ? " is" : "s are") fewer than \(other.portCount)"
        }
        if isOneProtocol != other.isOneProtocol { return "one protocol goes before both" }
        return "equal precedence and the same outcome"
    }
}

extension SteeringError {
    static func mixedFamilies(_ source: SocketAddress, _ destination: SocketAddress) -> SteeringError {
        SteeringError(
            .invalidAddress,
            "a packet cannot go from \(source) to \(destination), which are of different families: give two of one family"
        )
    }
}

// TEMP
extension SocketSteering {
    func surroundings(of packet: Packet) throws(SteeringError) -> [String] { [] }
}
