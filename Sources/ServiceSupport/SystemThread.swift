import Glibc
import Steering

/// A thread. Foundation's `Thread` does not report that it could not be created.
package enum SystemThread {
    private final class Work: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Runs a closure in a new thread.
    ///
    /// - Throws: `systemCall`, such as when there is no memory for its stack.
    package static func start(_ body: @escaping @Sendable () -> Void) throws(SteeringError) {
        let work = Unmanaged.passRetained(Work(body))
        var thread = pthread_t()
        let error = pthread_create(
            &thread, nil,
            { pointer in
                Unmanaged<Work>.fromOpaque(pointer!).takeRetainedValue().body()
                return nil
            }, work.toOpaque())
        guard error == 0 else {
            work.release()
            throw .failed("pthread_create", error)
        }
        pthread_detach(thread)
    }
}
