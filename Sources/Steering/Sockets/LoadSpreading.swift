/// How the kernel distributes packets among the workers of a SO_REUSEPORT group.
///
/// In both cases every socket of the group must be read, and when one is closed the others take over.
public enum LoadSpreading: Sendable, Hashable {
    /// By flow: the kernel hashes both addresses and ports, so a flow stays with one worker.
    ///
    /// Every worker's socket is registered.
    case evenly

    /// By the CPU on which a packet arrives: worker 0 gets the packets that arrive on CPU 0, and so on.
    ///
    /// This pays off with one worker for each CPU, pinned to it (`taskset`), and packets arriving on all of them:
    /// through a network card with a queue for each, or RPS. Packets that arrive on a CPU without a worker are
    /// distributed by flow.
    ///
    /// UDP workers receive at a lower cost than with ``evenly``, since their sockets are not registered: a registered
    /// one costs extra for each datagram. Instead two *anchors* are registered, sockets of the same group that belong
    /// to the first and the last worker. The kernel finds the group through them, and gives them only packets for which
    /// there is no worker; since workers read them, nothing is lost (`docs/decisions/0014-udp-anchor.md`).
    ///
    /// ## Kernel
    /// `SO_INCOMING_CPU`, without any privilege. Linux 6.2, or 5.15 and later with all stable updates; older kernels
    /// distribute by flow over all sockets.
    case byCPU
}

/// A socket of a worker group.
package struct GroupMember: Sendable, Hashable {
    /// The number of the worker that reads it.
    package let worker: Int
    /// The CPU whose packets it is to receive; nil for none in particular.
    package let processor: Int?
    /// Whether it is registered, so that the kernel finds the group through it.
    package let isRegistered: Bool

    package init(worker: Int, processor: Int?, isRegistered: Bool) {
        self.worker = worker
        self.processor = processor
        self.isRegistered = isRegistered
    }
}

extension LoadSpreading {
    /// Returns the sockets of a group: one for each worker, then the anchors.
    ///
    /// - Parameters:
    ///   - transport: The protocol.
    ///   - workers: The number of workers.
    ///   - processors: The number of CPUs of the machine.
    /// - Returns: The sockets to make.
    package func members(_ transport: TransportProtocol, workers: Int, processors: Int) -> [GroupMember] {
        let workers = 0..<workers
        switch self {
        case .byCPU where workers.count > 1:
            // Registration costs an accepted connection nothing.
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
