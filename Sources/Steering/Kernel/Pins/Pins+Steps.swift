import CLibBPF
import CSteering
import Glibc

extension Pins {
    /// The state of the pins.
    enum Condition {
        case absent
        case loaded
        /// The network namespace has ended, or the link was detached.
        case ended
    }

    func condition() throws(SteeringError) -> Condition {
        guard try Pins.identity(of: directory) != nil else { return .absent }
        let link: SharedDescriptor
        do throws(SteeringError) {
            link = try Pins.open("\(directory)/link", toWrite: true)
        } catch {
            // Readers cannot open the link and assume that it is attached. Damaged state counts as loaded, so that it
            // can be repaired.
            guard error.code == .damagedState || error.isForbidden else { throw error }
            return .loaded
        }
        return try LinkInfo(link).namespaceInode == 0 ? .ended : .loaded
    }

    /// Whether the state, the draft directory or the lock exists.
    var isThere: Bool {
        get throws(SteeringError) {
            for path in [directory, draft, lock] where try Pins.identity(of: path) != nil { return true }
            return false
        }
    }

    /// Whether the pins can be removed: the namespace has ended, or a command was killed before it loaded anything.
    var isStale: Bool {
        get throws(SteeringError) {
            do throws(SteeringError) {
                if case .loaded = try condition() { return false }
                guard try isThere else { return false }
                return try !draftSteers
            } catch {
                // Without permission to look, do not claim that the pins are stale.
                if error.isForbidden { return false }
                throw error
            }
        }
    }

    /// Whether the draft directory holds an attached state to which a policy was applied: one that was moved away
    /// from its place.
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

    /// Whether the link runs the program in the draft directory: an upgrade was interrupted after it had updated the
    /// link.
    private var draftIsInForce: Bool {
        get throws(SteeringError) {
            try unlessDamaged { () throws(SteeringError) in
                guard let program = try Pins.openIfThere("\(draft)/program", toWrite: true) else { return false }
                // Both directories pin the same link; one of the pins may be lost.
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

    /// Completes or rolls back the operation of a command that was killed or failed, so that no draft directory
    /// remains.
    ///
    /// Throws without changing anything if it cannot determine which of the two is right.
    func finish() throws(SteeringError) {
        guard try Pins.identity(of: draft) != nil else { return }
        if try Pins.identity(of: directory) == nil {
            if try draftSteers { return try publishDraft() }
        } else if try draftIsInForce {
            try Pins.exchange(draft, directory)
        }
        try Pins.remove(draft)
    }

    /// Publishes the draft directory as the state, in one step.
    func publishDraft() throws(SteeringError) {
        do throws(SteeringError) { try systemCall("rename") { rename(draft, directory) } } catch {
            throw .storage("renaming", draft, error.errno)
        }
    }

    /// Removes a state that no longer steers: moves it to the draft directory in one step, then deletes it.
    func discard() throws(SteeringError) {
        try Pins.remove(draft)
        do throws(SteeringError) { try systemCall("rename") { rename(directory, draft) } } catch {
            guard error.errno == ENOENT else { throw .storage("renaming", directory, error.errno) }
        }
        try Pins.remove(draft)
    }

    /// Checks that the kernel can exchange the draft directory with the state, before anything depends on it.
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

    /// Detaches all pinned links: the decisive step of unloading.
    ///
    /// - Returns: False if no link is pinned.
    func detach() throws(SteeringError) -> Bool {
        // Open all links before detaching the first one.
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

    /// Removes everything if it is still stale once the lock is held.
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
    /// Whether the call failed only for lack of permission.
    var isForbidden: Bool { [EACCES, EPERM, EROFS].contains(errno) }

    static let cannotExchange = SteeringError(
        .unsupportedKernel,
        "this kernel cannot exchange directories in bpffs, which replacing the program needs: use Linux 5.16 or newer, or unload and load",
        cause: .systemCall("renameat2", errno: EINVAL))
}
