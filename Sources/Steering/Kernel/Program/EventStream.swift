import CLibBPF
import CSteering
import Glibc

/// The program `observe`, attached beside the steering program, and its events. The attachment ends with this object.
///
/// Not safe to share between threads.
final class EventStream {
    private let link: SharedDescriptor
    private let events: SharedDescriptor
    private let observed: SharedDescriptor
    private let ring: OpaquePointer
    private let queue: Queue

    /// Events taken from the ring buffer.
    private final class Queue {
        var events: [PacketEvent] = []
        var first = 0
        /// The maximum to take at once, because the ring buffer may fill as fast as it is emptied.
        static let batch = 1024
    }

    /// Loads the program and attaches it to a namespace.
    ///
    /// - Parameters:
    ///   - policy: The map with the tables in force.
    ///   - filter: The packets to report.
    ///   - namespace: The network namespace of the steering.
    /// - Throws: `missingCapability` (CAP_BPF), `tooManyPrograms`, `programRejected`, `networkNamespaceGone`,
    ///   `systemCall`.
    init(
        _ policy: SharedDescriptor, _ filter: PacketFilter, in namespace: borrowing NetworkNamespace
    ) throws(SteeringError) {
        let loaded = try Self.load(policy, filter)
        (events, observed) = (loaded.maps[1], loaded.maps[2])
        let queue = Queue()
        let made = ring_buffer__new(
            events.rawValue,
            { context, bytes, size in
                let queue = Unmanaged<Queue>.fromOpaque(context!).takeUnretainedValue()
                guard size >= MemoryLayout<steering_event>.size else { return 0 }
                queue.events.append(PacketEvent(bytes!.loadUnaligned(as: steering_event.self)))
                return queue.events.count < Queue.batch ? 0 : -ECANCELED
            }, Unmanaged.passUnretained(queue).toOpaque(), nil)
        guard let made else { throw .failed("ring_buffer__new", errno) }
        ring = made
        self.queue = queue
        do throws(SteeringError) {
            link = try loaded.program.attach(to: namespace)
        } catch {
            ring_buffer__free(made)
            throw error
        }
    }

    deinit {
        DataPlane.detach(link)
        ring_buffer__free(ring)
    }

    /// Switches to other tables or another filter, in one step. Keeps events and counters.
    func resume(_ policy: SharedDescriptor, _ filter: PacketFilter) throws(SteeringError) {
        try Self.load(policy, filter, events, observed).program.replace(in: link)
    }

    private static func load(
        _ policy: SharedDescriptor, _ filter: PacketFilter, _ events: SharedDescriptor? = nil,
        _ observed: SharedDescriptor? = nil
    ) throws(SteeringError) -> LoadedProgram {
        let size = try TableSize(ofTablesIn: policy.rawValue)
        return try LoadedProgram.observing(
            "observe", size,
            maps: [
                LoadedProgram.Map(name: MapName.policy.inObject(size), reused: policy),
                LoadedProgram.Map(name: "events", reused: events),
                LoadedProgram.Map(name: "observed", reused: observed),
            ], steering_observation(one_in: filter.oneIn, mask: filter.mask, value: filter.value))
    }

    /// Returns the next event; nil if there is none.
    func next() throws(SteeringError) -> PacketEvent? {
        if queue.first == queue.events.count {
            (queue.events, queue.first) = ([], 0)
            let taken = ring_buffer__consume(ring)
            if taken != -ECANCELED { try call("ring_buffer__consume", taken) }
        }
        guard queue.first < queue.events.count else { return nil }
        defer { queue.first += 1 }
        return queue.events[queue.first]
    }

    /// Waits for an event, until the timeout or a signal.
    func wait(milliseconds: CInt) throws(SteeringError) {
        var ready = pollfd(fd: ring_buffer__epoll_fd(ring), events: Int16(POLLIN), revents: 0)
        if poll(&ready, 1, milliseconds) < 0, errno != EINTR { throw .failed("poll", errno) }
    }

    /// Returns the number of packets that passed the filter, before sampling, and of events lost because the buffer was
    /// full.
    func counts() throws(SteeringError) -> (seen: UInt64, lost: UInt64) {
        let counters = try PerCPUMap("observed", observed.rawValue, zero: steering_observed())
        return try counters.values(0).reduce(into: (0, 0)) { sum, value in
            sum.0 &+= value.seen
            sum.1 &+= value.lost
        }
    }
}

/// The packets to report: one in `oneIn` of those whose cell, masked, equals the value.
struct PacketFilter: Equatable {
    let oneIn: UInt32
    let mask: UInt32
    let value: UInt32

    /// Selects the packets of a label, by its number, or all packets that a binding matches.
    init(label: UInt32?, oneIn: UInt32) {
        self.oneIn = oneIn
        if let label {
            // The two kinds with a label are the greatest, and differ only in the lowest bit.
            let kinds = UInt32(STEERING_FIRST_LABEL) << UInt32(STEERING_CELL_SHIFT)
            mask = kinds | UInt32(STEERING_CELL_MASK) & ~UInt32(STEERING_DESTINATIONS_PER_LABEL - 1)
            value = kinds | label * UInt32(STEERING_DESTINATIONS_PER_LABEL)
        } else {
            (mask, value) = (0, 0)
        }
    }

    private init(oneIn: UInt32) { (self.oneIn, mask, value) = (oneIn, 0, 1) }

    static func nothing(oneIn: UInt32) -> PacketFilter { PacketFilter(oneIn: oneIn) }
}

/// The event that the program reports for a packet.
struct PacketEvent {
    /// The outcome that the cell encodes.
    enum Verdict: Equatable {
        case label(number: UInt32)
        case refuse
        case pass
    }

    let nanoseconds: UInt64
    let generation: UInt64
    let transport: TransportProtocol
    let source: SocketAddress
    let destination: SocketAddress
    /// The index of the ingress interface; 0 if the kernel does not report it.
    let interface: UInt32
    let verdict: Verdict

    init(_ event: steering_event) {
        nanoseconds = event.time
        generation = event.generation
        transport = Int32(event.protocol) == IPPROTO_TCP ? .tcp : .udp
        func address<Words: BitwiseCopyable>(_ words: Words) -> IPAddress {
            IPAddress(networkOrder: words, CInt(event.family))
        }
        source = SocketAddress(address(event.source), port: event.source_port)
        destination = SocketAddress(address(event.destination), port: event.destination_port)
        interface = event.interface
        let number = event.cell & UInt32(STEERING_CELL_MASK)
        verdict =
            event.cell >> UInt32(STEERING_CELL_SHIFT) >= UInt32(STEERING_FIRST_LABEL)
            ? .label(number: number / UInt32(STEERING_DESTINATIONS_PER_LABEL)) : number == 0 ? .refuse : .pass
    }
}

extension LoadedProgram {
    /// Loads a program that only observes.
    static func observing(
        _ name: String, _ size: TableSize, maps: [Map],
        _ observation: steering_observation = steering_observation(one_in: 1, mask: 0, value: 0)
    ) throws(SteeringError) -> LoadedProgram {
        do throws(SteeringError) {
            return try LoadedProgram("\(name)_\(size.name)", maps: maps, observation, tables: size)
        } catch {
            throw error.code == .missingCapability ? .cannotObserve(error) : error
        }
    }
}

extension SteeringError {
    fileprivate static func cannotObserve(_ error: SteeringError) -> SteeringError {
        SteeringError(
            .missingCapability,
            "watching packets needs CAP_BPF to load the observing program, and this process lacks it: run as root or grant it",
            cause: error.cause)
    }
}
