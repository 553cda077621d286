import CSteering

/// Steering that outlives its process: everything is pinned in the BPF file system, and no process of ours
/// need run for traffic to flow.
///
/// Several processes may open one steering. Their changes take turns: whoever changes it has the latest
/// state before it, and may be killed at any moment without harm. Reading waits for no one.
///
/// ## Kernel
/// Linux 5.9, upgrades 5.16. Loading and changing need CAP_BPF, CAP_NET_ADMIN and write access to the BPF
/// file system, which is root's by default. Reading needs no capability, only membership in the group that
/// ``load(into:bpffs:readers:)`` was given.
extension SocketSteering {
    /// Where the BPF file system usually is.
    public static let defaultBPFFS = "/sys/fs/bpf"

    /// What a steering is opened for.
    public enum Access: Sendable, Hashable {
        /// Reading: policy, sockets, counters. Everything else throws `storageUnavailable`.
        case reading
        /// Everything.
        case changing
    }

    /// Loads the program, attaches it to a network namespace and pins it there.
    ///
    /// Until a policy is applied nothing is steered. In the kernel: some 4 MiB.
    ///
    /// - Parameters:
    ///   - namespace: The namespace; it may be closed afterwards. The steering ends with it.
    ///   - bpffs: Where the BPF file system is mounted.
    ///   - group: A group whose members may read policy, sockets and counters; nil for none.
    /// - Throws: `alreadyLoaded`, `storageUnavailable`, `busy`, and as ``attach(to:)``.
    public static func load(
        into namespace: borrowing NetworkNamespace, bpffs: String = defaultBPFFS, readers group: UInt32? = nil
    ) throws(SteeringError) -> SocketSteering {
        try load(into: namespace, bpffs: bpffs, readers: group, hasIngressInterface: nil)
    }

    /// The same where it is known whether the kernel tells programs the ingress interface.
    static func load(
        into namespace: borrowing NetworkNamespace, bpffs: String, readers group: UInt32?, hasIngressInterface: Bool?
    ) throws(SteeringError) -> SocketSteering {
        let pins = Pins(bpffs: bpffs, inode: namespace.inode)
        try pins.checkFileSystem()
        if case .loaded = try pins.condition() { throw .alreadyLoaded(pins) }
        // Whoever may not load makes no directories either.
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
            return SocketSteering(opening: pins, InterfaceIndices(of: namespace), state)
        } catch {
            try? Pins.remove(pins.draft)
            lock.remove()
            throw error
        }
    }

    /// Builds the state in the draft, and publishes it: nothing can fail after that.
    private static func loaded(
        into namespace: borrowing NetworkNamespace, _ pins: Pins, _ identity: NamespaceIdentity,
        for readers: Pins.Readers, hasIngressInterface: Bool?
    ) throws(SteeringError) -> State {
        try pins.makeDraft(for: readers)
        let plane = try DataPlane(hasIngressInterface: hasIngressInterface)
        // What cannot be used must not be published.
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
                plane: plane, link: link, memory: memory, namespace: identity, generation: empty.generation,
                pinned: pinned)
        } catch {
            // Its pins may outlive this process.
            DataPlane.detach(link)
            throw error
        }
    }

    /// Opens the steering that is loaded in a network namespace.
    ///
    /// - Parameters:
    ///   - namespace: The namespace; it may be closed afterwards.
    ///   - bpffs: Where the BPF file system is mounted.
    ///   - access: What it is opened for.
    /// - Throws: `notLoaded`, also when the namespace has ended; `storageUnavailable` when it may not be
    ///   opened; `damagedState`, `olderLayout` (see ``upgrade(in:bpffs:)``), `newerLayout`.
    public static func open(
        _ namespace: borrowing NetworkNamespace, bpffs: String = defaultBPFFS, for access: Access = .changing
    ) throws(SteeringError) -> SocketSteering {
        let pins = Pins(bpffs: bpffs, inode: namespace.inode)
        try pins.checkFileSystem()
        let state = try State.opened(pins, toWrite: access == .changing)
        return SocketSteering(opening: pins, InterfaceIndices(of: namespace), state)
    }

    /// Detaches the program and removes everything that is pinned for a network namespace. Established
    /// connections go on; sockets stay open.
    ///
    /// Damaged state is removed too, that of an ended namespace, and what a killed command left.
    ///
    /// - Throws: `notLoaded`, `storageUnavailable`, `busy`.
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
        // Detached first: that is what counts, and what is left is known to be dead.
        let isDetached = try pins.detach()
        do throws(SteeringError) {
            try settled { () throws(SteeringError) in try pins.discard() }
        } catch {
            throw isDetached ? .unfinished("the steering is unloaded", error) : error
        }
        lock.remove()
        // Of an unload that was killed there was something to remove, but nothing was loaded.
        guard wasLoaded || isDetached else { throw .notLoaded(pins) }
    }

    /// Replaces the program by that of this version while traffic flows; policy, sockets and counters stay.
    ///
    /// One step: each packet meets the former program or this one. State that an older version pinned is
    /// read, and pinned anew as this version has it; what is missing and can be made anew is: `program`, `grace`,
    /// `token`, and with zeros `metrics` and `verdicts`. Tables get the size that the policy needs.
    ///
    /// - Throws: `notLoaded`, `newerLayout`, `damagedState`, `storageUnavailable`, `busy`;
    ///   `unsupportedKernel` before Linux 5.16; and as ``attach(to:)``.
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
        stored.interfaceIndices = try InterfaceIndices(of: namespace)(of: stored.policy.interfaces)
        let tables = try Tables(stored.policy, interfaceIndices: stored.interfaceIndices) { stored.numbers[$0]! }
        _ = try replaceProgram(of: pins, former.link, reusing: former.maps, stored, tables)
        try finishReplacement(pins)
    }

    /// A program in the place of another one.
    struct Replacement {
        let plane: DataPlane
        let memory: PolicyMemory
        let stored: StoredPolicy
        let pinned: PinnedState
    }

    /// Loads a program with tables in the draft, and makes the link run it: from then on the draft is what counts,
    /// also for whoever comes after a kill.
    ///
    /// - Parameters:
    ///   - maps: Those that stay.
    ///   - stored: What the tables were compiled from; its generation is the former one.
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
            // Takes the draft away; if this fails, too, the next writer does.
            try? pins.finish()
            throw error
        }
    }

    /// Puts the draft, which is in force, into its place.
    static func finishReplacement(_ pins: Pins) throws(SteeringError) {
        do throws(SteeringError) {
            try settled { () throws(SteeringError) in try pins.finish() }
        } catch {
            throw .unfinished("the new program is in force", error)
        }
    }

    /// The kernel's number for the attached program; nil where it may not be asked.
    var programID: UInt32? {
        state.withLock { state in state.link.flatMap { try? LinkInfo($0).programID } }
    }

    // MARK: - Keeping up with other processes

    /// Brings the state up to date with what other processes did.
    func refresh(_ state: inout State) throws(SteeringError) {
        guard let pins else {
            guard let link = state.link else { throw .steeringDetached }
            guard try LinkInfo(link).namespaceInode != 0 else { throw .namespaceGone }
            return
        }
        if try state.pinned!.isCurrent {
            do throws(SteeringError) { return try state.readBindings() } catch {
                // An upgrade came between?
                guard try !state.pinned!.isCurrent else { throw error }
            }
        }
        state = try State.opened(pins, toWrite: state.memory != nil)
    }

    /// Takes away bindings that a writer left behind that was killed, or failed. Under the lock.
    func dropLeftovers(_ state: inout State) throws(SteeringError) {
        guard try state.pinned!.hasLeftovers(beside: state.generation) else { return }
        // Whoever left them may not have waited, and the half it freed is written next.
        try state.plane.waitForRuns()
        try state.pinned!.dropBindings(except: state.generation)
    }
}

extension SocketSteering.State {
    /// Opens what is pinned and in force, with its bindings.
    ///
    /// Without the lock: an upgrade may come between any two steps, and put another directory in place.
    static func opened(_ pins: Pins, toWrite: Bool) throws(SteeringError) -> SocketSteering.State {
        while true {
            let identity = try Pins.identity(of: pins.directory)
            do throws(SteeringError) {
                var state = try SocketSteering.State(opening: pins, toWrite: toWrite)
                try state.readBindings()
                return state
            } catch {
                guard try Pins.identity(of: pins.directory) != identity else { throw error }
            }
        }
    }

    private init(opening pins: Pins, toWrite: Bool) throws(SteeringError) {
        guard try pins.condition() == .loaded else { throw .notLoaded(pins) }
        var pinned = try PinnedState(pins.directory, toWrite: toWrite)
        if try !pinned.isInForce {
            // An upgrade was cut short between its one step and its tidying.
            pinned = try PinnedState(pins.draft, toWrite: toWrite)
            guard try pinned.isInForce else { throw .damaged("\(pins.directory) belongs to another program") }
        }
        self.init(
            plane: pinned.plane, link: pinned.link, memory: toWrite ? try PolicyMemory(pinned.plane) : nil,
            namespace: NamespaceIdentity(inode: pins.inode, cookie: nil), generation: .max, pinned: pinned)
    }

    /// Reads the bindings, unless they are those in force.
    mutating func readBindings() throws(SteeringError) {
        var missing: UInt64?
        while true {
            let current = try pinned!.generation(memory)
            if current == generation { return }
            guard let stored = try pinned!.bindings(current) else {
                // Once: a writer was quicker, and this generation is not in force any more.
                guard missing != current else { throw .damaged("\(pinned!.directory) lacks the bindings in force") }
                missing = current
                continue
            }
            adopt(stored)
            namespace = NamespaceIdentity(
                inode: namespace.inode, cookie: stored.namespaceCookie == 0 ? nil : stored.namespaceCookie)
            return
        }
    }
}

extension Capabilities {
    /// Whether programs can be loaded and attached with them.
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
