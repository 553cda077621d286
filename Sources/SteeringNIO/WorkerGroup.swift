public import AddressPools
import Glibc
public import NIOCore
public import NIOPosix
public import Steering

/// Worker groups: one socket of a SO_REUSEPORT group on each event loop, registered for the same label.
///
///     let listeners = try await steering.sockets.registerListeners(as: "web", over: group) { loop in
///         ServerBootstrap(group: loop).childChannelInitializer { channel in ... }
///     }
///
/// The kernel distributes connections and flows of datagrams over the group evenly, or by the processor on which
/// packets arrive (`LoadSpreading`). A bootstrap created with one event loop keeps its connections on it. When a member is
/// closed, the others take over. (steerd, however, holds the registered sockets of closed members, and the kernel keeps
/// assigning them their share: unregister before closing.)
///
/// All required sockets are registered when the call returns. Registering all channels again, as ``SteeringService``
/// does, is harmless, except that it forfeits the lower cost of UDP with `LoadSpreading.byCPU`.
///
/// Only the family of a socket matters, not the address to which it is bound, so by default there is one socket of each
/// family on every loop. If IPv6 is disabled, pass only `127.0.0.1:0`.
extension SocketRegistry {
    /// Binds a listener on every event loop of a group, and registers the listeners.
    ///
    /// - Parameters:
    ///   - label: The label.
    ///   - group: The event loops; each gets a listener for each address.
    ///   - addresses: The addresses to bind to. The listeners of one address share its port.
    ///   - spread: How the kernel distributes connections over the listeners.
    ///   - replacing: Whether to replace the label's registered sockets of the same families and protocols.
    ///   - bootstrap: Returns the bootstrap for a loop, which it should use for both listener and connections.
    /// - Returns: The listening channels, address by address, in the order of the group's loops.
    /// - Throws: The errors of binding and of `register`. All channels are closed then.
    public func registerListeners(
        as label: Label, over group: any EventLoopGroup, at addresses: [AddressPools.SocketAddress] = .loopback,
        spread: LoadSpreading = .evenly, replacing: Bool = false,
        _ bootstrap: @Sendable (any EventLoop) throws -> ServerBootstrap
    ) async throws -> [any Channel] {
        try await registerWorkers(.tcp, spread, as: label, over: group, at: addresses, replacing, channel: { $0 }) {
            loop, address, processor in
            try await bootstrap(loop).inGroup(processor).bind(to: address).get()
        }
    }

    /// Binds a listener on every event loop of a group, and registers the listeners, as asynchronous channels.
    ///
    /// - Parameters:
    ///   - label: The label.
    ///   - group: The event loops; each gets a listener for each address.
    ///   - addresses: The addresses to bind to. The listeners of one address share its port.
    ///   - spread: How the kernel distributes connections over the listeners.
    ///   - replacing: Whether to replace the label's registered sockets of the same families and protocols.
    ///   - bootstrap: Returns the bootstrap for a loop, which it should use for both listener and connections.
    ///   - childChannelInitializer: Converts the channel of a connection to the inbound type.
    /// - Returns: The listening channels, address by address, in the order of the group's loops; their inbound is the
    ///   connections.
    /// - Throws: The errors of binding and of `register`. All channels are closed then.
    public func registerListeners<Connection: Sendable>(
        as label: Label, over group: any EventLoopGroup, at addresses: [AddressPools.SocketAddress] = .loopback,
        spread: LoadSpreading = .evenly, replacing: Bool = false,
        _ bootstrap: @Sendable (any EventLoop) throws -> ServerBootstrap,
        childChannelInitializer: @escaping @Sendable (any Channel) -> EventLoopFuture<Connection>
    ) async throws -> [NIOAsyncChannel<Connection, Never>] {
        try await registerWorkers(.tcp, spread, as: label, over: group, at: addresses, replacing, channel: \.channel) {
            loop, address, processor in
            try await bootstrap(loop).inGroup(processor)
                .bind(to: address, childChannelInitializer: childChannelInitializer)
        }
    }

    /// Binds a datagram channel on every event loop of a group, and registers the channels.
    ///
    /// - Parameters:
    ///   - label: The label.
    ///   - group: The event loops; each gets a channel for each address.
    ///   - addresses: The addresses to bind to. The channels of one address share its port.
    ///   - spread: How the kernel distributes datagrams over the channels.
    ///   - replacing: Whether to replace the label's registered sockets of the same families and protocols.
    ///   - bootstrap: Returns the bootstrap for a loop; see ``SteeredDatagramHandler`` for its pipeline.
    /// - Returns: The channels, address by address, in the order of the group's loops. With `byCPU` and more than one
    ///   loop, those of each address are followed by two anchors, which are registered instead. All of them must be
    ///   read.
    /// - Throws: The errors of binding and of `register`. All channels are closed then.
    public func registerReceivers(
        as label: Label, over group: any EventLoopGroup, at addresses: [AddressPools.SocketAddress] = .loopback,
        spread: LoadSpreading = .evenly, replacing: Bool = false,
        _ bootstrap: @Sendable (any EventLoop) throws -> DatagramBootstrap
    ) async throws -> [any Channel] {
        try await registerWorkers(.udp, spread, as: label, over: group, at: addresses, replacing, channel: { $0 }) {
            loop, address, processor in
            try await bootstrap(loop).inGroup(processor).bind(to: address).get()
        }
    }

    /// Binds a datagram channel on every event loop of a group, and registers the channels, as asynchronous channels of
    /// ``SteeredDatagram``.
    ///
    /// - Parameters:
    ///   - label: The label.
    ///   - group: The event loops; each gets a channel for each address.
    ///   - addresses: The addresses to bind to. The channels of one address share its port.
    ///   - spread: How the kernel distributes datagrams over the channels.
    ///   - replacing: Whether to replace the label's registered sockets of the same families and protocols.
    /// - Returns: The channels, address by address, in the order of the group's loops. With `byCPU` and more than one
    ///   loop, those of each address are followed by two anchors, which are registered instead. All of them must be
    ///   read.
    /// - Throws: The errors of binding and of `register`. All channels are closed then.
    public func registerReceivers(
        as label: Label, over group: any EventLoopGroup, at addresses: [AddressPools.SocketAddress] = .loopback,
        spread: LoadSpreading = .evenly, replacing: Bool = false
    ) async throws -> [NIOAsyncChannel<SteeredDatagram, SteeredDatagram>] {
        try await registerWorkers(.udp, spread, as: label, over: group, at: addresses, replacing, channel: \.channel) {
            loop, address, processor in
            try await DatagramBootstrap(group: loop).inGroup(processor).bind(to: address) { channel in
                channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel(steeredDatagramsOf: channel) }
            }
        }
    }

    private func registerWorkers<Worker>(
        _ transport: TransportProtocol, _ spread: LoadSpreading, as label: Label, over group: any EventLoopGroup,
        at addresses: [AddressPools.SocketAddress], _ replacing: Bool, channel: (Worker) -> any Channel,
        bind: (any EventLoop, NIOCore.SocketAddress, _ processor: Int?) async throws -> Worker
    ) async throws -> [Worker] {
        let loops = Array(group.makeIterator())
        let members = spread.members(transport, workers: loops.count)
        var workers: [Worker] = []
        var registered: [any Channel] = []
        do {
            for address in addresses {
                // For port 0, the first socket gets a free port, which the others share.
                var shared = NIOCore.SocketAddress(address)
                for member in members {
                    let worker = try await bind(loops[member.worker], shared, member.processor)
                    workers.append(worker)
                    shared.port = channel(worker).localAddress?.port
                    if member.isRegistered { registered.append(channel(worker)) }
                }
            }
            try await register(registered, as: label, replacing: replacing)
        } catch {
            for worker in workers { try? await channel(worker).close() }
            throw error
        }
        return workers
    }
}

extension NIOAsyncChannel where Inbound == SteeredDatagram, Outbound == SteeredDatagram {
    /// Wraps a datagram channel, and adds a ``SteeredDatagramHandler`` to its pipeline.
    ///
    /// Call it in the channel initializer, before other handlers are added.
    ///
    /// - Parameter channel: The datagram channel.
    /// - Throws: The errors of adding handlers.
    public init(steeredDatagramsOf channel: any Channel) throws {
        try channel.pipeline.syncOperations.addHandler(SteeredDatagramHandler())
        try self.init(wrappingChannelSynchronously: channel)
    }
}

extension [AddressPools.SocketAddress] {
    /// The loopback address of each family with port 0, for a free port.
    ///
    /// A socket bound there receives steered packets from anywhere, and other packets only from this host.
    public static var loopback: [AddressPools.SocketAddress] {
        [IPAddress(ipv4: 0x7f00_0001), IPAddress(ipv6: 1)].map { AddressPools.SocketAddress($0, port: 0) }
    }
}

extension ServerBootstrap {
    fileprivate func inGroup(_ processor: Int?) -> ServerBootstrap {
        let member = serverChannelOption(.socketOption(.reusePort), value: 1)
        guard let processor else { return member }
        return member.serverChannelOption(.socketOption(.incomingProcessor), value: processor)
    }
}

extension DatagramBootstrap {
    fileprivate func inGroup(_ processor: Int?) -> DatagramBootstrap {
        let member = channelOption(.socketOption(.reusePort), value: 1)
        guard let processor else { return member }
        return member.channelOption(.socketOption(.incomingProcessor), value: processor)
    }
}

extension NIOBSDSocket.Option {
    fileprivate static let reusePort = NIOBSDSocket.Option(rawValue: SO_REUSEPORT)
    fileprivate static let incomingProcessor = NIOBSDSocket.Option(rawValue: SO_INCOMING_CPU)
}
