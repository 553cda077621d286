@preconcurrency import Dispatch
import NIOCore
import Steering

/// Readability by a thread of Dispatch's. Everything here is called on the loop.
final class DispatchReadability {
    private let source: any DispatchSourceRead
    private var isStarted = false
    /// Started and not suspended. Dispatch counts suspensions, and traps on a wrong number of them.
    private var isWaiting = false
    private var isCancelled = false

    /// - Parameters:
    ///   - socket: Kept open until this is cancelled.
    ///   - loop: Where the closure is called.
    ///   - body: What to do once there is something.
    init(of socket: SharedDescriptor, on loop: any EventLoop, _ body: @escaping @Sendable () -> Void) {
        let source = DispatchSource.makeReadSource(fileDescriptor: socket.rawValue, queue: Self.queue)
        self.source = source
        let bound = NIOLoopBound(self, eventLoop: loop)
        source.setEventHandler { @Sendable in
            // Here and not on the loop: otherwise it would tell again and again until the loop has its turn.
            source.suspend()
            loop.execute { bound.value.isReadable(body) }
        }
        source.setCancelHandler { @Sendable in withExtendedLifetime(socket) {} }
    }

    private static let queue = DispatchQueue(label: "SteeringNIO.Readability")

    private func isReadable(_ body: () -> Void) {
        isWaiting = false
        // What is cancelled must not stay suspended.
        if isCancelled { source.resume() } else { body() }
    }

    /// Tells once, as soon as there is something.
    func wait() {
        guard !isWaiting, !isCancelled else { return }
        isWaiting = true
        resume()
    }

    /// Tells nothing any more, and lets go of the socket.
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
