#if ServiceLifecycle
public import NIOCore
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

    /// Makes a service; nothing is registered yet.
    ///
    /// - Parameters:
    ///   - registry: A steering's sockets, or steerd. A steering must be kept by others for as long as it is to steer.
    ///   - channels: Those that listen.
    ///   - label: The label.
    ///   - replacing: Whether they take the place of what the label has.
    ///   - departure: What becomes of them on shutdown.
    ///   - drain: What to wait for afterwards, such as the end of open connections.
    public init(
        _ registry: some SocketRegistry, _ channels: [any Channel], as label: Label, replacing: Bool = false,
        onShutdown departure: Departure = .withdraw, drain: @escaping @Sendable () async throws -> Void = {}
    ) {
        self.registry = registry
        self.channels = channels
        self.label = label
        self.isReplacing = replacing
        self.departure = departure
        self.drain = drain
    }

    /// Registers the sockets, waits for shutdown, and sees to them then.
    ///
    /// - Throws: As `register`, and what draining throws; `CancellationError` when it is cancelled, after the sockets
    ///   were withdrawn. Channels that are closed by then are no error.
    public func run() async throws {
        try await registry.register(channels, as: label, replacing: isReplacing)
        do {
            try await gracefulShutdown()
        } catch {
            await withdraw()
            throw error
        }
        await withdraw()
        try await drain()
    }

    /// What is not registered any more need not be withdrawn; nor does a shutdown wait for a steerd that is gone.
    private func withdraw() async {
        guard case .withdraw = departure else { return }
        // Not in this task: cancelled, it may not wait any more.
        await Task { [registry, channels, label] in
            for channel in channels { try? await registry.unregister([channel], from: label) }
        }.value
    }
}
#endif
