import CSteering

/// Steering that outlives its process: it is pinned in the BPF file system and needs no running process.
///
/// Several processes may open one steering. Only one changes it at a time: it reads the latest state first, and may be
/// killed at any moment without harm. Readers never wait.
///
/// ## Kernel
/// Linux 5.9, upgrades 5.16. Loading and changing need CAP_BPF, CAP_NET_ADMIN and write access to the BPF file system,
/// which only root has by default. Reading needs no capability, only membership in the group passed to
/// ``load(into:bpffs:readers:)``.
extension SocketSteering {
    /// The usual mount point of the BPF file system.
    public static let defaultBPFFS = "/sys/fs/bpf"

    /// The purpose for which a steering is opened.
    public enum Access: Sendable, Hashable {
        /// Reading policy, sockets and counters. Everything else throws `storageUnavailable`.
        case reading
        /// Reading and changing.
        case changing
    }

    /// Loads the program, attaches it to a network namespace and pins it for that namespace.
    ///
    /// Nothing is steered until a policy is applied. The tables take about 4 MiB of kernel memory.
    ///
    /// - Parameters:
    ///   - namespace: The network namespace; it may be closed afterwards. The steering ends with it.
    ///   - bpffs: The mount point of the BPF file system.
    ///   - group: The ID of a group whose members may read policy, sockets and counters; nil for none.
    /// - Returns: The steering, opened for changing.
    /// - Throws: `alreadyLoaded`, `storageUnavailable`, `busy`, and as ``attach(to:)``.
    public static func load(
        into namespace: borrowing NetworkNamespace, bpffs: String = defaultBPFFS, readers group: UInt32? = nil
    ) throws(SteeringError) -> SocketSteering {
        try load(into: namespace, bpffs: bpffs, readers: group, hasIngressInterface: nil)
    }

    /// As the public method; `hasIngressInterface` is whether the program may read the ingress interface, nil to try
    /// it.
    static func load(
        into namespace: borrowing NetworkNamespace, bpffs: String, readers group: UInt32?, hasIngressInterface: Bool?
    ) throws(SteeringError) -> SocketSteering {
        let pins = Pins(bpffs: bpffs, inode: namespace.inode)
        try pins.checkFileSystem()
        if case .loaded = try pins.condition() { throw .alreadyLoaded(pins) }
        // A process that may not load must not create directories either.
        if let own = Capabilities.effective(), !own.canLoad { throw .cannotLoad(own) }
        let identity = try NamespaceIdentity(namespace)
        try pins.prepare()
        let lock = try PinLock(pins)
        defer { lock.release() }
        try pins.finish()
        switch try pins.condition() {
        case .loaded: throw .alreadyLoaded(pins)
        case .ended: try pins.discard()
        case .absent: break
        }
        do throws(SteeringError) {
            let state = try loaded(
                into: namespace, pins, identity, for: Pins.Readers(group: group),
                hasIngressInterface: hasIngressInterface)
            return SocketSteering(InterfaceIndices(of: namespace), state)
        } catch {
            try? Pins.remove(pins.draft)
            lock.remove()
            throw error
        }
    }

    /// Builds the state in the draft directory and publishes it, after which nothing can fail.
    private static func loaded(
        into namespace: borrowing NetworkNamespace, _ pins: Pins, _ identity: NamespaceIdentity,
        for readers: Pins.Readers, hasIngressInterface: Bool?
    ) throws(SteeringError) -> State {
        try pins.makeDraft(for: readers)
        let plane = try DataPlane(hasIngressInterface: hasIngressInterface)
        // A state that cannot be used must not be published.
        let memory = try PolicyMemory(plane)
        let link = try plane.attach(to: namespace)
        do throws(SteeringError) {
            try PinnedState.pin(plane, link, in: pins.draft, for: readers)
            var empty = StoredPolicy(
                generation: 0, namespaceCookie: identity.cookie ?? 0, policy: Policy(), numbers: LabelNumbers())
            empty.generation = memory.generation
            try PinnedState.save(empty, in: pins.draft, for: readers)
            let pinned = try PinnedState(pins, plane, link)
            try pins.publishDraft()
            return State(
                plane: plane, holding: .loaded(pins, pinned, link, memory), namespace: identity,
                generation: empty.generation)
        } catch {
            // The link's pin may outlive this process.
            DataPlane.detach(link)
            throw error
        }
    }

    /// Opens the steering that is loaded in a network namespace.
    ///
    /// - Parameters:
    ///   - namespace: The network namespace; it may be closed afterwards.
    ///   - bpffs: The mount point of the BPF file system.
    ///   - access: The purpose.
    /// - Returns: The steering.
    /// - Throws: `notLoaded`, also if the namespace has ended; `storageUnavailable` if permissions are lacking or
    ///   `bpffs` is no BPF file system; `damagedState`; `olderLayout` (see ``upgrade(in:bpffs:)``); `newerLayout`.
    public static func open(
        _ namespace: borrowing NetworkNamespace, bpffs: String = defaultBPFFS, for access: Access = .changing
    ) throws(SteeringError) -> SocketSteering {
        let pins = Pins(bpffs: bpffs, inode: namespace.inode)
        try pins.checkFileSystem()
        let state = try State.opened(pins, toWrite: access == .changing)
        return SocketSteering(InterfaceIndices(of: namespace), state)
    }

    /// Detaches the program and removes everything that is pinned for a network namespace.
    ///
    /// Established connections continue, and sockets stay open. Also removes damaged state, the state of an ended
    /// namespace, and what a killed command left.
    ///
    /// - Parameters:
    ///   - namespace: The network namespace.
    ///   - bpffs: The mount point of the BPF file system.
    /// - Throws: `notLoaded`, `storageUnavailable`, `busy`. If only the removal of pins failed, the message says that
    ///   the steering is unloaded.
    public static func unload(
        from namespace: borrowing NetworkNamespace, bpffs: String = defaultBPFFS
    ) throws(SteeringError) {
        try unload(Pins(bpffs: bpffs, inode: namespace.inode))
    }

    private static func unload(_ pins: Pins) throws(SteeringError) {
        try pins.checkFileSystem()
        guard try pins.isThere else { throw .notLoaded(pins) }
        let lock = try PinLock(pins)
        let wasLoaded = try pins.condition() != .absent
        // Detaching is the step that takes effect: whatever is left afterwards is known to be dead.
        let isDetached = try pins.detach()
        do throws(SteeringError) {
            try settled { () throws(SteeringError) in try pins.discard() }
        } catch {
            throw isDetached ? .unfinished("the steering is unloaded", error) : error
        }
        lock.remove()
        // After an unload that was killed there were leftovers to remove, but nothing was loaded.
        guard wasLoaded || isDetached else { throw .notLoaded(pins) }
    }

    /// Replaces the program by this version's while traffic flows; policy, sockets and counters stay.
    ///
    /// The exchange is one step: each packet meets the former program or the new one. State pinned by an older version
    /// is read, and pinned again in the current layout. Missing pins are recreated where possible: `program`, `grace`
    /// and `token`, and `metrics` and `verdicts` with zeros. Interface names are looked up again; one that no
    /// interface has any more keeps its interface, if that was only renamed. The tables get the size that the policy
    /// needs.
    ///
    /// - Parameters:
    ///   - namespace: The network namespace.
    ///   - bpffs: The mount point of the BPF file system.
    /// - Throws: `notLoaded`, `newerLayout`, `damagedState`, `storageUnavailable`, `busy`; `unsupportedKernel` before
    ///   Linux 5.16; and as ``attach(to:)``.
    public static func upgrade(
        in namespace: borrowing NetworkNamespace, bpffs: String = defaultBPFFS
    ) throws(SteeringError) {
        let pins = Pins(bpffs: bpffs, inode: namespace.inode)
        try pins.checkFileSystem()
        guard try pins.isThere else { throw .notLoaded(pins) }
        let lock = try PinLock(pins)
        defer { lock.release() }
        try pins.finish()
        guard try pins.condition() == .loaded else { throw .notLoaded(pins) }

        let former = try FormerState(pins.directory)
        var stored = former.stored
        let names = stored.policy.interfaces
        stored.interfaceIndices = try InterfaceIndices(of: namespace)(
            of: names, keeping: stored.interfaceIndices, lookingUp: Set(names))
        let tables = try Tables(stored.policy, interfaceIndices: stored.interfaceIndices) { stored.numbers[$0]! }
        _ = try replaceProgram(of: pins, former.link, reusing: former.maps, stored, tables)
        try finishReplacement(pins)
    }

    /// A program that has replaced another one.
    struct Replacement {
        let plane: DataPlane
        let memory: PolicyMemory
        let stored: StoredPolicy
        let pinned: PinnedState
    }

    /// Loads a program with tables into the draft and makes the link run it.
    ///
    /// From then on the draft is the state in force, also for processes that find it after this one was killed. `maps`
    /// are reused, and `stored` is what the tables were compiled from, still with the former generation.
    static func replaceProgram(
        of pins: Pins, _ link: SharedDescriptor, reusing maps: [MapName: SharedDescriptor], _ stored: StoredPolicy,
        _ tables: Tables
    ) throws(SteeringError) -> Replacement {
        let readers = try Pins.Readers(of: pins.directory)
        do throws(SteeringError) {
            try pins.makeDraft(for: readers)
            // First: where the tables are too large for this kernel, another way to replace the program does not help.
            let plane = try DataPlane(size: tables.size, reusing: maps)
            try pins.checkExchange()
            let memory = try PolicyMemory(plane)
            memory.resume(after: stored.generation)
            var next = stored
            try memory.publish(tables, plane) { (generation: UInt64) throws(SteeringError) in
                next.generation = generation
                try PinnedState.save(next, in: pins.draft, for: readers)
            }
            try PinnedState.pin(plane, link, in: pins.draft, for: readers)
            let replacement = Replacement(
                plane: plane, memory: memory, stored: next, pinned: try PinnedState(pins, plane, link))
            try plane.replaceProgram(of: link)
            return replacement
        } catch {
            // Removes the draft. If this fails too, the next writer does it.
            try? pins.finish()
            throw error
        }
    }

    /// Moves the draft, which is in force, to its final place.
    static func finishReplacement(_ pins: Pins) throws(SteeringError) {
        do throws(SteeringError) {
            try settled { () throws(SteeringError) in try pins.finish() }
        } catch {
            throw .unfinished("the new program is in force", error)
        }
    }

    /// The program's ID in the kernel; nil if it may not be read.
    var programID: UInt32? {
        state.withLock { state in try? LinkInfo(state.link).programID }
    }
}

extension Capabilities {
    /// Whether these capabilities allow loading and attaching programs.
    fileprivate var canLoad: Bool { contains(.sysAdmin) || isSuperset(of: [.bpf, .netAdmin]) }
}

extension SteeringError {
    fileprivate static func cannotLoad(_ own: Capabilities) -> SteeringError {
        let missing = Capabilities([.bpf, .netAdmin]).subtracting(own)
        return SteeringError(
            .missingCapability,
            "loading needs CAP_BPF and CAP_NET_ADMIN, and this process lacks \(missing): run as root or grant it")
    }
}
