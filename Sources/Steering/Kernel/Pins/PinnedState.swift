import CLibBPF
import CSteering
import Glibc

/// The opened pins of one directory.
struct PinnedState: Sendable {
    let directory: String
    let identity: UInt64
    let plane: DataPlane
    /// Nil for readers who lack permission to open it.
    let link: SharedDescriptor?

    /// Opens the pins in a directory and checks that they are the objects of a steering.
    ///
    /// - Throws: `olderLayout`, `newerLayout`, `damagedState`, `storageUnavailable`.
    init(_ directory: String, toWrite: Bool) throws(SteeringError) {
        try Pins.checkLayout(of: directory)
        guard let identity = try Pins.identity(of: directory) else { throw .damaged("\(directory) is missing") }
        self.directory = directory
        self.identity = identity
        let program = try Self.unlessForbidden(toWrite) { () throws(SteeringError) in
            guard let program = try Pins.openIfThere("\(directory)/program", toWrite: true) else {
                throw .mendable("\(directory)/program")
            }
            return program
        }
        link = try Self.unlessForbidden(toWrite) { () throws(SteeringError) in
            try Pins.open("\(directory)/link", toWrite: true)
        }
        if let link { _ = try LinkInfo(link) }
        plane = DataPlane(program: program, maps: try Self.maps(MapName.allCases, in: directory, toWrite: toWrite))
        for name in MapName.allCases where !plane.has(name) { throw .mendable("\(directory)/\(name)") }
    }

    /// Takes the objects that were just pinned in the draft directory, which will be published as `pins.directory`.
    init(_ pins: Pins, _ plane: DataPlane, _ link: SharedDescriptor) throws(SteeringError) {
        guard let identity = try Pins.identity(of: pins.draft) else { throw .damaged("\(pins.draft) is missing") }
        directory = pins.directory
        self.identity = identity
        self.plane = plane
        self.link = link
    }

    /// Opens some maps of a directory and checks their shapes. Maps that an upgrade can recreate may be missing.
    static func maps(
        _ names: [MapName], in directory: String, toWrite: Bool
    ) throws(SteeringError) -> [MapName: SharedDescriptor] {
        var maps: [MapName: SharedDescriptor] = [:]
        for name in names {
            let path = "\(directory)/\(name)"
            guard let map = try Pins.openIfThere(path, toWrite: toWrite) else {
                if name.isMendable { continue }
                throw .damaged("\(path) is missing")
            }
            guard try MapShape(map.rawValue).isExpected(name) else {
                throw .damaged("\(path) is not the map that belongs there")
            }
            maps[name] = map
        }
        return maps
    }

    /// Pins a data plane and its link in a directory.
    static func pin(
        _ plane: DataPlane, _ link: SharedDescriptor, in directory: String, for readers: Pins.Readers
    ) throws(SteeringError) {
        for (name, map) in plane.sharing(MapName.allCases) {
            try Pins.pin(map.rawValue, at: "\(directory)/\(name)", for: readers)
        }
        try Pins.pin(try plane.runnable.rawValue, at: "\(directory)/program", for: nil)
        try Pins.pin(link.rawValue, at: "\(directory)/link", for: nil)
    }

    /// Whether this is still the state in force: not unloaded, not upgraded, and its namespace still exists.
    var isCurrent: Bool {
        get throws(SteeringError) {
            guard try Pins.identity(of: directory) == identity else { return false }
            if let link, try LinkInfo(link).namespaceInode == 0 { return false }
            return try isInForce
        }
    }

    /// Whether the link runs the program that is pinned beside it; true without permission to check. An interrupted
    /// upgrade leaves the running program in the draft directory.
    var isInForce: Bool {
        get throws(SteeringError) {
            guard let link, let program = plane.program else { return true }
            return try LinkInfo(link).programID == program.programID
        }
    }

    // MARK: - Bindings

    /// Returns the generation in force.
    ///
    /// Readers cannot map the tables. If the bindings of only one generation are pinned, that one is in force; during a
    /// change there are two, and the generation is read from a copy of the tables.
    func generation(_ memory: PolicyMemory?) throws(SteeringError) -> UInt64 {
        if let memory { return memory.generation }
        let generations = try Pins.entries(of: directory).filter { $0.hasPrefix("bindings-") }
        if generations.count == 1, let only = UInt64(generations[0].dropFirst("bindings-".count), radix: 16) {
            return only
        }
        return try PolicyMemory.generation(plane)
    }

    /// Returns the bindings of a generation; nil if it has been replaced.
    func bindings(_ generation: UInt64) throws(SteeringError) -> StoredPolicy? {
        try Self.bindings(generation, in: directory)
    }

    static func bindings(_ generation: UInt64, in directory: String) throws(SteeringError) -> StoredPolicy? {
        let path = path(of: generation, in: directory)
        guard let map = try Pins.openIfThere(path, toWrite: false) else { return nil }
        let shape = try MapShape(map.rawValue)
        guard shape.valueSize == chunk, shape.entries <= maximumChunks else {
            throw .damaged("\(path) is not the map that belongs there")
        }
        var bytes = [UInt8](repeating: 0, count: shape.entries * chunk)
        for index in 0..<shape.entries {
            var key = UInt32(index)
            try call("bpf_map_lookup_elem(bindings)") {
                bytes.withUnsafeMutableBytes { buffer in
                    map.lend { bpf_map_lookup_elem($0, &key, buffer.baseAddress! + index * chunk) }
                }
            }
        }
        let stored = try StoredPolicy(decoding: bytes)
        guard stored.generation == generation else { throw .damaged("\(path) is of another generation") }
        return stored
    }

    /// Pins bindings beside those in force.
    func save(_ stored: StoredPolicy) throws(SteeringError) {
        try Self.save(stored, in: directory, for: try Pins.Readers(of: directory))
    }

    /// Pins bindings in a directory.
    static func save(_ stored: StoredPolicy, in directory: String, for readers: Pins.Readers) throws(SteeringError) {
        try save(stored.encoded(), generation: stored.generation, in: directory, for: readers)
    }

    static func save(
        _ encoded: [UInt8], generation: UInt64, in directory: String, for readers: Pins.Readers
    ) throws(SteeringError) {
        var bytes = encoded
        let chunks = (bytes.count + chunk - 1) / chunk
        bytes += repeatElement(0, count: chunks * chunk - bytes.count)
        let map = uninterrupted { csteering_create_chunks(UInt32(chunk), UInt32(chunks)) }
        if map == -EPERM { throw .cannotStore }
        let owned = OwnedDescriptor(owning: try call("BPF_MAP_CREATE", map))
        for index in 0..<chunks {
            var key = UInt32(index)
            try call("bpf_map_update_elem(bindings)") {
                bytes.withUnsafeBytes {
                    bpf_map_update_elem(owned.rawValue, &key, $0.baseAddress! + index * chunk, UInt64(BPF_ANY))
                }
            }
        }
        try Pins.pin(owned.rawValue, at: path(of: generation, in: directory), for: readers)
    }

    /// Whether bindings of other generations are pinned, which an interrupted change leaves behind.
    func hasLeftovers(beside generation: UInt64) throws(SteeringError) -> Bool {
        try !leftovers(beside: generation).isEmpty
    }

    /// Removes the bindings of other generations.
    func dropBindings(except generation: UInt64) throws(SteeringError) {
        for path in try leftovers(beside: generation) { try Pins.unlink(path) }
    }

    private func leftovers(beside generation: UInt64) throws(SteeringError) -> [String] {
        let current = Self.path(of: generation, in: directory)
        return try Pins.entries(of: directory).filter { $0.hasPrefix("bindings-") }.map { "\(directory)/\($0)" }
            .filter { $0 != current }
    }

    private static func path(of generation: UInt64, in directory: String) -> String {
        "\(directory)/bindings-\(String(generation, radix: 16))"
    }

    /// The size in bytes of the map values that hold the bindings: older kernels limit the size of one value.
    private static let chunk = 1 << 16
    private static let maximumChunks = 1 << 13

    private static func unlessForbidden(
        _ isNeeded: Bool, _ open: () throws(SteeringError) -> SharedDescriptor
    ) throws(SteeringError) -> SharedDescriptor? {
        do throws(SteeringError) { return try open() } catch {
            if !isNeeded, error.isForbidden { return nil }
            throw error
        }
    }
}

/// The parts of the former state that an upgrade reuses, of this layout or an older one.
struct FormerState {
    let link: SharedDescriptor
    /// The maps that survive an upgrade.
    let maps: [MapName: SharedDescriptor]
    let stored: StoredPolicy

    /// Opens the former state in a directory.
    ///
    /// - Throws: `newerLayout`, `damagedState`, `storageUnavailable`.
    init(_ directory: String) throws(SteeringError) {
        let found = try Pins.layout(of: directory)
        guard found <= Pins.layout else { throw .newerLayout(found, directory) }
        link = try Pins.open("\(directory)/link", toWrite: true)
        maps = try PinnedState.maps(MapName.lasting, in: directory, toWrite: true)
        // Tables of every layout begin with the generation.
        let policy = try Pins.open("\(directory)/\(MapName.policy)", toWrite: true)
        let generation = try PolicyMemory.generation(DataPlane(program: nil, maps: [.policy: policy]))
        guard let bindings = try PinnedState.bindings(generation, in: directory) else {
            throw .damaged("\(directory) lacks the bindings in force")
        }
        stored = bindings
    }
}

extension MapName {
    /// Whether an upgrade can recreate the map, losing at most counts.
    fileprivate var isMendable: Bool {
        switch self {
        case .grace, .token, .metrics, .verdicts: true
        case .policy, .sockets, .registrations: false
        }
    }
}

extension SteeringError {
    static let cannotStore = SteeringError(
        .missingCapability,
        "changing a loaded steering needs CAP_BPF to create the map that stores the bindings, and this process lacks it: run as root or grant it",
        cause: .systemCall("BPF_MAP_CREATE", errno: EPERM))
}
