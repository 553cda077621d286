@preconcurrency import Dispatch
import NIOCore
import Steering

/// Waits for readability on a Dispatch thread.
///
/// Use it only on the event loop.
final class DispatchReadability {
    private let source: any DispatchSourceRead
    private var isStarted = false
    /// Whether the source is active and not suspended.
    ///
    /// Dispatch counts suspensions and traps if they are unbalanced.
    private var isWaiting = false
    private var isCancelled = false

    /// Creates a suspended source.
    ///
    /// - Parameters:
    ///   - socket: The socket; kept open until ``cancel()``.
    ///   - loop: The event loop that runs the closure.
    ///   - body: The closure to run when the socket is readable.
    init(of socket: SharedDescriptor, on loop: any EventLoop, _ body: @escaping @Sendable () -> Void) {
        let source = DispatchSource.makeReadSource(fileDescriptor: socket.rawValue, queue: Self.queue)
        self.source = source
        let bound = NIOLoopBound(self, eventLoop: loop)
        source.setEventHandler { @Sendable in
            // Suspend here, not on the loop: otherwise the event would fire repeatedly until the loop runs.
            source.suspend()
            loop.execute { bound.value.isReadable(body) }
        }
        source.setCancelHandler { @Sendable in withExtendedLifetime(socket) {} }
    }

    private static let queue = DispatchQueue(label: "SteeringNIO.Readability")

    private func isReadable(_ body: () -> Void) {
        isWaiting = false
        // A canceled source must not stay suspended.
        if isCancelled { source.resume() } else { body() }
    }

    /// Runs the closure once, when the socket is readable.
    func wait() {
        guard !isWaiting, !isCancelled else { return }
        isWaiting = true
        resume()
    }

    /// Cancels any wait and releases the socket.
    func cancel() {
        guard !isCancelled else { return }
        isCancelled = true
        source.cancel()
        if !isWaiting { resume() }
    }

    private func resume() {
        if isStarted { source.resume() } else { source.activate() }
        isStarted = true
    }
}
