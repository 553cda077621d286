import AddressPools
import Documents

/// Counts the packets to parts of prefixes.
struct Arrivals<Steering: PoolSteering> {
    let parts: [IPPrefix]
    private let counts: () throws(Steering.Failure) -> [(prefix: IPPrefix, packets: UInt64)]

    /// Starts counting.
    ///
    /// With at most 64 prefixes, each is counted in 16 parts, or by address if it has fewer.
    init(at prefixes: [IPPrefix], _ steering: Steering) throws(Steering.Failure) {
        let bits = prefixes.count > 64 ? 0 : 4
        parts = prefixes.flatMap { Self.parts(of: $0, bits) }
        counts = parts.isEmpty ? { [] } : try steering.countArrivals(at: parts)
    }

    private static func parts(of prefix: IPPrefix, _ bits: Int) -> [IPPrefix] {
        var parts = [prefix]
        for _ in 0..<bits {
            guard parts[0].halves != nil else { return parts }
            parts = parts.flatMap { [$0.halves!.0, $0.halves!.1] }
        }
        return parts
    }

    /// Returns the packets to each part since counting began.
    func packets() throws(Steering.Failure) -> [UInt64] {
        var packets = [UInt64](repeating: 0, count: parts.count)
        for count in try counts() where count.packets > 0 {
            if let part = parts.firstIndex(where: { $0.contains(count.prefix) }) { packets[part] &+= count.packets }
        }
        return packets
    }

    /// Waits, and follows policy changes meanwhile.
    ///
    /// - Returns: Whether all counts are whole: false if bindings that were removed took theirs with them.
    func follow(
        for seconds: Double, _ clock: any MoveClock, unless isInterrupted: () -> Bool = { false }
    ) throws(Steering.Failure) -> Bool {
        let end = clock.uptime + .seconds(seconds)
        var last = try packets(), isWhole = true
        while !parts.isEmpty, clock.uptime < end, !isInterrupted() {
            clock.sleep(.milliseconds(50))
            let packets = try packets()
            if zip(packets, last).contains(where: <) { isWhole = false }
            last = packets
        }
        return isWhole
    }
}

extension DrainablePool {
    /// Counts the packets that come to drained prefixes.
    ///
    /// - Parameters:
    ///   - seconds: The time to count, in seconds.
    ///   - threshold: The packets that may come to a part of a quiet prefix in that time.
    ///   - isInterrupted: Whether to end earlier.
    package func report<Steering: PoolSteering>(
        counting seconds: Double, _ threshold: UInt64, _ watch: ServerWatch, _ steering: Steering,
        _ clock: any MoveClock, unless isInterrupted: () -> Bool
    ) throws(Steering.Failure) -> DrainReport {
        let read = { () throws(DocumentError) in try status(watch) }
        let drained = try Steering.Failure.files(read)
        let arrivals = try Arrivals(at: drained.map(\.prefix), steering)
        _ = try arrivals.follow(for: seconds, clock, unless: isInterrupted)
        let packets = try arrivals.packets()
        return DrainReport(
            self, try Steering.Failure.files(read), at: clock.now,
            DrainReport.Count(
                arrivals: Array(zip(arrivals.parts, packets)), seconds: seconds, threshold: threshold))
    }
}
