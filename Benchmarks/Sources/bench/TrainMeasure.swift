import ArgumentParser
import CBench
import Glibc
import Steering

struct TrainMeasure: Measure {
    static let name = "trains"
    static let title = "What a datagram costs on its way between the same ends, alone and in a train"

    @OptionGroup var options: MeasureOptions

    @Option(help: "How many slices each case has.")
    var rounds = 1500

    @Option(help: "Datagrams in a train, at most 54.")
    var datagrams = 16

    @Option(help: "Bytes in a datagram.")
    var size = 1200

    func measure() throws -> (figures: [Figure], notes: [String]) {
        var random = SeededGenerator(seed: 1)
        var figures: [Figure] = []
        for family in IPFamily.allCases {
            let lanes = try Handling.allCases.map { try TrainLane($0, family) }
            var results = Rounds(lanes.count)
            try results.run(options.quick ? 3 : rounds, of: lanes.indices, random: &random) { index, _ in
                _ = try lanes[index].slice(4, datagrams, size)
                return try lanes[index].slice(16, datagrams, size)
            }
            for (part, path) in [("whole path", \bench_burst.nanoseconds), ("receive", \.receiving)] {
                figures += results.figures(
                    Self.name, Handling.allCases.map(\.rawValue), "\(part)/\(family)", unit: "ns/datagram", path,
                    to: Handling.alone.rawValue)
            }
        }
        return (
            figures,
            [
                "One thread sends \(datagrams) datagrams of \(size) bytes over a veth pair to a steered address and "
                    + "receives them, all by AddressedUDPSocket: a call each, or one for all (UDP_SEGMENT); in one "
                    + "piece where the receiver is coalescing (UDP_GRO). Each is copied into an array of its own.",
                Figure.pairedNote,
            ]
        )
    }
}

private enum Handling: String, CaseIterable {
    case alone = "one by one"
    case aloneCoalescing = "one by one, receiver coalescing"
    case sent = "sent as a train"
    case both = "sent and received as a train"

    var isSentAsTrain: Bool { self == .sent || self == .both }
    var isCoalescing: Bool { self == .both || self == .aloneCoalescing }
}

private final class TrainLane {
    private let handling: Handling
    private let wire: Wire
    private let steering: SocketSteering
    private var server: AddressedUDPSocket
    private var client: AddressedUDPSocket
    private let source: SocketAddress
    private let target: SocketAddress

    init(_ handling: Handling, _ family: IPFamily) throws {
        self.handling = handling
        let wire = try Wire()
        self.wire = wire
        let prefix = Wire.prefixes[family]!
        target = SocketAddress(prefix.address, port: Way.port)
        let loopback = Traffic(transport: .udp, family: family).loopback
        let receiver = try wire.asServer {
            try shell("ip route replace local \(prefix) dev lo")
            return Holder(try .receiver(on: SocketAddress(loopback, port: 0), .nonblocking))
        }
        steering = try wire.asServer {
            let steering = try SocketSteering.attach()
            try steering.sockets.register(receiver.socket, as: "served")
            try steering.bind("served", .udp, to: PrefixPool([prefix]), ports: [PortRange(Way.ports)])
            return steering
        }
        _ = try BenchError.check("setsockopt", bench_set_receive_buffer(receiver.socket.rawValue, 1 << 22))
        server = try AddressedUDPSocket(receiver.socket.duplicate(), coalescing: handling.isCoalescing)
        let address = try SocketAddress(family == .ipv4 ? "198.51.100.2:0" : "[2001:db8:ffff::2]:0")
        let sender = try wire.asClient { Holder(try .receiver(on: address)) }
        client = try AddressedUDPSocket(sender.socket.duplicate())
        source = try client.receiver.localAddress()
    }

    func slice(_ trains: Int, _ datagrams: Int, _ size: Int) throws -> bench_burst {
        let payload = [UInt8](repeating: 7, count: datagrams * size)
        let clock = ContinuousClock()
        var receiving = Duration.zero
        let start = clock.now
        for _ in 0..<trains {
            if handling.isSentAsTrain {
                try client.send(payload, inDatagramsOf: size, from: source, to: target)
            } else {
                for index in 0..<datagrams {
                    try client.send(payload[index * size..<(index + 1) * size], from: source, to: target)
                }
            }
            let sent = clock.now
            var received = 0
            while received < datagrams {
                let more = try server.receive(upTo: 32)
                guard !more.isEmpty, more.allSatisfy({ $0.payload.count == size && $0.destination == target }) else {
                    throw BenchError("\(handling.rawValue): \(received) of \(datagrams) datagrams came")
                }
                received += more.count
            }
            receiving += clock.now - sent
        }
        let whole = clock.now - start
        return bench_burst(
            nanoseconds: whole / .nanoseconds(1), processor: 0, receiving: receiving / .nanoseconds(1),
            completed: UInt32(trains * datagrams))
    }
}

/// A descriptor that leaves the closure it was made in.
private final class Holder {
    let socket: OwnedDescriptor
    init(_ socket: consuming OwnedDescriptor) { self.socket = socket }
}
