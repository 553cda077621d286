/// A socket of a group of workers; closed when this object is gone.
public final class WorkerSocket: Sendable {
    /// The socket.
    public let socket: OwnedDescriptor
    /// The number of the worker that it belongs to, who reads it or accepts from it.
    public let worker: Int
    /// Whether it is registered: not so the workers' own where there are anchors, see ``Spread/byCPU``.
    public let isRegistered: Bool

    fileprivate init(_ socket: consuming OwnedDescriptor, _ member: GroupMember) {
        self.socket = socket
        worker = member.worker
        isRegistered = member.isRegistered
    }
}

/// Groups of workers on plain sockets: one SO_REUSEPORT group, behind one label.
///
///     let sockets = try steering.sockets.registerReceivers(4, as: "dns", on: SocketAddress("127.0.0.1:0"), spread: .byCPU)
///     for worker in 0..<4 { serve(sockets.filter { $0.worker == worker }) }     // a thread each
///
/// A worker may have two sockets, and waits for both of them (`epoll`). Each family has a group of its own.
extension SocketRegistry {
    /// Makes TCP listeners, one for each worker, and registers them.
    ///
    /// - Parameters:
    ///   - workers: How many there are.
    ///   - label: The label.
    ///   - address: Where they are bound, all of them; port 0 for a free one.
    ///   - options: How they are made; SO_REUSEPORT is set anyway.
    ///   - spread: Which of them gets a connection.
    ///   - replacing: Whether they take the place of what the label has.
    /// - Returns: The listeners, in the order of the workers.
    /// - Throws: `addressUnavailable`, `systemCall`; then as `registerSockets`.
    public func registerListeners(
        _ workers: Int, as label: Label, on address: SocketAddress, _ options: SocketOptions = [],
        spread: Spread = .evenly, replacing: Bool = false
    ) throws(SteeringError) -> [WorkerSocket] {
        try registerGroup(spread.members(.tcp, workers: workers), label, address, replacing) {
            address throws(SteeringError) in try .listener(on: address, options.union(.reusePort))
        }
    }

    /// Makes UDP sockets for workers, and registers what leads to them.
    ///
    /// - Parameters:
    ///   - workers: How many there are.
    ///   - label: The label.
    ///   - address: Where they are bound, all of them; port 0 for a free one.
    ///   - options: How they are made; SO_REUSEPORT is set anyway.
    ///   - spread: Which of them gets a datagram.
    ///   - replacing: Whether they take the place of what the label has.
    /// - Returns: The workers' sockets in their order, then those that are registered in their stead, if any. All of
    ///   them are to be read.
    /// - Throws: `addressUnavailable`, `systemCall`; then as `registerSockets`.
    public func registerReceivers(
        _ workers: Int, as label: Label, on address: SocketAddress, _ options: SocketOptions = [],
        spread: Spread = .evenly, replacing: Bool = false
    ) throws(SteeringError) -> [WorkerSocket] {
        try registerGroup(spread.members(.udp, workers: workers), label, address, replacing) {
            address throws(SteeringError) in try .receiver(on: address, options.union(.reusePort))
        }
    }

    private func registerGroup(
        _ members: [GroupMember], _ label: Label, _ address: SocketAddress, _ replacing: Bool,
        make: (SocketAddress) throws(SteeringError) -> OwnedDescriptor
    ) throws(SteeringError) -> [WorkerSocket] {
        var sockets: [WorkerSocket] = []
        for member in members {
            // The first chooses the port, where it is to be chosen.
            let port = try sockets.first?.socket.localAddress().port ?? address.port
            let socket = try make(SocketAddress(address.address, port: port))
            if let processor = member.processor { try socket.prefer(processor: processor) }
            sockets.append(WorkerSocket(socket, member))
        }
        let registered = sockets.filter(\.isRegistered)
        try registerSockets(registered.map { $0.socket.rawValue }, as: label, replacing: replacing)
        return sockets
    }
}
