import CLibBPF
import CSteering
import Glibc

/// What is pinned in one directory, opened.
struct PinnedState: Sendable {
    let directory: String
    let identity: UInt64
    let plane: DataPlane
    /// Nil for those who may not open it.
    let link: SharedDescriptor?

    /// Opens a directory's objects and checks that they are what a steering pins.
    ///
    /// - Throws: `olderLayout`, `newerLayout`, `damagedState`, `storageUnavailable`.
    init(_ directory: String, toWrite: Bool) throws(SteeringError) {
        try Pins.checkLayout(of: directory)
        self.directory = directory
        identity = try Pins.identity(of: directory)
        let program = try Self.unlessForbidden(toWrite) { () throws(SteeringError) in
            try Pins.open("\(directory)/program", toWrite: true)
        }
        link = try Self.unlessForbidden(toWrite) { () throws(SteeringError) in
            try Pins.open("\(directory)/link", toWrite: true)
        }
        if let link { _ = try LinkInfo(link) }
        plane = DataPlane(program: program, maps: try Self.maps(MapName.allCases, in: directory, toWrite: toWrite))
    }

    /// Opens some maps of a directory and checks their shape.
    static func maps(
        _ names: [MapName], in directory: String, toWrite: Bool
    ) throws(SteeringError) -> [MapName: SharedDescriptor] {
        var maps: [MapName: SharedDescriptor] = [:]
        for name in names {
            let path = "\(directory)/\(name)"
            let map = try Pins.open(path, toWrite: toWrite)
            guard let shape = MapShape(map.rawValue), shape.isExpected(name) else {
                throw .damaged("\(path) is not the map that belongs there")
            }
            maps[name] = map
        }
        return maps
    }

    /// Pins a data plane and its link as a directory's content.
    static func pin(
        _ plane: DataPlane, _ link: SharedDescriptor, in directory: String, for readers: Pins.Readers
    ) throws(SteeringError) {
        for (name, map) in plane.sharing(MapName.allCases) {
            try Pins.pin(map.rawValue, at: "\(directory)/\(name)", for: readers)
        }
        try Pins.pin(plane.program!.rawValue, at: "\(directory)/program", for: nil)
        try Pins.pin(link.rawValue, at: "\(directory)/link", for: nil)
    }

    /// Whether this is still what counts: no one unloaded or upgraded it, and the namespace lives.
    var isCurrent: Bool {
        get throws(SteeringError) {
            guard (try? Pins.identity(of: directory)) == identity else { return false }
            if let link, try LinkInfo(link).namespaceInode == 0 { return false }
            return try isInForce
        }
    }

    /// Whether the link runs the program that is pinned beside it; true where it may not be asked. An
    /// upgrade that was cut short leaves the new one in the draft.
    var isInForce: Bool {
        get throws(SteeringError) {
            guard let link, let program = plane.program else { return true }
            return try LinkInfo(link).programID == program.programID
        }
    }

    // MARK: - Bindings

    /// The generation in force. Those who may only read cannot map the tables, and need not: where the bindings
    /// of one generation are pinned it is in force; while a change is under way there are two.
    func generation(_ memory: PolicyMemory?) throws(SteeringError) -> UInt64 {
        if let memory { return memory.generation }
        let generations = try Pins.entries(of: directory).filter { $0.hasPrefix("bindings-") }
        if generations.count == 1, let only = UInt64(generations[0].dropFirst("bindings-".count), radix: 16) {
            return only
        }
        return try PolicyMemory.generation(plane)
    }

    /// The bindings of a generation; nil when it is not there, because it has been replaced.
    func bindings(_ generation: UInt64) throws(SteeringError) -> StoredPolicy? {
        try Self.bindings(generation, in: directory)
    }

    static func bindings(_ generation: UInt64, in directory: String) throws(SteeringError) -> StoredPolicy? {
        let path = path(of: generation, in: directory)
        let opened = csteering_open_pin_to_read(path)
        if opened == -ENOENT { return nil }
        guard opened >= 0 else { throw .storage("opening", path, -opened) }
        let map = OwnedDescriptor(owning: opened)
        guard let shape = MapShape(map.rawValue), shape.valueSize == chunk, shape.entries <= maximumChunks else {
            throw .damaged("\(path) is not the map that belongs there")
        }
        var bytes = [UInt8](repeating: 0, count: shape.entries * chunk)
        for index in 0..<shape.entries {
            var key = UInt32(index)
            try call(
                "bpf_map_lookup_elem(bindings)",
                bytes.withUnsafeMutableBytes {
                    bpf_map_lookup_elem(map.rawValue, &key, $0.baseAddress! + index * chunk)
                })
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
        let map = csteering_create_chunks(UInt32(chunk), UInt32(chunks))
        if map == -EPERM { throw .cannotStore }
        let owned = OwnedDescriptor(owning: try call("BPF_MAP_CREATE", map))
        for index in 0..<chunks {
            var key = UInt32(index)
            try call(
                "bpf_map_update_elem(bindings)",
                bytes.withUnsafeBytes {
                    bpf_map_update_elem(owned.rawValue, &key, $0.baseAddress! + index * chunk, UInt64(BPF_ANY))
                })
        }
        try Pins.pin(owned.rawValue, at: path(of: generation, in: directory), for: readers)
    }

    /// Whether there are bindings of other generations: what a change that was cut short leaves.
    func hasLeftovers(beside generation: UInt64) throws(SteeringError) -> Bool {
        try !leftovers(beside: generation).isEmpty
    }

    /// Removes bindings of other generations.
    func dropBindings(except generation: UInt64) throws(SteeringError) {
        for path in try leftovers(beside: generation) { unlink(path) }
    }

    private func leftovers(beside generation: UInt64) throws(SteeringError) -> [String] {
        let current = Self.path(of: generation, in: directory)
        return try Pins.entries(of: directory).filter { $0.hasPrefix("bindings-") }.map { "\(directory)/\($0)" }
            .filter { $0 != current }
    }

    private static func path(of generation: UInt64, in directory: String) -> String {
        "\(directory)/bindings-\(String(generation, radix: 16))"
    }

    /// Bindings are kept in pieces of this many bytes: older kernels bound the size of one value.
    private static let chunk = 1 << 16
    private static let maximumChunks = 1 << 13

    private static func unlessForbidden(
        _ isNeeded: Bool, _ open: () throws(SteeringError) -> SharedDescriptor
    ) throws(SteeringError) -> SharedDescriptor? {
        do throws(SteeringError) { return try open() } catch {
            if !isNeeded, [EACCES, EPERM, EROFS].contains(error.errno) { return nil }
            throw error
        }
    }
}

/// What an upgrade takes from the state before it, of this layout or an older one.
struct FormerState {
    let link: SharedDescriptor
    /// Those that stay.
    let maps: [MapName: SharedDescriptor]
    let stored: StoredPolicy

    /// - Throws: `newerLayout`, `damagedState`, `storageUnavailable`.
    init(_ directory: String) throws(SteeringError) {
        let found = try Pins.layout(of: directory)
        guard found <= Pins.layout else { throw .newerLayout(found, directory) }
        link = try Pins.open("\(directory)/link", toWrite: true)
        maps = try PinnedState.maps(MapName.lasting, in: directory, toWrite: true)
        // Whatever their layout, tables begin with it.
        let policy = try Pins.open("\(directory)/\(MapName.policy)", toWrite: true)
        let generation = try PolicyMemory.generation(DataPlane(program: nil, maps: [.policy: policy]))
        guard let bindings = try PinnedState.bindings(generation, in: directory) else {
            throw .damaged("\(directory) lacks the bindings in force")
        }
        stored = bindings
    }
}

extension SteeringError {
    static let cannotStore = SteeringError(
        .missingCapability,
        "changing a loaded steering needs CAP_BPF, for the map that the bindings are pinned as, and this process lacks it: run as root or grant it",
        cause: .systemCall("BPF_MAP_CREATE", errno: EPERM))
}
