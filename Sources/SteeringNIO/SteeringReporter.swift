#if Metrics
#if Logging
public import Logging
#endif
public import Metrics
import NIOPosix
#if ServiceLifecycle
public import ServiceLifecycle
#endif
public import Steering

/// Reports the counters of a steering to swift-metrics at an interval, with the metric names of `steer metrics`.
///
///     let reporter = SteeringReporter(steering)
///     try await ServiceGroup(services: [http, service, reporter], logger: logger).run()
///
/// | | kind | dimensions |
/// |---|---|---|
/// | `steering_lookups_total`, `steering_misses_total`, `steering_incompatible_total` | counter | label, family, protocol |
/// | `steering_sockets` | gauge | label, family, protocol |
/// | `steering_refused_total`, `steering_passed_total` | counter | |
/// | `steering_bindings` | gauge | |
/// | `steering_policy_changes_total` | counter | |
///
/// Counters start from zero when the reporter starts, as usual for a process, regardless of earlier counts of a loaded
/// steering. A destination is reported once it has had a socket or a packet.
///
/// Requires the trait `Metrics`; conforms to `Service` with the trait `ServiceLifecycle`.
public struct SteeringReporter: Sendable {
    private let steering: SocketSteering
    private let interval: Duration
    private let factory: any MetricsFactory
    private var log = EventLog()

    /// Creates a reporter, which reports when it runs.
    ///
    /// - Parameters:
    ///   - steering: The steering, attached or loaded. The reporter keeps a reference to it.
    ///   - interval: The time between two reports.
    ///   - factory: The metrics factory to report to.
    public init(
        _ steering: SocketSteering, every interval: Duration = .seconds(10),
        to factory: any MetricsFactory = MetricsSystem.factory
    ) {
        self.steering = steering
        self.interval = interval
        self.factory = factory
    }

    #if Logging
    /// Returns a reporter that also logs new policies in force, whoever applied them (info), and failures to read the
    /// counters (warning, once until they can be read again).
    ///
    /// Changes are detected at each report, so of several between two reports only the last is logged. Requires the
    /// trait `Logging`.
    ///
    /// - Parameter logger: The logger to use.
    /// - Returns: A copy of the reporter with that logger.
    public func logging(to logger: Logger) -> SteeringReporter {
        var reporter = self
        reporter.log.logger = logger
        return reporter
    }
    #endif

    /// Reports until the task is canceled or its service group shuts down, then one last time.
    ///
    /// Never throws: if the counters cannot be read, the next report tries again.
    public func run() async throws {
        var report = MetricsReport(to: factory)
        var isFailing = false
        var changes: UInt64?
        var isLast = false
        while true {
            do {
                let status = try await status()
                if isFailing { log.readAgain() }
                isFailing = false
                if status.changes != changes {
                    log.policyInForce(bindings: status.bindings, changes: status.changes)
                }
                changes = status.changes
                report.add(status)
            } catch {
                if !isFailing { log.notRead(error) }
                isFailing = true
            }
            guard !isLast else { return }
            isLast = await !pause()
        }
    }

    /// Reads the status on NIO's thread pool, since it blocks while a large policy is applied, and in a task of its
    /// own, since this one may be canceled at the last report.
    private func status() async throws -> SteeringStatus {
        try await Task { [steering] in try await NIOThreadPool.singleton.runIfActive { try steering.status() } }.value
    }

    /// Waits until the next report is due.
    ///
    /// Returns `false` if that is the last one.
    private func pause() async -> Bool {
        #if ServiceLifecycle
        try? await cancelWhenGracefulShutdown { try await Task.sleep(for: interval) }
        return !Task.isCancelled && !Task.isShuttingDownGracefully
        #else
        try? await Task.sleep(for: interval)
        return !Task.isCancelled
        #endif
    }
}

#if ServiceLifecycle
extension SteeringReporter: Service {}
#endif
#endif
