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

/// Reports a steering's counters to swift-metrics, at an interval, under the names that `steer metrics` has for them.
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
/// Counters begin at zero when it begins to run, as a process' counters do, whatever a loaded steering has counted
/// before. A destination appears once it has a socket or met a packet.
///
/// Needs the trait `Metrics`; it is a `Service` where there is `ServiceLifecycle`.
public struct SteeringReporter: Sendable {
    private let steering: SocketSteering
    private let interval: Duration
    private let factory: any MetricsFactory
    private var log = EventLog()

    /// Makes a reporter; nothing is reported yet.
    ///
    /// - Parameters:
    ///   - steering: Attached or loaded. It is kept while this lives.
    ///   - interval: How long it waits between two reports.
    ///   - factory: Whom it reports to.
    public init(
        _ steering: SocketSteering, every interval: Duration = .seconds(10),
        to factory: any MetricsFactory = MetricsSystem.factory
    ) {
        self.steering = steering
        self.interval = interval
        self.factory = factory
    }

    #if Logging
    /// The same reporter, which says that a policy has come into force (info), whoever applied it, and that the counters
    /// could not be read (warning), once until they can.
    ///
    /// It looks when it reports: of several changes between two reports it says the last. Needs the trait `Logging`.
    public func logging(to logger: Logger) -> SteeringReporter {
        var reporter = self
        reporter.log.logger = logger
        return reporter
    }
    #endif

    /// Reports until it is cancelled, or its group shuts down; then a last time.
    ///
    /// What cannot be read is no error: it is tried again with the next report.
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

    /// Not on a thread that tasks share: while a large policy is applied, reading waits. Nor in this task, which may be
    /// cancelled when it reads for the last time.
    private func status() async throws -> SteeringStatus {
        try await Task { [steering] in try await NIOThreadPool.singleton.runIfActive { try steering.status() } }.value
    }

    /// Waits until the next report is due; false when there is to be none after it.
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
