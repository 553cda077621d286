import CLibBPF
import CSteering

/// The shape of a map, as the kernel reports it.
struct MapShape: Equatable {
    let type: UInt32
    let keySize: Int
    let valueSize: Int
    let entries: Int

    private init(_ type: bpf_map_type, _ keySize: Int, _ valueSize: Int, _ entries: Int) {
        (self.type, self.keySize, self.valueSize, self.entries) = (type.rawValue, keySize, valueSize, entries)
    }

    init(_ descriptor: CInt) throws(SteeringError) {
        var info = bpf_map_info()
        var size = UInt32(MemoryLayout<bpf_map_info>.size)
        try call("bpf_obj_get_info_by_fd") { bpf_obj_get_info_by_fd(descriptor, &info, &size) }
        type = info.type
        keySize = Int(info.key_size)
        valueSize = Int(info.value_size)
        entries = Int(info.max_entries)
    }

    /// The size of one half of the tables; nil for other maps.
    fileprivate var tableSize: TableSize? {
        TableSize.allCases.first { self == MapShape(BPF_MAP_TYPE_ARRAY, 4, 2 * $0.bytes, 1) }
    }

    /// Whether this is the shape of a map in steering.bpf.c.
    func isExpected(_ name: MapName) -> Bool {
        name == .policy ? tableSize != nil : self == .expected(name)
    }

    private static func expected(_ name: MapName) -> MapShape {
        let slots = Int(STEERING_MAX_DESTINATIONS * STEERING_SLOTS)
        switch name {
        case .policy: return MapShape(BPF_MAP_TYPE_ARRAY, 4, 2 * TableSize.smallest.bytes, 1)
        case .sockets: return MapShape(BPF_MAP_TYPE_SOCKMAP, 4, 8, slots)
        case .registrations:
            return MapShape(
                BPF_MAP_TYPE_HASH, MemoryLayout<steering_registration_key>.size,
                MemoryLayout<steering_registration>.size, slots)
        case .metrics:
            return MapShape(
                BPF_MAP_TYPE_PERCPU_ARRAY, 4, MemoryLayout<steering_metrics>.size, Int(STEERING_MAX_DESTINATIONS))
        case .verdicts: return MapShape(BPF_MAP_TYPE_PERCPU_ARRAY, 4, MemoryLayout<steering_verdicts>.size, 1)
        case .token: return MapShape(BPF_MAP_TYPE_ARRAY, 4, 4, 1)
        case .grace: return MapShape(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 1)
        }
    }
}

extension TableSize {
    /// Reads the size of one half of the tables in a map.
    ///
    /// - Throws: `damagedState` if the map holds no tables; `systemCall`.
    init(ofTablesIn map: CInt) throws(SteeringError) {
        guard let size = try MapShape(map).tableSize else { throw .noTables }
        self = size
    }
}

extension SteeringError {
    static let noTables = SteeringError.damaged("the map of tables has the wrong shape")
}
