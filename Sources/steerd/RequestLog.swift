import Logging
import ServiceSupport
import Steering

/// Logs the requests of clients, and counts refusals by code.
struct RequestLog {
    private var done: LimitedLog
    private var refused: LimitedLog
    /// By error code, since the start.
    private(set) var refusals = Counts<String>()

    init(_ logger: Logger) {
        done = LimitedLog(logger, .info, rest: "handled more")
        refused = LimitedLog(logger, .warning, rest: "refused more")
    }

    mutating func add(_ what: Logger.Message, _ label: Label, _ sockets: [Holding], _ peer: Peer) {
        done.add(what) {
            [
                "label": "\(label)", "user": "\(peer.user)", "process": "\(peer.pid)",
                "sockets": "\(sockets.prefix(8).map(\.description).joined(separator: ", "))",
                "count": "\(sockets.count)",
            ]
        }
    }

    mutating func add(_ error: SteeringError, _ peer: Peer, _ label: Label?) {
        refusals.add(error.code.description)
        refused.add("refused") {
            [
                "code": "\(error.code)", "user": "\(peer.user)", "process": "\(peer.pid)",
                "label": "\(label.map(\.name) ?? "-")", "message": "\(error.message)",
            ]
        }
    }
}

/// Logs up to 10 lines a second, and then how many were left out: otherwise a client could fill the log.
struct LimitedLog {
    private let logger: Logger
    private let level: Logger.Level
    private let rest: Logger.Message
    private var windowEnd = ContinuousClock.now
    private var count = 0

    private static let limit = 10

    init(_ logger: Logger, _ level: Logger.Level, rest: Logger.Message) {
        self.logger = logger
        self.level = level
        self.rest = rest
    }

    mutating func add(_ message: Logger.Message, _ metadata: () -> Logger.Metadata) {
        if windowEnd <= .now {
            let left = count - Self.limit
            if left > 0 { logger.log(level: level, rest, metadata: ["count": "\(left)"]) }
            windowEnd = .now + .seconds(1)
            count = 0
        }
        count += 1
        if count <= Self.limit { logger.log(level: level, message, metadata: metadata()) }
    }
}
