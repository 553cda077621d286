/// A socket of a worker group, closed when this object is released.
public final class WorkerSocket: Sendable {
    /// The socket.
    public let socket: OwnedDescriptor
    /// The number of the worker that reads it or accepts from it.
    public let worker: Int
    /// Whether it is registered.
    ///
    /// If there are anchors, the workers' own sockets are not: see ``LoadSpreading/byCPU``.
    public let isRegistered: Bool

    fileprivate init(_ socket: consuming OwnedDescriptor, _ member: GroupMember) {
        self.socket = socket
        worker = member.worker
        isRegistered = member.isRegistered
    }
}

/// Worker groups on plain sockets: one SO_REUSEPORT group, registered for one label.
///
///     let sockets = try steering.sockets.registerReceivers(4, as: "dns", on: SocketAddress("127.0.0.1:0"), spread: .byCPU)
///     for worker in 0..<4 { serve(sockets.filter { $0.worker == worker }) }     // one thread each
///
/// A worker may have two sockets, and must wait for both (`epoll`). Each family needs a group of its own.
extension SocketRegistry {
    /// Makes a TCP listener for each worker, and registers them.
    ///
    /// - Parameters:
    ///   - workers: The number of workers.
    ///   - label: The label.
    ///   - address: The address to which all of them are bound; port 0 for a free one.
    ///   - options: The options of the sockets; SO_REUSEPORT is always set.
    ///   - spread: How connections are distributed among them.
    ///   - replacing: Whether they replace the sockets that the label has.
    /// - Returns: The listeners, in the order of the workers.
    /// - Throws: `addressUnavailable`, `systemCall`; then as ``registerSockets(_:as:replacing:)``.
    public func registerListeners(
        _ workers: Int, as label: Label, on address: SocketAddress, _ options: SocketOptions = [],
        spread: LoadSpreading = .evenly, replacing: Bool = false
    ) throws(SteeringError) -> [WorkerSocket] {
        try registerGroup(spread.members(.tcp, workers: workers), label, address, replacing) {
            address throws(SteeringError) in try .listener(on: address, options.union(.reusePort))
        }
    }

    /// Makes UDP sockets for workers, and registers those through which the kernel finds the group.
    ///
    /// - Parameters:
    ///   - workers: The number of workers.
    ///   - label: The label.
    ///   - address: The address to which all of them are bound; port 0 for a free one.
    ///   - options: The options of the sockets; SO_REUSEPORT is always set.
    ///   - spread: How datagrams are distributed among them.
    ///   - replacing: Whether they replace the sockets that the label has.
    /// - Returns: The workers' sockets in the order of the workers, then the anchors, if any. All must be read.
    /// - Throws: `addressUnavailable`, `systemCall`; then as ``registerSockets(_:as:replacing:)``.
    public func registerReceivers(
        _ workers: Int, as label: Label, on address: SocketAddress, _ options: SocketOptions = [],
        spread: LoadSpreading = .evenly, replacing: Bool = false
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
            // If the port is 0, the first socket determines it.
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
