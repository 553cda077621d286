#if ServiceLifecycle
#if Logging
public import Logging
#endif
public import NIOCore
import NIOPosix
public import ServiceLifecycle
public import Steering

/// A server's sockets as a service of swift-service-lifecycle: registered when it runs; on graceful shutdown the sockets
/// are withdrawn first, so that nothing new comes, and then what is there is drained.
///
///     let service = SteeringService(steering.sockets, [server], as: "web")
///     try await ServiceGroup(services: [http, service], gracefulShutdownSignals: [.sigterm], logger: logger).run()
///
/// A group shuts down the last of its services first: put it behind the server that it belongs to. Then the server ends
/// once new connections have ceased.
///
/// A server that binds its channel itself tells it when it listens: ``add(_:)``.
public struct SteeringService: Service {
    /// What becomes of the sockets on shutdown.
    public enum Departure: Sendable {
        /// They are taken out of the label: new connections are refused, or pass, as the label says.
        case withdraw
        /// They stay: steerd holds them, and connections wait for the next instance to claim them.
        case leave
    }

    private let registry: any SocketRegistry
    private let channels: [any Channel]
    private let label: Label
    private let isReplacing: Bool
    private let departure: Departure
    private let drain: @Sendable () async throws -> Void
    private let later = AsyncStream<any Channel>.makeStream()
    private var log = EventLog()

    /// Makes a service; nothing is registered yet.
    ///
    /// - Parameters:
    ///   - registry: A steering's sockets, or steerd. A steering must be kept by others for as long as it is to steer.
    ///   - channels: Those that listen; none where all are added later.
    ///   - label: The label.
    ///   - replacing: Whether they take the place of what the label has.
    ///   - departure: What becomes of them on shutdown.
    ///   - drain: What to wait for afterwards, such as the end of open connections.
    public init(
        _ registry: some SocketRegistry, _ channels: [any Channel] = [], as label: Label, replacing: Bool = false,
        onShutdown departure: Departure = .withdraw, drain: @escaping @Sendable () async throws -> Void = {}
    ) {
        self.registry = registry
        self.channels = channels
        self.label = label
        self.isReplacing = replacing
        self.departure = departure
        self.drain = drain
    }

    /// Adds a channel that listens: it is registered as soon as the service runs, and withdrawn as the others are.
    ///
    /// For servers that bind their channel themselves. Hummingbird's:
    ///
    ///     Application(router: router, onServerRunning: { service.add($0) })
    ///
    /// That it cannot be registered ends the service with an error, and so the group. After shutdown nothing is added.
    ///
    /// - Parameter channel: Of another family than those that are there, or of their SO_REUSEPORT group.
    public func add(_ channel: any Channel) { later.continuation.yield(channel) }

    #if Logging
    /// The same service, which says what it registers and withdraws (info), what it could not withdraw, and once, when it
    /// has run for a moment, that bindings of the label lead to a family for which it has no socket (warning).
    ///
    /// The messages have `label`, `socket` (where the channel is bound) and `error` as their metadata. Needs the trait
    /// `Logging`.
    public func logging(to logger: Logger) -> SteeringService {
        var service = self
        service.log.logger = logger
        return service
    }
    #endif

    /// Registers the sockets, waits for shutdown, and sees to them then.
    ///
    /// - Throws: As `register`, and what draining throws; `CancellationError` when it is cancelled, after the sockets
    ///   were withdrawn. Channels that are closed by then are no error.
    public func run() async throws {
        var registered: [any Channel] = []
        let watch = Task { await watchForGaps() }
        defer { watch.cancel() }
        do {
            try await register(channels, &registered)
            try await withGracefulShutdownHandler {
                for await channel in later.stream { try await register([channel], &registered) }
            } onGracefulShutdown: {
                later.continuation.finish()
            }
            try Task.checkCancellation()
        } catch {
            await withdraw(registered)
            throw error
        }
        await withdraw(registered)
        try await drain()
    }

    private func register(_ channels: [any Channel], _ registered: inout [any Channel]) async throws {
        guard !channels.isEmpty else { return }
        try await registry.register(channels, as: label, replacing: isReplacing)
        registered += channels
        for channel in channels { log.registered(channel, as: label) }
    }

    /// A server binds its channels, and is bound to, one after the other: what is missing is missing when that is over.
    private func watchForGaps() async {
        guard (try? await Task.sleep(for: .seconds(2))) != nil else { return }
        let missing = try? await NIOThreadPool.singleton.runIfActive { [registry, label] in
            try registry.destinationsWithoutSocket(of: label)
        }
        if let missing, !missing.isEmpty { log.withoutSocket(missing, of: label) }
    }

    /// What is not registered any more need not be withdrawn; nor does a shutdown wait for a steerd that is gone.
    private func withdraw(_ channels: [any Channel]) async {
        guard case .withdraw = departure else { return }
        // Not in this task: cancelled, it may not wait any more.
        await Task { [registry, label, log] in
            for channel in channels {
                do {
                    try await registry.unregister([channel], from: label)
                    log.withdrawn(channel, from: label)
                } catch {
                    log.notWithdrawn(channel, from: label, error)
                }
            }
        }.value
    }
}
#endif
