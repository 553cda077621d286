import Steering

/// What waits until another process has changed the steering: steerd does not wait for it, but tries again.
struct PostponedWork {
    enum Task: Hashable {
        /// Registers the held sockets of a label.
        case reinstate(Label)
        /// Rereads the policy file.
        case reload
    }

    private(set) var tasks: Set<Task> = []
    private var nextAttempt = ContinuousClock.now
    private var isTold = false

    /// The longest wait of one change, and the pause between attempts.
    static let patience = Duration.milliseconds(5)
    private static let pause = Duration.milliseconds(200)

    /// The time until the next attempt; nil if nothing is postponed.
    var nextTurn: Duration? { tasks.isEmpty ? nil : max(nextAttempt - .now, .zero) }

    /// Postpones a task; returns whether to log that, once until all are done.
    mutating func add(_ task: Task) -> Bool {
        nextAttempt = .now + Self.pause
        tasks.insert(task)
        defer { isTold = true }
        return !isTold
    }

    /// Returns whether all tasks that were postponed are done, once.
    mutating func isDone() -> Bool {
        guard tasks.isEmpty, isTold else { return false }
        isTold = false
        return true
    }

    /// Removes and returns the next task if it is time for an attempt.
    mutating func next() -> Task? { nextAttempt <= .now ? tasks.popFirst() : nil }
}
