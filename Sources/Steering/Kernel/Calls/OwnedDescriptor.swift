import Glibc
import Synchronization

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

/// Takes descriptors whose closing may wait for somebody else: a TCP socket lingers as long as its peer does not read,
/// and a file of a file system in user space is flushed there.
package protocol DescriptorDisposal: AnyObject, Sendable {
    /// Takes ownership of a descriptor, and returns at once.
    func dispose(of descriptor: CInt)
}

/// A descriptor that collections can hold; closed, or disposed of, with the last reference.
package final class SharedDescriptor: Sendable {
    /// Lent. Optimised code may let go of an object after its last use, and not only at the end of its scope: who
    /// uses this for a call, and may have the last reference, lends by ``lend(_:)``.
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

    /// Another process has the same file open, until it is told that it is closed here: closing it here does not wait.
    package func holdElsewhere() { isHeldElsewhere.store(true, ordering: .relaxed) }

    /// The descriptor, open until the closure returns.
    package func lend<Result, Failure>(_ body: (CInt) throws(Failure) -> Result) throws(Failure) -> Result {
        try withExtendedLifetime(self) { () throws(Failure) in try body(rawValue) }
    }
}
