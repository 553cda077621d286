import CSteering
import Glibc

/// Increments an eventfd once when another descriptor becomes readable: for event loops that can wait only for their
/// own descriptors, and without a thread in between. Not safe to share between threads.
package final class AsynchronousPoll {
    private let poll: OpaquePointer
    /// The eventfd.
    private let counter: OwnedDescriptor

    /// Returns nil if the kernel does not allow it (a seccomp filter, `fs.aio-max-nr`).
    package init?() {
        guard let poll = csteering_poll_make() else { return nil }
        let made = eventfd(0, CInt(EFD_CLOEXEC) | CInt(EFD_NONBLOCK))
        guard made >= 0 else {
            csteering_poll_end(poll)
            return nil
        }
        self.poll = poll
        counter = OwnedDescriptor(owning: made)
    }

    deinit { csteering_poll_end(poll) }

    /// Returns a duplicate of the eventfd.
    package func duplicateCounter() throws(SteeringError) -> OwnedDescriptor { try counter.duplicate() }

    /// Increments the eventfd once when the descriptor is readable. Do not call it again before that.
    ///
    /// - Returns: Whether the kernel accepted the request.
    package func waitOnce(for descriptor: CInt) -> Bool {
        csteering_poll_once(poll, descriptor, counter.rawValue) == 0
    }
}
