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

    /// Sets O_NONBLOCK, for all who have the same file open.
    package static func setNonblocking(_ descriptor: CInt) throws(SteeringError) {
        let flags = try systemCall("fcntl") { fcntl(descriptor, F_GETFL) }
        try systemCall("fcntl") { fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) }
    }

    package static func duplicate(_ descriptor: CInt) throws(SteeringError) -> OwnedDescriptor {
        OwnedDescriptor(owning: try systemCall("fcntl") { fcntl(descriptor, F_DUPFD_CLOEXEC, 3) })
    }
}

/// A descriptor that collections can hold; closed with the last reference.
package final class SharedDescriptor: Sendable {
    private let owned: OwnedDescriptor
    /// Lent. Optimised code may let go of an object after its last use, and not only at the end of its scope: who
    /// uses this for a call, and may have the last reference, lends by ``lend(_:)``.
    package var rawValue: CInt { owned.rawValue }
    package init(_ owned: consuming OwnedDescriptor) { self.owned = owned }

    /// The descriptor, open until the closure returns.
    package func lend<Result, Failure>(_ body: (CInt) throws(Failure) -> Result) throws(Failure) -> Result {
        try withExtendedLifetime(self) { () throws(Failure) in try body(owned.rawValue) }
    }
}
