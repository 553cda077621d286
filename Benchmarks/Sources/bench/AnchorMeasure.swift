import ArgumentParser
import CBench
import Glibc
import Steering

struct AnchorMeasure: Measure {
    static let name = "anchor"
    static let title = "What a datagram costs a group of UDP workers: every member registered, or only an anchor"

    @OptionGroup var options: MeasureOptions

    @Option(help: "How often all is set up anew: where in memory things come to lie is worth one in a hundred.")
    var setups = 5

    @Option(help: "How many slices each case has after each.")
    var rounds = 300

    @Option(help: "Datagrams in a slice, at most \(BENCH_BURST).")
    var datagrams = 512

    @Option(help: "How many workers a group has; by CPU it is one a processor.")
    var workers = 4

    func measure() throws -> (figures: [Figure], notes: [String]) {
        let processors = sysconf(CInt(_SC_NPROCESSORS_ONLN))
        guard processors > 1 else { throw BenchError("one processor is not enough for workers by CPU") }
        var random = SeededGenerator(seed: 1)
        var figures: [Figure] = []
        for family in IPFamily.allCases {
            let traffic = Traffic(transport: .udp, family: family)
            let addresses = traffic.addresses(&random)
            var results = Rounds(Grouping.allCases.count)
            for _ in 0..<(options.quick ? 1 : setups) {
                let lanes = try Grouping.allCases.map {
                    try GroupLane($0, $0.isByFlow ? workers : processors, traffic, addresses)
                }
                try results.run(options.quick ? 3 : rounds, of: lanes.indices, random: &random) {
                    // What the others have driven out of the caches comes back first.
                    _ = try lanes[$0].slice(datagrams / 4, &$1)
                    return try lanes[$0].slice(datagrams, &$1)
                }
                for lane in lanes { try lane.check(&random) }
            }
            let parts: [(String, KeyPath<bench_burst, Double>)] = [
                ("whole path", \.nanoseconds), ("delivery", \.delivering), ("receive", \.receiving),
            ]
            for (name, part) in parts {
                figures += results.figures(
                    Self.name, Grouping.allCases.map(\.rawValue), "\(name)/\(family)", unit: "ns/datagram", part,
                    to: Grouping.registered.rawValue)
            }
        }
        return (figures, Self.notes)
    }

    private static let notes = [
        "A socket in a socket map pays for it when it is read. An anchor is a socket of the same SO_REUSEPORT group, "
            + "alone in the map, from which the kernel goes on to a worker: by a program of classic BPF, or by itself "
            + "(SO_INCOMING_CPU).",
        "One thread sends 64 datagrams to random addresses over a veth pair (delivery: the kernel finds the socket "
            + "within the call), then receives them (epoll_wait, recvmmsg) from the members of the group. By CPU all go to one "
            + "worker, which reads them in fewer calls.",
        Figure.pairedNote,
    ]
}

extension bench_burst {
    fileprivate var delivering: Double { nanoseconds - receiving }
}

/// A way of making a group of workers receive what is steered. One thread sends, so that by processor it all goes to one
/// worker: those cases are to be compared with each other.
private enum Grouping: String, CaseIterable {
    /// `LoadSpreading.evenly`.
    case registered
    case anchoredByFlow = "anchor, BPF by flow"
    case oneRegistered = "one of them registered"
    case registeredByCPU = "registered, BPF by CPU"
    case anchoredBPFByCPU = "anchor, BPF by CPU"
    /// `LoadSpreading.byCPU`.
    case anchoredByCPU = "anchor, SO_INCOMING_CPU"
    case everywhere = "INADDR_ANY, not steered"

    /// How many of the group's first sockets are registered beside the workers', made by hand.
    var anchors: Int {
        switch self {
        case .anchoredByFlow, .anchoredBPFByCPU: 1
        default: 0
        }
    }

    /// Whether all workers have a share of what one thread sends.
    var isByFlow: Bool {
        switch self {
        // Without steering the kernel's hash takes the wildcard for the destination: one flow.
        case .registeredByCPU, .anchoredBPFByCPU, .anchoredByCPU, .everywhere: false
        default: true
        }
    }
}

private final class GroupLane {
    private let grouping: Grouping
    private let wire: Wire
    private let sender: CInt
    private let targets: [bench_packet]
    private var sockets: [CInt] = []
    /// Those among the sockets that are not meant to receive anything.
    private var anchors: [CInt] = []
    /// Keeps the sockets.
    private var members: [AnyObject] = []
    private var steering: SocketSteering?
    private let poller: CInt

    init(_ grouping: Grouping, _ workers: Int, _ traffic: Traffic, _ addresses: [IPAddress]) throws {
        self.grouping = grouping
        let wire = try Wire()
        self.wire = wire
        let targets = addresses.map { traffic.packet(to: SocketAddress($0, port: Way.port)) }
        self.targets = targets
        sender = try wire.asClient { try BenchError.check("socket", bench_sender(targets[0].family)) }
        poller = try BenchError.check("epoll_create", bench_poller())
        try wire.asServer { try serve(workers, traffic) }
        for socket in sockets {
            _ = try BenchError.check("setsockopt", bench_set_receive_buffer(socket, 1 << 20))
            _ = try BenchError.check("epoll_ctl", bench_watch(poller, socket))
        }
    }

    private func serve(_ workers: Int, _ traffic: Traffic) throws {
        let prefix = Wire.prefixes[traffic.family]!
        try shell("ip route replace local \(prefix) dev lo")
        if grouping == .everywhere {
            return try bind(workers, to: SocketAddress(traffic.wildcard, port: Way.port))
        }
        let steering = try SocketSteering.attach()
        try steering.bind("served", .udp, to: PrefixPool([prefix]), ports: [PortRange(Way.ports)])
        self.steering = steering
        let address = SocketAddress(traffic.loopback, port: 8080)
        switch grouping {
        case .registered: try take(steering.sockets.registerReceivers(workers, as: "served", on: address, .nonblocking))
        case .anchoredByCPU:
            try take(
                steering.sockets.registerReceivers(workers, as: "served", on: address, .nonblocking, spread: .byCPU))
        default:
            let first = grouping.anchors
            try bind(first + workers, to: address)
            anchors = Array(sockets.prefix(first))
            let isAlone = first > 0 || grouping == .oneRegistered
            for socket in isAlone ? sockets.prefix(1) : sockets[...] {
                try steering.sockets.register(socket, as: "served")
            }
            if grouping == .anchoredByFlow {
                _ = try BenchError.check(
                    "SO_ATTACH_REUSEPORT_CBPF",
                    bench_choose_by_flow(sockets[0], targets[0].family, UInt32(first), UInt32(workers)))
            } else if grouping == .registeredByCPU || grouping == .anchoredBPFByCPU {
                _ = try BenchError.check(
                    "SO_ATTACH_REUSEPORT_CBPF",
                    bench_choose_by_processor(sockets[0], UInt32(first), UInt32(workers)))
            }
        }
    }

    private func take(_ group: [WorkerSocket]) {
        members = group
        sockets = group.map { $0.socket.rawValue }
        if group.contains(where: { !$0.isRegistered }) {
            anchors = group.filter(\.isRegistered).map { $0.socket.rawValue }
        }
    }

    private func bind(_ count: Int, to address: SocketAddress) throws {
        for _ in 0..<count {
            let member = BoundSocket(try .receiver(on: address, [.reusePort, .nonblocking]))
            members.append(member)
            sockets.append(member.socket.rawValue)
        }
    }

    deinit {
        close(sender)
        close(poller)
    }

    func slice(_ count: Int, _ random: inout SeededGenerator) throws -> bench_burst {
        try aim(count, &random)
        var burst = bench_burst()
        // Fails when not all of them come back.
        _ = try BenchError.check("\(grouping.rawValue): receiving", bench_exchange(sender, poller, 64, &burst))
        return burst
    }

    private func aim(_ count: Int, _ random: inout SeededGenerator) throws {
        let aimed = (0..<count).map { _ in targets.randomElement(using: &random)! }
        _ = try BenchError.check("aiming", bench_aim(aimed, UInt32(count)))
    }

    /// Whether datagrams go to those who are meant to have them.
    func check(_ random: inout SeededGenerator) throws {
        try aim(Int(BENCH_BURST), &random)
        var burst = bench_burst()
        _ = try BenchError.check("sendmmsg", bench_flood(sender, &burst))
        let waiting = sockets.filter { bench_waiting($0) > 0 }
        let expected = grouping.isByFlow ? sockets.count - anchors.count : 1
        guard waiting.count == expected, waiting.allSatisfy({ !anchors.contains($0) }) else {
            throw BenchError(
                "\(grouping.rawValue): \(waiting.count) of \(sockets.count) sockets had a share, not \(expected) workers"
            )
        }
        _ = try BenchError.check("recvmmsg", bench_drain(poller))
    }
}

private final class BoundSocket {
    let socket: OwnedDescriptor
    init(_ socket: consuming OwnedDescriptor) { self.socket = socket }
}
