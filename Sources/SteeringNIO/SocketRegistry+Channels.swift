public import NIOCore
import NIOPosix
public import Steering

/// Registers NIO channels like plain sockets, with the steering of this process or with steerd.
///
///     let server = try await bootstrap.bind(host: "127.0.0.1", port: 0).get()
///     try await steering.sockets.register(server, as: "web")     // or: SteeringClient().register(server, as: "web")
///
/// Only the family of a channel matters, not the address to which it is bound: to serve both families, bind one channel
/// to `127.0.0.1` and one to `::1`. (The kernel makes every IPv6 socket that is bound to a specific address IPv6-only.
/// One bound to `::` receives both families, but is also reachable on its own port at every address of the host.)
extension SocketRegistry {
    /// Registers a channel's socket, so that the label's packets are steered to it.
    ///
    /// The channel is not changed. A `SockMap` drops the socket when the channel is closed; steerd holds it until it is
    /// unregistered. Registering a channel again has no effect.
    ///
    /// - Parameters:
    ///   - channel: A listening channel of `ServerBootstrap`, or a bound one of `DatagramBootstrap`.
    ///   - label: The label; it may have bindings already or get them later.
    ///   - replacing: Whether to replace the label's registered sockets of the same family and protocol.
    /// - Throws: As `registerSockets`; also `notASocket` for a channel without a kernel socket, and `ChannelError` for
    ///   a closed one.
    public func register(_ channel: any Channel, as label: Label, replacing: Bool = false) async throws {
        try await register([channel], as: label, replacing: replacing)
    }

    /// Registers the sockets of several channels, all or none.
    ///
    /// - Parameters:
    ///   - channels: The channels; those of the same family and protocol must belong to one SO_REUSEPORT group.
    ///   - label: The label.
    ///   - replacing: Whether to replace the label's registered sockets of the same families and protocols.
    /// - Throws: As for a single channel.
    public func register(_ channels: [any Channel], as label: Label, replacing: Bool = false) async throws {
        try await lending(channels) { try registerSockets($0, as: label, replacing: replacing) }
    }

    /// Registers the socket of an asynchronous channel, for a listener or for datagrams.
    ///
    /// - Parameters:
    ///   - channel: The asynchronous channel of a listener or of a bound datagram socket.
    ///   - label: The label.
    ///   - replacing: Whether to replace the label's registered sockets of the same family and protocol.
    /// - Throws: As for a single channel.
    public func register<Inbound: Sendable, Outbound: Sendable>(
        _ channel: NIOAsyncChannel<Inbound, Outbound>, as label: Label, replacing: Bool = false
    ) async throws {
        try await register([channel.channel], as: label, replacing: replacing)
    }

    /// Unregisters the sockets of channels.
    ///
    /// They stay open, and connections or datagrams in their queues stay there.
    ///
    /// - Parameters:
    ///   - channels: The channels.
    ///   - label: The label for which they are registered.
    /// - Throws: As `unregisterSockets`; also `ChannelError` for a closed channel.
    public func unregister(_ channels: [any Channel], from label: Label) async throws {
        try await lending(channels) { try unregisterSockets($0, from: label) }
    }

    /// Calls `body` with duplicates of the channels' sockets on NIO's thread pool, since registering blocks while other
    /// writers or steerd are busy: neither an event loop nor the cooperative thread pool may wait for that.
    private func lending(_ channels: [any Channel], _ body: @escaping @Sendable ([CInt]) throws -> Void) async throws {
        var sockets: [SharedDescriptor] = []
        for channel in channels { sockets.append(try await channel.duplicateSocket()) }
        try await NIOThreadPool.singleton.runIfActive { [sockets] in
            // Otherwise, optimized code could release, and so close, the descriptors once their numbers have been read.
            try withExtendedLifetime(sockets) { try body(sockets.map(\.rawValue)) }
        }
    }
}
