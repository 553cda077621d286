import Glibc
import Synchronization

/// A file descriptor with a single owner, which closes it on deinitialization.
public struct OwnedDescriptor: ~Copyable, Sendable {
    /// The descriptor, borrowed: do not close it, and do not use it beyond the life of its owner.
    public let rawValue: CInt

    /// Takes ownership of an open descriptor.
    ///
    /// - Parameter descriptor: The descriptor, not negative.
    public init(owning descriptor: CInt) {
        precondition(descriptor >= 0, "not a descriptor")
        rawValue = descriptor
    }

    deinit { close(rawValue) }

    /// Gives up ownership without closing the descriptor.
    ///
    /// - Returns: The descriptor, which the caller must close.
    public consuming func release() -> CInt {
        let descriptor = rawValue
        discard self
        return descriptor
    }

    /// Duplicates the descriptor, close-on-exec.
    ///
    /// - Throws: `systemCall`.
    public func duplicate() throws(SteeringError) -> OwnedDescriptor {
        try OwnedDescriptor.duplicate(rawValue)
    }

    /// Sets O_NONBLOCK, which applies to all duplicates of the descriptor.
    package static func setNonblocking(_ descriptor: CInt) throws(SteeringError) {
        let flags = try systemCall("fcntl") { fcntl(descriptor, F_GETFL) }
        try systemCall("fcntl") { fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) }
    }

    package static func duplicate(_ descriptor: CInt) throws(SteeringError) -> OwnedDescriptor {
        OwnedDescriptor(owning: try systemCall("fcntl") { fcntl(descriptor, F_DUPFD_CLOEXEC, 3) })
    }
}

/// Closes descriptors for code that must not block: a TCP socket may linger while its peer does not read, and a file on
/// a FUSE file system is flushed.
package protocol DescriptorDisposal: AnyObject, Sendable {
    /// Takes ownership of a descriptor, and returns at once.
    func dispose(of descriptor: CInt)
}

/// A descriptor for use in collections; closed, or disposed of, with the last reference.
package final class SharedDescriptor: Sendable {
    /// The descriptor, borrowed. The optimizer may release an object after its last use, before the end of its scope:
    /// use ``lend(_:)`` where this could be the last reference.
    package let rawValue: CInt
    private let disposal: (any DescriptorDisposal)?
    private let isHeldElsewhere = Atomic(false)

    package init(_ owned: consuming OwnedDescriptor, disposal: (any DescriptorDisposal)? = nil) {
        rawValue = owned.release()
        self.disposal = disposal
    }

    deinit {
        if let disposal, !isHeldElsewhere.load(ordering: .relaxed) {
            disposal.dispose(of: rawValue)
        } else {
            close(rawValue)
        }
    }

    /// Declares that another process holds the same file open until this one reports that it has closed it. Closing it
    /// here then cannot block, so it needs no disposal.
    package func holdElsewhere() { isHeldElsewhere.store(true, ordering: .relaxed) }

    /// Keeps the descriptor open until the closure returns.
    package func lend<Result, Failure>(_ body: (CInt) throws(Failure) -> Result) throws(Failure) -> Result {
        try withExtendedLifetime(self) { () throws(Failure) in try body(rawValue) }
    }
}
