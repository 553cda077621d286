import ArgumentParser
import CBench
import FoundationEssentials
import Glibc
import Steering

/// What it takes until a server answers for a whole prefix.
struct SetupMeasure: Measure {
    static let name = "setup"
    static let title = "What it takes to listen on a prefix x 13 ports: a socket for each pair, or one to steer to"

    @OptionGroup var options: MeasureOptions

    @Option(help: "How often each way is set up.")
    var rounds = 5

    static let ports: PortSet = [80...92]
    static let reference = "steered to one socket"

    func measure() throws -> (figures: [Figure], notes: [String]) {
        let prefix = try IPPrefix(options.quick ? "192.0.0.0/28" : "192.0.0.0/20")
        try shell("ip route add local \(prefix) dev lo")
        let all = PrefixPool([prefix]).addresses.flatMap { address in
            Self.ports.ranges.flatMap { $0.lower...$0.upper }.map { SocketAddress(address, port: $0) }
        }
        // Containers may not raise the limit of a process as far as this takes: then they are several processes'.
        let most = try BenchError.check("setrlimit", bench_allow_descriptors(UInt32(all.count + 64))) - 64
        let ways: [(name: String, setUp: () throws -> any Answering)] = [
            (Self.reference, { try Steered(prefix, by: [Self.ports]) }),
            ("steered to a socket a port", { try Steered(prefix, by: Self.ports.ranges.flatMap(\.each)) }),
            ("a socket for each address and port", { try Sockets(all, inEach: Int(most)) }),
        ]
        var costs: [String: SetupCost] = [:]
        for _ in 0..<(options.quick ? 2 : rounds) {
            for way in ways {
                try costs[way.name, default: SetupCost()].add(way.setUp, check: all)
            }
        }
        let figures = SetupCost.quantities.flatMap { quantity in
            ways.map { way in
                Figure(
                    Self.name, "\(quantity.name): \(way.name)", unit: quantity.unit,
                    costs[way.name]![keyPath: quantity.samples],
                    to: (
                        "\(quantity.name): \(Self.reference)", costs[Self.reference]![keyPath: quantity.samples]
                    ))
            }
        }
        return (
            figures,
            [
                "\(all.count.text) pairs of address and port; time: until a connection would be accepted, with the "
                    + "loading of the program.",
                "kernel memory: by what slabs, vmalloc and per-CPU memory of the whole machine grew; others change it, "
                    + "too. process memory: what only the processes have that hold the sockets (PSS).",
            ]
        )
    }
}

/// A server that listens, however; until it is gone.
private protocol Answering: AnyObject {
    /// The processes that hold its sockets; none when it is this one.
    var processes: [CInt] { get }
}

private final class Steered: Answering {
    let processes: [CInt] = []
    private let steering: SocketSteering
    private let listeners: [OwnedSocket]

    private final class OwnedSocket {
        let descriptor: OwnedDescriptor
        init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
    }

    /// A socket for each of these sets of ports.
    init(_ prefix: IPPrefix, by ports: [PortSet]) throws {
        steering = try SocketSteering.attach()
        listeners = try ports.map { _ in
            OwnedSocket(try .listener(on: SocketAddress(IPAddress(ipv4: 0x7f00_0001), port: 0)))
        }
        var bindings: [Binding] = []
        for (number, ports) in ports.enumerated() {
            let label = RuleSets.label(number)
            try steering.sockets.register(listeners[number].descriptor, as: label)
            bindings.append(try Binding(.tcp, to: prefix, ports: ports, .label(label)))
        }
        try steering.apply(Policy(bindings))
    }
}

private final class Sockets: Answering {
    private(set) var processes: [CInt] = []

    init(_ addresses: [SocketAddress], inEach most: Int) throws {
        let traffic = Traffic(transport: .tcp, family: .ipv4)
        for start in stride(from: 0, to: addresses.count, by: most) {
            let part = addresses[start..<min(start + most, addresses.count)].map { traffic.packet(to: $0) }
            processes.append(try BenchError.check("listening", bench_hold(part, UInt32(part.count))))
        }
    }

    deinit { for process in processes { bench_stop(process) } }
}

/// What one way of setting up was seen to cost.
private struct SetupCost {
    private(set) var time = Samples(), kernel = Samples(), process = Samples(), descriptors = Samples()

    static var quantities: [(name: String, unit: String, samples: KeyPath<SetupCost, Samples>)] {
        [
            ("time", "ms", \.time), ("kernel memory", "MiB", \.kernel), ("process memory", "MiB", \.process),
            ("descriptors", "", \.descriptors),
        ]
    }

    mutating func add(_ setUp: () throws -> any Answering, check addresses: [SocketAddress]) throws {
        let before = (kernel: Memory.settledKernel, process: Memory.own(), descriptors: try Self.descriptors())
        var answering: (any Answering)?
        time.add(try milliseconds { answering = try setUp() })
        try withExtendedLifetime(answering!) {
            kernel.add(Memory.settledKernel - before.kernel)
            let processes = answering!.processes
            // What this process has, it had; but for what it shares with those that it started.
            process.add(
                processes.isEmpty
                    ? Memory.own() - before.process : processes.reduce(0) { $0 + Memory.own(of: "\($1)") })
            descriptors.add(
                processes.isEmpty
                    ? try Self.descriptors() - before.descriptors
                    : try processes.reduce(0) { $0 + (try Self.descriptors(of: "\($1)")) })
            for address in (0..<50).map({ _ in addresses.randomElement()! }) + [addresses.first!, addresses.last!] {
                var packet = Traffic(transport: .tcp, family: .ipv4).packet(to: address)
                _ = try BenchError.check("connecting to \(address)", bench_connects(&packet))
            }
        }
    }

    private static func descriptors(of process: String = "self") throws -> Double {
        Double(try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd").count)
    }
}

extension PortRange {
    /// A set for each port.
    fileprivate var each: [PortSet] { (lower...upper).map { PortSet(PortRange($0)) } }
}
