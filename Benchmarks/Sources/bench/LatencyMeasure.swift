import ArgumentParser
import CBench
import Glibc
import Steering

struct LatencyMeasure: Measure {
    static let name = "latency"
    static let title = "How long a datagram and its answer take, from a server that has nothing else to do"
    static let isAlone = false

    @OptionGroup var options: MeasureOptions

    @Option(help: "How many slices each case has.")
    var rounds = 60

    @Option(help: "Round trips in a slice.")
    var pings = 200

    @Option(help: "Microseconds between them, in which the server comes to rest.")
    var pause: UInt32 = 300

    @Option(help: "The release build of Tests/steering-nio-probe.")
    var probe = ".build/release/steering-nio-probe"

    private static let names = ["plain NIO", "steered", "steered, by Dispatch"]

    func measure() throws -> (figures: [Figure], notes: [String]) {
        var figures: [Figure] = []
        var random = SeededGenerator(seed: 1)
        let processors = sysconf(CInt(_SC_NPROCESSORS_ONLN))
        for (place, servers) in [("one processor", "\(processors - 1)"), ("all processors", "0-\(processors - 1)")] {
            let wire = try Wire()
            let process = try wire.asServer {
                try start("chrt --fifo 20 taskset --cpu-list \(servers) \(probe) echo 7000 >/dev/null")
            }
            defer { _ = bench_stop(process) }
            // Where the probe has its three servers.
            let targets = (0..<3).map {
                Traffic(transport: .udp, family: .ipv4)
                    .packet(to: SocketAddress(IPAddress(ipv4: 0x7f00_0001), port: 7000 + $0))
            }
            try wire.asServer { try eventually { for target in targets { _ = try roundTrips(target, 1) } } }
            var results = Rounds(targets.count)
            try wire.asServer {
                _ = bench_run_alone()
                try results.run(options.quick ? 2 : rounds, of: targets.indices, random: &random) { index, _ in
                    let times = try roundTrips(targets[index], options.quick ? 20 : pings).sorted()
                    return bench_burst(
                        nanoseconds: times[times.count / 2], processor: 0, receiving: times[times.count * 99 / 100],
                        completed: 1)
                }
            }
            for (part, path) in [("median", \bench_burst.nanoseconds), ("99 %", \.receiving)] {
                figures += results.figures(
                    Self.name, Self.names, "\(part), \(place)", unit: "ns/round trip", path, to: Self.names[0])
            }
        }
        return (figures, Self.notes)
    }

    private func roundTrips(_ target: bench_packet, _ count: Int) throws -> [Double] {
        var times = [Double](repeating: 0, count: count)
        _ = try withUnsafePointer(to: target) {
            try BenchError.check("round trips", bench_round_trips($0, UInt32(count), pause, &times))
        }
        return times
    }

    private static let notes = [
        "Median and 99 % of the round trips of a slice; of these, the best and the median of all slices.",
        "One process with three servers, each on an event loop of its own: a DatagramBootstrap, and two with a "
            + "SteeredDatagramHandler, one of which waits as where the kernel has no asynchronous poll. The client "
            + "has the last processor; the server the same, or the choice. Both are real-time.",
        Figure.pairedNote,
    ]
}
