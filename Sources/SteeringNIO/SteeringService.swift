#if ServiceLifecycle
#if Logging
public import Logging
#endif
public import NIOCore
import NIOPosix
public import ServiceLifecycle
public import Steering

/// A service for swift-service-lifecycle that registers a server's sockets while it runs.
///
/// On graceful shutdown it unregisters them first, so that no new connections arrive, and then waits for the drain
/// closure.
///
///     let service = SteeringService(steering.sockets, [server], as: "web")
///     try await ServiceGroup(services: [http, service], gracefulShutdownSignals: [.sigterm], logger: logger).run()
///
/// A service group shuts down its services in reverse order: list this one after its server, so that the server shuts
/// down after new connections have stopped.
///
/// For a server that binds its channel itself, use ``add(_:)``.
public struct SteeringService: Service {
    /// What happens to the sockets on shutdown.
    public enum ShutdownBehavior: Sendable {
        /// They are unregistered. New connections are refused or passed, depending on the label's `without-socket`
        /// option.
        case unregister
        /// They stay registered. steerd holds them, and connections wait for the next instance to claim them.
        case keepRegistered
    }

    private let registry: any SocketRegistry
    private let channels: [any Channel]
    private let label: Label
    private let isReplacing: Bool
    private let shutdown: ShutdownBehavior
    private let drain: @Sendable () async throws -> Void
    private let later = AsyncStream<any Channel>.makeStream()
    private var log = EventLog()

    /// Creates a service, which registers the channels when it runs.
    ///
    /// - Parameters:
    ///   - registry: The sockets of a steering, or a client of steerd. The caller must keep an attached steering alive.
    ///   - channels: The listening channels; empty if all are added later.
    ///   - label: The label.
    ///   - replacing: Whether to replace the label's registered sockets of the same families and protocols.
    ///   - shutdown: What happens to the sockets on shutdown.
    ///   - drain: A closure to wait for after that, such as until open connections have ended.
    public init(
        _ registry: some SocketRegistry, _ channels: [any Channel] = [], as label: Label, replacing: Bool = false,
        onShutdown shutdown: ShutdownBehavior = .unregister, drain: @escaping @Sendable () async throws -> Void = {}
    ) {
        self.registry = registry
        self.channels = channels
        self.label = label
        self.isReplacing = replacing
        self.shutdown = shutdown
        self.drain = drain
    }

    /// Adds a listening channel, which is registered as soon as the service runs and handled like the others on
    /// shutdown.
    ///
    /// For servers that bind their channel themselves, such as Hummingbird:
    ///
    ///     Application(router: router, onServerRunning: { service.add($0) })
    ///
    /// If registration fails, the service ends with that error, and so does its group. After shutdown it has no effect.
    ///
    /// - Parameter channel: A channel of a family without a channel yet, or of the SO_REUSEPORT group of those there
    ///   are.
    public func add(_ channel: any Channel) { later.continuation.yield(channel) }

    #if Logging
    /// Returns a service that also logs registered and unregistered sockets (info), sockets that it could not
    /// unregister (warning) and, once after two seconds, families and protocols with bindings but no socket (warning).
    ///
    /// Metadata keys are `label`, `socket` (the bound address of the channel), `destinations` and `error`. Requires the
    /// trait `Logging`.
    ///
    /// - Parameter logger: The logger to use.
    /// - Returns: A copy of the service with that logger.
    public func logging(to logger: Logger) -> SteeringService {
        var service = self
        service.log.logger = logger
        return service
    }
    #endif

    /// Registers the sockets, waits for shutdown, unregisters them unless they are to stay, and drains.
    ///
    /// - Throws: The errors of `register` and of the drain closure; `CancellationError` if the task is canceled, after
    ///   the sockets have been unregistered. Failures to unregister are only logged.
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
            await unregister(registered)
            throw error
        }
        await unregister(registered)
        try await drain()
    }

    private func register(_ channels: [any Channel], _ registered: inout [any Channel]) async throws {
        guard !channels.isEmpty else { return }
        try await registry.register(channels, as: label, replacing: isReplacing)
        registered += channels
        for channel in channels { log.registered(channel, as: label) }
    }

    /// Warns about destinations without a socket, after a delay, since a server binds its channels one by one.
    private func watchForGaps() async {
        guard (try? await Task.sleep(for: .seconds(2))) != nil else { return }
        let missing = try? await NIOThreadPool.singleton.runIfActive { [registry, label] in
            try registry.destinationsWithoutSocket(of: label)
        }
        if let missing, !missing.isEmpty { log.withoutSocket(missing, of: label) }
    }

    /// Unregisters channels.
    ///
    /// Errors are only logged: a channel may be closed already, and shutdown must not depend on steerd.
    private func unregister(_ channels: [any Channel]) async {
        guard case .unregister = shutdown else { return }
        // In a task of its own, since a canceled one cannot wait.
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
