extension SocketSteering {
    /// What a steering holds of its program.
    enum Holding {
        /// Attached by this process, which ends with its link.
        case attached(_ link: SharedDescriptor, PolicyMemory)
        case detached
        /// Loaded, and opened for changing.
        case loaded(Pins, PinnedState, _ link: SharedDescriptor, PolicyMemory)
        /// Loaded, and opened for reading.
        case read(Pins, PinnedState)
    }

    /// Where the BPF file system with a loaded steering is mounted; nil for one attached by this process.
    var bpffs: String? {
        state.withLock { state in
            switch state.holding {
            case .attached, .detached: nil
            case .loaded(let pins, _, _, _), .read(let pins, _): pins.bpffs
            }
        }
    }
}

extension SocketSteering.State {
    /// Whether the steering is pinned in the BPF file system, where other processes may change it.
    var isLoaded: Bool { pinned != nil }

    /// The directory that this state was read from; nil unless the steering is loaded.
    var pinned: PinnedState? {
        switch holding {
        case .attached, .detached: nil
        case .loaded(_, let pinned, _, _), .read(_, let pinned): pinned
        }
    }

    /// The tables in memory; nil for readers, who may not map them.
    var memory: PolicyMemory? {
        switch holding {
        case .attached(_, let memory), .loaded(_, _, _, let memory): memory
        case .detached, .read: nil
        }
    }

    /// The tables, to write the next policy to.
    ///
    /// - Throws: `detached`; `storageUnavailable` if opened for reading.
    var writableMemory: PolicyMemory {
        get throws(SteeringError) {
            switch holding {
            case .attached(_, let memory), .loaded(_, _, _, let memory): return memory
            case .detached: throw .steeringDetached
            case .read: throw .openedForReading
            }
        }
    }

    /// The program's attachment.
    ///
    /// - Throws: `detached`, also if a reader may not open the link.
    var link: SharedDescriptor {
        get throws(SteeringError) {
            switch holding {
            case .attached(let link, _), .loaded(_, _, let link, _): return link
            case .detached: throw .steeringDetached
            case .read(_, let pinned):
                guard let link = pinned.link else { throw .steeringDetached }
                return link
            }
        }
    }
}

extension SteeringError {
    static let steeringDetached = SteeringError(
        .detached, "the steering was detached and steers nothing any more: attach a new one")

    static let namespaceGone = SteeringError(
        .networkNamespaceGone,
        "the network namespace has ended, and the steering with it: attach to one that exists")

    static let openedForReading = SteeringError(
        .storageUnavailable, "the steering was opened for reading, and this would change it: open it for changing")
}
