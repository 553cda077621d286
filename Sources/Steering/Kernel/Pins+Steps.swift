import CSteering
import Glibc

extension Pins {
    /// Whether steering is loaded.
    enum Condition {
        case absent
        case loaded
        /// Its network namespace has ended, or its link was detached.
        case ended
    }

    func condition() throws(SteeringError) -> Condition {
        guard access(directory, F_OK) == 0 else {
            if errno == ENOENT { return .absent }
            throw .storage("opening", directory, errno)
        }
        let link: SharedDescriptor
        do throws(SteeringError) {
            link = try Pins.open("\(directory)/link", toWrite: true)
        } catch {
            // Those who may only read take it as it looks; so does whoever repairs it.
            return .loaded
        }
        return (try? LinkInfo(link).namespaceInode) == 0 ? .ended : .loaded
    }

    /// Whether nothing here can be of use: its namespace has ended, or a command was killed before there
    /// was anything.
    var isStale: Bool {
        get throws(SteeringError) {
            switch try condition() {
            case .loaded: false
            case .ended: true
            case .absent: access(draft, F_OK) == 0 || access(lock, F_OK) == 0
            }
        }
    }

    /// Removes everything, unless someone is about to use it.
    func removeIfStale() throws(SteeringError) {
        let lock = try PinLock(self)
        defer { lock.release() }
        guard try isStale else { return }
        try Pins.remove(directory)
        try Pins.remove(draft)
        lock.remove()
    }

    /// Makes the draft the state, in one step.
    func publishDraft() throws(SteeringError) {
        guard rename(draft, directory) == 0 else { throw .storage("renaming", draft, errno) }
    }

    /// Takes the state out of its place, in one step.
    func withdraw() throws(SteeringError) {
        guard rename(directory, draft) == 0 || errno == ENOENT else { throw .storage("renaming", directory, errno) }
    }

    /// Where the link runs the draft's program already: puts the draft in its place. Removes the other.
    func finishUpgrade() throws(SteeringError) {
        let link = try Pins.open("\(directory)/link", toWrite: true)
        if let next = try? Pins.open("\(draft)/program", toWrite: true), try LinkInfo(link).programID == next.programID
        {
            let result = csteering_exchange(draft, directory)
            guard result == 0 else { throw .storage("exchanging", directory, -result) }
        }
        try Pins.remove(draft)
    }
}
