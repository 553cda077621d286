/// How the kernel shares what comes among the workers of a SO_REUSEPORT group.
///
/// Whichever it is, every socket of the group is read, and when one is closed the others stand in.
public enum Spread: Sendable, Hashable {
    /// By flow: the kernel's hash of both addresses and ports, the same worker for the same flow. Every worker's socket is
    /// registered.
    case evenly

    /// By the processor on which a packet arrives: worker 0 has what arrives on processor 0, and so on. It pays where
    /// there is a worker for each processor, kept there (`taskset`), and where packets arrive on all of them: a network
    /// card with a queue each, or RPS. What arrives on a processor without a worker is spread by flow.
    ///
    /// UDP workers receive cheaper than otherwise, since their sockets are not registered: a registered one pays for it
    /// with each datagram. Registered are two *anchors*, sockets of the same group that belong to the first worker and to
    /// the last. The kernel finds the group by way of them, and gives them only what no worker is there for; a worker
    /// that reads them loses nothing (`docs/decisions/0014-udp-anchor.md`).
    ///
    /// ## Kernel
    /// `SO_INCOMING_CPU`, without any privilege. Linux 6.2, or 5.15 and later with all corrections; before, the kernel
    /// spreads over all sockets by flow.
    case byCPU
}

/// A socket that a group has.
package struct GroupMember: Sendable, Hashable {
    /// The number of the worker that reads it.
    package let worker: Int
    /// The processor whose packets it is to have.
    package let processor: Int?
    /// Whether it leads to the group.
    package let isRegistered: Bool

    package init(worker: Int, processor: Int?, isRegistered: Bool) {
        self.worker = worker
        self.processor = processor
        self.isRegistered = isRegistered
    }
}

extension Spread {
    /// The sockets of a group: the workers', one each, and then the anchors.
    ///
    /// - Parameter processors: How many the machine has.
    package func members(_ transport: TransportProtocol, workers: Int, processors: Int) -> [GroupMember] {
        let workers = 0..<workers
        switch self {
        case .byCPU where workers.count > 1:
            // What accepts connections pays nothing for being registered.
            let isAnchored = transport == .udp
            let own = workers.map {
                GroupMember(worker: $0, processor: $0 % max(1, processors), isRegistered: !isAnchored)
            }
            guard isAnchored else { return own }
            return own
                + [workers.lowerBound, workers.upperBound - 1].map {
                    GroupMember(worker: $0, processor: nil, isRegistered: true)
                }
        case .evenly, .byCPU:
            return workers.map { GroupMember(worker: $0, processor: nil, isRegistered: true) }
        }
    }
}
