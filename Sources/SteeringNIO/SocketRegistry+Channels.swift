public import NIOCore
import NIOPosix
public import Steering

/// Channels, as plain sockets are registered: at the steering of this process, or at steerd.
///
///     let server = try await bootstrap.bind(host: "127.0.0.1", port: 0).get()
///     try await steering.sockets.register(server, as: "web")     // or: SteeringClient().register(server, as: "web")
///
/// Where a channel is bound does not matter, only its family does: bind one to `127.0.0.1` and one to `::1` to serve both.
/// (The kernel makes every IPv6 socket that is bound to an address IPv6 only; one bound to `::` receives both, but is open
/// at its own port on every address, too.)
extension SocketRegistry {
    /// Registers a channel's socket: from now on the label's packets go to it.
    ///
    /// The channel stays as it is. Once it is closed, nothing is registered any more at a `SockMap`; steerd holds
    /// the socket until it is unregistered.
    ///
    /// - Parameters:
    ///   - channel: A channel that listens, of `ServerBootstrap`, or one of `DatagramBootstrap` that is bound.
    ///   - label: The label; it may have bindings already or get them later.
    ///   - replacing: Whether it takes the place of what the label has.
    /// - Throws: As `registerSockets`; `notASocket` for channels without a socket of
    ///   the kernel, `ChannelError` for one that is closed. One that is registered already is no error.
    public func register(_ channel: any Channel, as label: Label, replacing: Bool = false) async throws {
        try await register([channel], as: label, replacing: replacing)
    }

    /// Registers several channels' sockets, all of them or none.
    ///
    /// - Parameters:
    ///   - channels: Of the same family and protocol only when they are of one SO_REUSEPORT group.
    ///   - label: The label.
    ///   - replacing: Whether they take the place of what the label has.
    /// - Throws: As for one.
    public func register(_ channels: [any Channel], as label: Label, replacing: Bool = false) async throws {
        try await lending(channels) { try registerSockets($0, as: label, replacing: replacing) }
    }

    /// Registers the socket of an asynchronous channel: of a server whose inbound is its connections, or of datagrams.
    ///
    /// - Throws: As for its channel.
    public func register<Inbound: Sendable, Outbound: Sendable>(
        _ channel: NIOAsyncChannel<Inbound, Outbound>, as label: Label, replacing: Bool = false
    ) async throws {
        try await register([channel.channel], as: label, replacing: replacing)
    }

    /// Takes channels' sockets out of a label. They stay open: what waits in them is still theirs.
    ///
    /// - Throws: As `unregisterSockets`; `ChannelError` for a channel that is closed.
    public func unregister(_ channels: [any Channel], from label: Label) async throws {
        try await lending(channels) { try unregisterSockets($0, from: label) }
    }

    /// Off the event loops, and off the threads that tasks share: registering waits for other writers, or for steerd.
    private func lending(_ channels: [any Channel], _ body: @escaping @Sendable ([CInt]) throws -> Void) async throws {
        var sockets: [SharedDescriptor] = []
        for channel in channels { sockets.append(try await channel.duplicateSocket()) }
        try await NIOThreadPool.singleton.runIfActive { [sockets] in
            // Optimised code may let go of them, which closes them, as soon as their numbers are known.
            try withExtendedLifetime(sockets) { try body(sockets.map(\.rawValue)) }
        }
    }
}
