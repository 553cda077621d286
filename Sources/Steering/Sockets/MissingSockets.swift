import Glibc

/// The packets of a label for which a program has no socket that can be steered to, and the reasons.
struct MissingSockets {
    private let part: SocketFollower.Part
    private let own: [ListeningProgram.Listener]
    private let program: ListeningProgram

    /// - Parameters:
    ///   - part: The label.
    ///   - own: Those of the program's sockets that belong to it.
    ///   - program: The program, inspected.
    init(_ part: SocketFollower.Part, _ own: [ListeningProgram.Listener], of program: ListeningProgram) {
        self.part = part
        self.own = own
        self.program = program
    }

    /// Throws an error if the label lacks a socket of a protocol that it needs, and the program's sockets explain why.
    func check() throws(SteeringError) {
        let transports = Set(own.map(\.facts.transport))
        if let refused = refused.first(where: { part.needs($0.transport) && !transports.contains($0.transport) }) {
            throw refused.error
        }
        guard let other = own.first, part.selectors.allSatisfy({ $0.transport == nil }),
            !transports.contains(where: part.needs), let needed = TransportProtocol.allCases.first(where: part.needs)
        else { return }
        throw .ofOtherProtocol(part.label, needed, program.root, other.place)
    }

    /// A sentence for each socket that cannot be steered to, and that would receive packets for which the label has no
    /// other.
    var reasons: [String] {
        let received = own.reduce(into: Set<ListeningProgram.Kind>()) { $0.formUnion($1.place.kinds) }
        return refused.compactMap { refused in
            let kinds = refused.kinds.filter { part.needs($0) && !received.contains($0) }
            guard !kinds.isEmpty else { return nil }
            let what = kinds.map { "\($0.transport)/\($0.family)" }.joined(separator: " and ")
            return "\(part.label) has no socket for \(what): \(refused.error.message)"
        }
    }

    /// A socket of the program that belongs to the label, but cannot be steered to.
    private struct Refused {
        let transport: TransportProtocol
        let address: SocketAddress
        let error: SteeringError

        /// The kinds of packets that it receives. Whether a socket at [::] receives IPv4 is not known.
        var kinds: [ListeningProgram.Kind] {
            let host = address.unmapped.address
            let families = host == .unspecified(.ipv6) ? IPFamily.allCases : [host.family]
            return families.map { ListeningProgram.Kind(transport: transport, family: $0) }
        }
    }

    private var refused: [Refused] {
        let multipath = program.multipath.sorted().map { address in
            Refused(
                transport: .tcp, address: address, error: .isMultipath("process \(program.root)", address))
        }
        let others = program.refused.map { refused in
            // One that was opened between the queries for both kinds is found by the second only.
            let isMultipath = refused.error.code == .multipathTCP
            return Refused(
                transport: refused.transport, address: refused.address,
                error: isMultipath ? .isMultipath("process \(program.root)", refused.address) : refused.error)
        }
        return (multipath + others).filter { part.means($0.transport, $0.address) }
    }
}

extension SteeringError {
    fileprivate static func ofOtherProtocol(
        _ label: Label, _ needed: TransportProtocol, _ process: pid_t, _ place: ListeningProgram.Place
    ) -> SteeringError {
        SteeringError(
            .socketNotFound,
            "the bindings of \(label) are for \(needed), and process \(process) has only \(place): give the process that listens, or name the socket to use it anyway"
        )
    }
}
