import ServiceSupport
import Steering

/// Tells the service manager what it should know and store, without waiting for it: what does not fit in the manager's
/// queue is sent later. Used by one thread.
///
/// What remains to be sent is bounded: of the notifications only the last are kept, and of each name in the store only
/// what is wanted now, so that storing a descriptor and forgetting it cancel out.
final class Notifier {
    private let manager: ServiceManager
    private var lines: [String] = []
    /// What is wanted of the store, by name, and the names in the order of the wishes; some occur more than once.
    private var wishes: [String: Wish] = [:]
    private var names: [String] = []
    /// Whether the manager's queue was full in this turn.
    private var isFull = false
    private let watchdog: Duration?
    private var nextSign = ContinuousClock.now

    private struct Wish {
        /// Whether to forget what is stored under the name, before storing the descriptor.
        var forgets = false
        var descriptor: SharedDescriptor?
    }

    /// The most notifications that wait, and messages in one turn.
    private static let longestQueue = 64
    private static let messagesPerTurn = 256

    /// Returns nil if no service manager has started this process.
    init?() {
        guard let manager = ServiceManager() else { return nil }
        self.manager = manager
        watchdog = ServiceManager.watchdogInterval()
    }

    /// The time until the next turn; nil if nothing is to be done.
    var nextTurn: Duration? { isEmpty && !isFull ? watchdog.map { $0 / 2 } : .milliseconds(20) }

    /// Whether everything is sent.
    var isEmpty: Bool { lines.isEmpty && wishes.isEmpty }

    /// Sends lines such as `READY=1`.
    func notify(_ text: String) {
        if lines.count == Self.longestQueue { lines.removeFirst() }
        lines.append(text)
        send()
    }

    /// Stores a descriptor for the next steerd.
    func store(_ descriptor: SharedDescriptor, as name: StoredName) { store(descriptor, name.description) }

    /// Forgets a stored descriptor.
    func forget(_ name: StoredName) {
        // A socket is stored once; other names are used again, and may be in the store from before.
        if case .socket = name.kind, let wish = wishes[name.description], !wish.forgets {
            wishes[name.description] = nil
        } else {
            forget(name.description)
        }
    }

    /// Stores a descriptor in place of the one stored before.
    func replace(_ name: String, by descriptor: SharedDescriptor) {
        forget(name)
        store(descriptor, name)
    }

    private func store(_ descriptor: SharedDescriptor, _ name: String) {
        wishes[name, default: Wish()].descriptor = descriptor
        add(name)
    }

    private func forget(_ name: String) {
        wishes[name] = Wish(forgets: true)
        add(name)
    }

    private func add(_ name: String) {
        names.append(name)
        // Names whose wishes have canceled out remain until their turn comes.
        if names.count > 2 * wishes.count + Self.messagesPerTurn {
            var seen: Set<String> = []
            names.removeAll { wishes[$0] == nil || !seen.insert($0).inserted }
        }
        send()
    }

    /// Sends what had to wait, and a sign of life if the manager expects them.
    func turn() {
        isFull = false
        send()
        guard let watchdog, nextSign <= .now, !isFull else { return }
        isFull = !manager.send("WATCHDOG=1")
        if !isFull { nextSign = .now + watchdog / 8 }
    }

    private func send() {
        guard !isFull else { return }
        var left = Self.messagesPerTurn
        func tell(_ text: String, _ descriptor: SharedDescriptor? = nil) -> Bool {
            left -= 1
            isFull = !manager.send(text, descriptor.map { [$0.rawValue] } ?? [])
            return !isFull
        }
        while left > 0, let text = lines.first {
            guard tell(text) else { return }
            lines.removeFirst()
        }
        var done = 0
        defer { names.removeFirst(done) }
        while left > 0, done < names.count {
            let name = names[done]
            if let wish = wishes[name] {
                if wish.forgets {
                    guard tell("FDSTOREREMOVE=1\nFDNAME=\(name)") else { return }
                    wishes[name]!.forgets = false
                }
                // FDPOLL=0, since the service manager would otherwise drop a UDP socket with a pending error.
                if let descriptor = wish.descriptor {
                    guard tell("FDSTORE=1\nFDPOLL=0\nFDNAME=\(name)", descriptor) else { return }
                }
                wishes[name] = nil
            }
            done += 1
        }
    }
}
