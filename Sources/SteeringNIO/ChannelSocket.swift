import NIOCore
import Steering

#if !NIO
#error("SteeringNIO needs the trait NIO: write traits: [\"NIO\"] where the package depends on swift-steering")
#endif

extension Channel {
    /// Returns a duplicate of the channel's socket for use off the event loop.
    func duplicateSocket() async throws -> SharedDescriptor {
        try await eventLoop.submit { try self.syncDuplicateSocket() }.get()
    }

    /// Returns a duplicate of the channel's socket; call it on the event loop.
    ///
    /// This is the only place that lends the descriptor that NIO owns. Closing a lent descriptor would break
    /// the channel; a duplicate can be closed independently.
    func syncDuplicateSocket() throws -> SharedDescriptor {
        let socket = try pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { lent in
            try SharedDescriptor(.duplicate(lent))
        }
        guard let socket else {
            throw SteeringError(
                .notASocket, "\(type(of: self)) has no kernel socket: use a channel of NIOPosix's bootstraps")
        }
        return socket
    }
}
