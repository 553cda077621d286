import NIOCore
import Steering

#if !NIO
#error("SteeringNIO needs the trait NIO: write traits: [\"NIO\"] where the package depends on swift-steering")
#endif

extension Channel {
    /// Another descriptor of the channel's socket, so that it can be used off the event loop.
    func duplicateSocket() async throws -> SharedDescriptor {
        try await eventLoop.submit { try self.syncDuplicateSocket() }.get()
    }

    /// The same, on the event loop.
    ///
    /// The only place where NIO's socket is touched: NIO lends it under a name with a warning in it, since whoever
    /// closed it would break the channel. A duplicate is closed for itself.
    func syncDuplicateSocket() throws -> SharedDescriptor {
        let socket = try pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { lent in
            try SharedDescriptor(.duplicate(lent))
        }
        guard let socket else {
            throw SteeringError(
                .notASocket, "\(type(of: self)) has no socket of the kernel: use a channel of NIOPosix's bootstraps")
        }
        return socket
    }
}
