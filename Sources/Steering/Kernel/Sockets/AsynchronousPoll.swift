import CSteering
import Glibc

/// Has the kernel count once, in a descriptor that others can wait for, when another one can be read: for event loops that
/// wait only for descriptors of their own, and without a thread between. Not to be shared between threads.
package final class AsynchronousPoll {
    private let poll: OpaquePointer
    /// The counter (eventfd), which has one more each time.
    private let counter: OwnedDescriptor

    /// Nil where the kernel does not allow it (a seccomp filter, `fs.aio-max-nr`).
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

    /// Another descriptor of the counter.
    package func duplicateCounter() throws(SteeringError) -> OwnedDescriptor { try counter.duplicate() }

    /// Counts once there is something to read; not to be called again before that.
    ///
    /// - Returns: Whether the kernel took it.
    package func waitOnce(for descriptor: CInt) -> Bool {
        csteering_poll_once(poll, descriptor, counter.rawValue) == 0
    }
}
