import Logging
import Steering

/// Counts refusals, and logs them, ten in a second: whoever is refused could fill the log otherwise.
struct RefusalLog {
    private let logger: Logger
    /// By code, since the start.
    private(set) var counts = Counts<String>()
    private var windowEnd = ContinuousClock.now
    private var count = 0

    private static let limit = 10

    init(_ logger: Logger) { self.logger = logger }

    mutating func add(_ error: SteeringError, _ peer: Peer, _ label: Label?) {
        counts.add(error.code.description)
        if windowEnd <= .now {
            let left = count - Self.limit
            if left > 0 { logger.warning("refused more", metadata: ["count": "\(left)"]) }
            windowEnd = .now + .seconds(1)
            count = 0
        }
        count += 1
        guard count <= Self.limit else { return }
        logger.warning(
            "refused",
            metadata: [
                "code": "\(error.code)", "user": "\(peer.user)", "process": "\(peer.pid)",
                "label": "\(label.map(\.name) ?? "-")", "message": "\(error.message)",
            ])
    }
}
