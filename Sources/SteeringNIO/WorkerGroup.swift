public import AddressPools
import Glibc
public import NIOCore
public import NIOPosix
public import Steering

/// Worker groups: a socket of one SO_REUSEPORT group on each event loop, all registered as one label.
///
///     let listeners = try await steering.sockets.registerListeners(as: "web", over: group) { loop in
///         ServerBootstrap(group: loop).childChannelInitializer { channel in ... }
///     }
///
/// The kernel spreads connections, and datagrams by flow, evenly over the group, or by the processor on which they arrive
/// (`Spread`); a bootstrap that is given only its loop keeps connections there. When a member is closed the others stand
/// in, and nothing is silent. (steerd holds the registered sockets of members that are closed, and the kernel goes on
/// giving them their share: unregister before closing.)
///
/// What has to be registered is, when the call returns. To register all channels once more, as ``SteeringService`` does,
/// does no harm, but with `Spread.byCPU` datagrams then cost what they cost evenly.
///
/// Where the sockets are bound does not matter to what is steered to them, only their family does: so there is one of
/// each family on every loop. Where IPv6 is off, take `127.0.0.1:0` alone.
extension SocketRegistry {
    /// Listens on every event loop of a group, and registers the listeners.
    ///
    /// - Parameters:
    ///   - label: The label.
    ///   - group: A listener is bound for each of its event loops.
    ///   - addresses: Where they are bound: for each a listener on every loop, those of one address on one port.
    ///   - spread: Which of them gets a connection.
    ///   - replacing: Whether they take the place of what the label has.
    ///   - bootstrap: Makes the bootstrap for a loop, which should use it for listener and connections.
    /// - Returns: The listening channels, address by address, in the order of the group's loops.
    /// - Throws: What binding throws, then as `register`; what was bound is
    ///   closed then.
    public func registerListeners(
        as label: Label, over group: any EventLoopGroup, at addresses: [AddressPools.SocketAddress] = .loopback,
        spread: Spread = .evenly, replacing: Bool = false,
        _ bootstrap: @Sendable (any EventLoop) throws -> ServerBootstrap
    ) async throws -> [any Channel] {
        try await registerWorkers(.tcp, spread, as: label, over: group, at: addresses, replacing, channel: { $0 }) {
            loop, address, processor in
            try await bootstrap(loop).inGroup(processor).bind(to: address).get()
        }
    }

    /// The same, with asynchronous channels, whose inbound is the connections.
    ///
    /// - Parameters:
    ///   - label: The label.
    ///   - group: A listener is bound for each of its event loops.
    ///   - addresses: Where they are bound: for each a listener on every loop, those of one address on one port.
    ///   - spread: Which of them gets a connection.
    ///   - replacing: Whether they take the place of what the label has.
    ///   - bootstrap: Makes the bootstrap for a loop.
    ///   - childChannelInitializer: What a connection becomes.
    /// - Returns: The listening channels, address by address, in the order of the group's loops.
    /// - Throws: As with channels.
    public func registerListeners<Connection: Sendable>(
        as label: Label, over group: any EventLoopGroup, at addresses: [AddressPools.SocketAddress] = .loopback,
        spread: Spread = .evenly, replacing: Bool = false,
        _ bootstrap: @Sendable (any EventLoop) throws -> ServerBootstrap,
        childChannelInitializer: @escaping @Sendable (any Channel) -> EventLoopFuture<Connection>
    ) async throws -> [NIOAsyncChannel<Connection, Never>] {
        try await registerWorkers(.tcp, spread, as: label, over: group, at: addresses, replacing, channel: \.channel) {
            loop, address, processor in
            try await bootstrap(loop).inGroup(processor)
                .bind(to: address, childChannelInitializer: childChannelInitializer)
        }
    }

    /// Binds a datagram channel on every event loop of a group, and registers them.
    ///
    /// - Parameters:
    ///   - label: The label.
    ///   - group: A channel is bound for each of its event loops.
    ///   - addresses: Where they are bound: for each a listener on every loop, those of one address on one port.
    ///   - spread: Which of them gets a datagram.
    ///   - replacing: Whether they take the place of what the label has.
    ///   - bootstrap: Makes the bootstrap for a loop; see ``SteeredDatagramHandler`` for its pipeline.
    /// - Returns: The channels, address by address, in the order of the group's loops; with `byCPU` the two
    ///   that are registered in their stead follow. All of them are to be read.
    /// - Throws: As for listeners.
    public func registerReceivers(
        as label: Label, over group: any EventLoopGroup, at addresses: [AddressPools.SocketAddress] = .loopback,
        spread: Spread = .evenly, replacing: Bool = false,
        _ bootstrap: @Sendable (any EventLoop) throws -> DatagramBootstrap
    ) async throws -> [any Channel] {
        try await registerWorkers(.udp, spread, as: label, over: group, at: addresses, replacing, channel: { $0 }) {
            loop, address, processor in
            try await bootstrap(loop).inGroup(processor).bind(to: address).get()
        }
    }

    /// The same, with asynchronous channels: each datagram with its ends, and answers from where it was sent to.
    ///
    /// - Parameters:
    ///   - label: The label.
    ///   - group: A channel is bound for each of its event loops.
    ///   - addresses: Where they are bound: for each a listener on every loop, those of one address on one port.
    ///   - spread: Which of them gets a datagram.
    ///   - replacing: Whether they take the place of what the label has.
    /// - Returns: The channels, address by address, in the order of the group's loops; with `byCPU` the two
    ///   that are registered in their stead follow. All of them are to be read.
    /// - Throws: As for listeners.
    public func registerReceivers(
        as label: Label, over group: any EventLoopGroup, at addresses: [AddressPools.SocketAddress] = .loopback,
        spread: Spread = .evenly, replacing: Bool = false
    ) async throws -> [NIOAsyncChannel<SteeredDatagram, SteeredDatagram>] {
        try await registerWorkers(.udp, spread, as: label, over: group, at: addresses, replacing, channel: \.channel) {
            loop, address, processor in
            try await DatagramBootstrap(group: loop).inGroup(processor).bind(to: address) { channel in
                channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel(steeredDatagramsOf: channel) }
            }
        }
    }

    private func registerWorkers<Worker>(
        _ transport: TransportProtocol, _ spread: Spread, as label: Label, over group: any EventLoopGroup,
        at addresses: [AddressPools.SocketAddress], _ replacing: Bool, channel: (Worker) -> any Channel,
        bind: (any EventLoop, NIOCore.SocketAddress, _ processor: Int?) async throws -> Worker
    ) async throws -> [Worker] {
        let loops = Array(group.makeIterator())
        let members = spread.members(transport, workers: loops.count)
        var workers: [Worker] = []
        var registered: [any Channel] = []
        do {
            for address in addresses {
                // The first chooses the port, where it is to be chosen.
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
    /// Wraps a datagram channel, in its initializer: a ``SteeredDatagramHandler`` is its first handler.
    ///
    /// - Throws: What adding handlers throws.
    public init(steeredDatagramsOf channel: any Channel) throws {
        try channel.pipeline.syncOperations.addHandler(SteeredDatagramHandler())
        try self.init(wrappingChannelSynchronously: channel)
    }
}

extension [AddressPools.SocketAddress] {
    /// A free port of each family's loopback address. What is steered to a socket there comes from anywhere; nothing else
    /// does.
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
