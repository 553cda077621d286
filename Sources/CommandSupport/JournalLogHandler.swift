package import Logging

/// Logs to the journal: one line for each event, with its priority, and without anything that the journal adds.
package struct JournalLogHandler: LogHandler {
    package var logLevel = Logger.Level.info
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?

    package init() {}

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { $1 }
        let pairs = all.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        // A line break would begin another journal entry.
        Journal.print("\(event.message)\(pairs)".split(separator: "\n").joined(separator: " "), event.level.priority)
    }

    /// Makes all loggers of this process write to standard error, in the journal's format if it is connected to the
    /// journal.
    package static func bootstrap() {
        LoggingSystem.bootstrap { label in
            if Journal.isStandardError { return JournalLogHandler() }
            return StreamLogHandler.standardError(label: label)
        }
    }
}

extension Logger.Level {
    fileprivate var priority: Journal.Priority {
        switch self {
        case .trace, .debug: .debug
        case .info: .info
        case .notice: .notice
        case .warning: .warning
        case .error: .error
        case .critical: .critical
        }
    }
}
