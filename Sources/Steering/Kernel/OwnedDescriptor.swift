import Glibc

/// A file descriptor with one owner, closed when its owner is gone.
public struct OwnedDescriptor: ~Copyable, Sendable {
    /// The descriptor, lent: it must not be closed, nor used after its owner is gone.
    public let rawValue: CInt

    /// Takes ownership of an open descriptor.
    public init(owning descriptor: CInt) {
        precondition(descriptor >= 0, "not a descriptor")
        rawValue = descriptor
    }

    deinit { close(rawValue) }

    /// Gives the descriptor away, open.
    public consuming func release() -> CInt {
        let descriptor = rawValue
        discard self
        return descriptor
    }

    /// Another descriptor of the same file, close-on-exec.
    public func duplicate() throws(SteeringError) -> OwnedDescriptor {
        try OwnedDescriptor.duplicate(rawValue)
    }

    static func duplicate(_ descriptor: CInt) throws(SteeringError) -> OwnedDescriptor {
        OwnedDescriptor(owning: try systemCall("fcntl") { fcntl(descriptor, F_DUPFD_CLOEXEC, 3) })
    }
}
