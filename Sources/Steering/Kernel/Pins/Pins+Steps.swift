import CLibBPF
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
        guard try Pins.identity(of: directory) != nil else { return .absent }
        let link: SharedDescriptor
        do throws(SteeringError) {
            link = try Pins.open("\(directory)/link", toWrite: true)
        } catch {
            // Those who may only read take it as it looks; so does whoever repairs it.
            guard error.code == .damagedState || error.isForbidden else { throw error }
            return .loaded
        }
        return try LinkInfo(link).namespaceInode == 0 ? .ended : .loaded
    }

    /// Whether there is anything here at all.
    var isThere: Bool {
        get throws(SteeringError) {
            for path in [directory, draft, lock] where try Pins.identity(of: path) != nil { return true }
            return false
        }
    }

    /// Whether nothing here can be of use: its namespace has ended, or a command was killed before there
    /// was anything.
    var isStale: Bool {
        get throws(SteeringError) {
            do throws(SteeringError) {
                if case .loaded = try condition() { return false }
                guard try isThere else { return false }
                return try !draftSteers
            } catch {
                // Those who may not look do not know.
                if error.isForbidden { return false }
                throw error
            }
        }
    }

    /// Whether the draft is what a policy was applied to, and still attached: a state that was taken from its place.
    private var draftSteers: Bool {
        get throws(SteeringError) {
            try unlessDamaged { () throws(SteeringError) in
                guard let link = try Pins.openIfThere("\(draft)/link", toWrite: true),
                    try LinkInfo(link).namespaceInode != 0,
                    let policy = try Pins.openIfThere("\(draft)/\(MapName.policy)", toWrite: true)
                else { return false }
                return try PolicyMemory.changes(DataPlane(program: nil, maps: [.policy: policy])) > 0
            }
        }
    }

    /// Whether the link runs the draft's program: an upgrade that was cut short after its one step.
    private var draftIsInForce: Bool {
        get throws(SteeringError) {
            try unlessDamaged { () throws(SteeringError) in
                guard let program = try Pins.openIfThere("\(draft)/program", toWrite: true) else { return false }
                // Both have the same link; one pin of it may be lost.
                var link = try Pins.openIfThere("\(directory)/link", toWrite: true)
                if link == nil { link = try Pins.openIfThere("\(draft)/link", toWrite: true) }
                guard let link else { return false }
                return try LinkInfo(link).programID == program.programID
            }
        }
    }

    private func unlessDamaged(_ look: () throws(SteeringError) -> Bool) throws(SteeringError) -> Bool {
        do throws(SteeringError) { return try look() } catch {
            if error.code == .damagedState { return false }
            throw error
        }
    }

    // MARK: - Steps, under the lock

    /// Finishes what a command began that was killed or failed, or takes it away: afterwards there is no draft.
    ///
    /// Where it cannot be told which of the two, nothing is changed.
    func finish() throws(SteeringError) {
        guard try Pins.identity(of: draft) != nil else { return }
        if try Pins.identity(of: directory) == nil {
            if try draftSteers { return try publishDraft() }
        } else if try draftIsInForce {
            try Pins.exchange(draft, directory)
        }
        try Pins.remove(draft)
    }

    /// Makes the draft the state, in one step.
    func publishDraft() throws(SteeringError) {
        do throws(SteeringError) { try systemCall("rename") { rename(draft, directory) } } catch {
            throw .storage("renaming", draft, error.errno)
        }
    }

    /// Takes a state that steers no more out of its place, in one step, and away.
    func discard() throws(SteeringError) {
        try Pins.remove(draft)
        do throws(SteeringError) { try systemCall("rename") { rename(directory, draft) } } catch {
            guard error.errno == ENOENT else { throw .storage("renaming", directory, error.errno) }
        }
        try Pins.remove(draft)
    }

    /// Looks whether the draft could take the state's place, before anything depends on it.
    ///
    /// - Throws: `unsupportedKernel` before Linux 5.16.
    func checkExchange() throws(SteeringError) {
        let one = "\(draft)/layout-\(Pins.layout)", other = "\(draft)/other"
        try Pins.makeDirectory(other, 0o755)
        do throws(SteeringError) { try Pins.exchange(one, other) } catch {
            throw error.errno == EINVAL ? .cannotExchange : error
        }
        try Pins.unlink(other)
    }

    private static func exchange(_ one: String, _ other: String) throws(SteeringError) {
        let result = uninterrupted { csteering_exchange(one, other) }
        guard result == 0 else { throw .storage("exchanging", other, -result) }
    }

    /// Detaches what is attached here: the step that counts of unloading. False where there is nothing.
    func detach() throws(SteeringError) -> Bool {
        // All are opened before the first is detached.
        var links: [SharedDescriptor] = []
        for path in ["\(directory)/link", "\(draft)/link"] {
            do throws(SteeringError) {
                if let link = try Pins.openIfThere(path, toWrite: true) { links.append(link) }
            } catch {
                guard error.code == .damagedState else { throw error }
            }
        }
        for link in links { try settled { () throws(SteeringError) in try Self.detach(link) } }
        return !links.isEmpty
    }

    private static func detach(_ link: SharedDescriptor) throws(SteeringError) {
        try call("BPF_LINK_DETACH") { link.lend { bpf_link_detach($0) } }
    }

    /// Removes everything, unless someone is about to use it.
    func removeIfStale() throws(SteeringError) {
        try checkFileSystem()
        let lock = try PinLock(self)
        defer { lock.release() }
        guard try isStale else { return }
        try discard()
        lock.remove()
    }
}

extension SteeringError {
    /// Whether only permission was lacking.
    var isForbidden: Bool { [EACCES, EPERM, EROFS].contains(errno) }

    static let cannotExchange = SteeringError(
        .unsupportedKernel,
        "this kernel cannot exchange directories in bpffs, which replacing the program takes: use Linux 5.16 or newer, or unload and load",
        cause: .systemCall("renameat2", errno: EINVAL))
}
