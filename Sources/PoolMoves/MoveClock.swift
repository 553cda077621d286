import Glibc

/// The time, as pools and their moves measure it.
package protocol MoveClock: Sendable {
    /// The time of day, in seconds since 1970.
    var now: Double { get }
    /// The time since a fixed moment, which does not jump if the time of day is set.
    var uptime: Duration { get }

    func sleep(_ duration: Duration)
}

extension MoveClock {
    /// The time of day in whole seconds, rounded up, so that no command counts from before a line was written.
    package var second: Int { Int(now.rounded(.up)) }
}

/// The time of this machine.
package struct SystemClock: MoveClock {
    private static let start = ContinuousClock.now

    package init() {}

    package var now: Double {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
    }

    package var uptime: Duration { ContinuousClock.now - Self.start }

    package func sleep(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        var interval = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        nanosleep(&interval, nil)
    }
}
