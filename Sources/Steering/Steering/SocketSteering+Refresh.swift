/// Changes by other processes.
extension SocketSteering {
    /// Updates the state with changes by other processes.
    func refresh(_ state: inout State) throws(SteeringError) {
        switch state.holding {
        case .detached: throw .steeringDetached
        case .attached(let link, _):
            guard try LinkInfo(link).namespaceInode != 0 else { throw .namespaceGone }
        case .loaded(let pins, let pinned, _, _): try refresh(&state, pinned, pins, toWrite: true)
        case .read(let pins, let pinned): try refresh(&state, pinned, pins, toWrite: false)
        }
    }

    private func refresh(
        _ state: inout State, _ pinned: PinnedState, _ pins: Pins, toWrite: Bool
    ) throws(SteeringError) {
        if try pinned.isCurrent {
            do throws(SteeringError) { return try state.readBindings(of: pinned) } catch {
                // Not an error if an upgrade came in between.
                guard try !pinned.isCurrent else { throw error }
            }
        }
        state = try State.opened(pins, toWrite: toWrite)
    }

    /// Removes bindings left by a writer that failed or was killed; the lock must be held.
    func dropLeftovers(_ state: inout State) throws(SteeringError) {
        guard let pinned = state.pinned, try pinned.hasLeftovers(beside: state.generation) else { return }
        // That writer may not have waited for running programs, and the half that it gave up is written next.
        try state.plane.waitForRuns()
        try pinned.dropBindings(except: state.generation)
    }
}

extension SocketSteering.State {
    /// Opens the pinned state that is in force, and reads its bindings.
    ///
    /// The lock is not held: an upgrade may replace the directory between any two steps, in which case everything is
    /// read again.
    static func opened(_ pins: Pins, toWrite: Bool) throws(SteeringError) -> SocketSteering.State {
        while true {
            let identity = try Pins.identity(of: pins.directory)
            do throws(SteeringError) {
                let pinned = try inForce(pins, toWrite: toWrite)
                var state = SocketSteering.State(
                    plane: pinned.plane, holding: try holding(pinned, pins, toWrite: toWrite),
                    namespace: NamespaceIdentity(inode: pins.inode, cookie: nil), generation: .max)
                try state.readBindings(of: pinned)
                return state
            } catch {
                guard try Pins.identity(of: pins.directory) != identity else { throw error }
            }
        }
    }

    /// Opens the directory with the program that the link runs.
    private static func inForce(_ pins: Pins, toWrite: Bool) throws(SteeringError) -> PinnedState {
        guard try pins.condition() == .loaded else { throw .notLoaded(pins) }
        let pinned = try PinnedState(pins.directory, toWrite: toWrite)
        if try pinned.isInForce { return pinned }
        // An upgrade was interrupted after updating the link, before moving the draft.
        let draft = try PinnedState(pins.draft, toWrite: toWrite)
        guard try draft.isInForce else { throw .damaged("\(pins.directory) belongs to another program") }
        return draft
    }

    private static func holding(
        _ pinned: PinnedState, _ pins: Pins, toWrite: Bool
    ) throws(SteeringError) -> SocketSteering.Holding {
        guard toWrite, let link = pinned.link else { return .read(pins, pinned) }
        return .loaded(pins, pinned, link, try PolicyMemory(pinned.plane))
    }

    /// Reads the bindings unless they are those of the generation in force.
    fileprivate mutating func readBindings(of pinned: PinnedState) throws(SteeringError) {
        var missing: UInt64?
        while true {
            let current = try pinned.generation(memory)
            if current == generation { return }
            guard let stored = try pinned.bindings(current) else {
                // Once is no error: a writer has replaced this generation meanwhile.
                guard missing != current else { throw .damaged("\(pinned.directory) lacks the bindings in force") }
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
