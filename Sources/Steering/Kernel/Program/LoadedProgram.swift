import CLibBPF
import CSteering
import Glibc
import Synchronization

/// A loaded program of the object file and the maps that it uses, as descriptors: no libbpf object outlives loading.
struct LoadedProgram {
    /// A map of the object file.
    struct Map {
        let name: String
        /// An existing map to use; nil to create one.
        var reused: SharedDescriptor?
        /// The number of entries of a new map; 0 for that in the object file.
        var entries = 0
    }

    let program: SharedDescriptor
    /// The maps, in the order of the request.
    let maps: [SharedDescriptor]
    /// Whether the kernel passes the ingress interface to the program.
    let hasIngressInterface: Bool

    /// Serializes loading, which silences libbpf's printing for the whole process.
    private static let loading = Mutex(())

    /// Loads a program.
    ///
    /// - Parameters:
    ///   - name: The name of the program.
    ///   - maps: All maps that it uses, except constants.
    ///   - observation: The filter of a program that observes.
    ///   - size: The size of the tables that it reads.
    ///   - object: Another build of the object file; nil for the embedded one.
    ///   - known: Whether the kernel passes the ingress interface to programs; nil to find out by loading.
    /// - Throws: `missingCapability` (CAP_BPF, and CAP_NET_ADMIN for a new map of sockets; CAP_PERFMON before Linux
    ///   5.17), `unsupportedKernel`, `programRejected`; `tablesTooLarge` for more than the smallest tables before Linux
    ///   6.0; `systemCall`.
    init(
        _ name: String, maps: [Map],
        _ observation: steering_observation = steering_observation(one_in: 1, mask: 0, value: 0),
        tables size: TableSize, object: [UInt8]? = nil, hasIngressInterface known: Bool? = nil
    ) throws(SteeringError) {
        let object =
            object ?? Array(UnsafeRawBufferPointer(start: csteering_object_bytes(), count: csteering_object_size()))
        let loaded: OpaquePointer
        var hasIngressInterface = known ?? true
        do throws(SteeringError) {
            loaded = try Self.load(object, name, maps, observation, size, hasIngressInterface: hasIngressInterface)
        } catch {
            // Before Linux 5.17 the context has no ingress interface.
            guard known == nil, error.verifierLog != nil,
                let older = try? Self.load(object, name, maps, observation, size, hasIngressInterface: false)
            else { throw error }
            loaded = older
            hasIngressInterface = false
        }
        self.hasIngressInterface = hasIngressInterface
        defer { bpf_object__close(loaded) }

        // The object closes its own descriptors, so keep duplicates.
        program = SharedDescriptor(
            try .duplicate(bpf_program__fd(bpf_object__find_program_by_name(loaded, name))))
        var descriptors: [SharedDescriptor] = []
        for map in maps {
            let descriptor = try call("map \(map.name)", bpf_object__find_map_fd_by_name(loaded, map.name))
            descriptors.append(SharedDescriptor(try .duplicate(descriptor)))
        }
        self.maps = descriptors
    }

    private static func load(
        _ object: [UInt8], _ name: String, _ maps: [Map], _ observation: steering_observation, _ size: TableSize,
        hasIngressInterface: Bool
    ) throws(SteeringError) -> OpaquePointer {
        var log = [UInt8](repeating: 0, count: 1 << 20)
        var loaded: OpaquePointer?
        let names = ([name] + maps.map(\.name)).map { strdup($0)! }
        defer { for name in names { free(name) } }
        let wanted = zip(names.dropFirst(), maps).map { name, map in
            csteering_map(name: name, reused: map.reused?.rawValue ?? -1, entries: UInt32(map.entries))
        }
        defer { withExtendedLifetime(maps) {} }
        let error = wanted.withUnsafeBufferPointer { wanted in
            var build = csteering_build(
                program: names[0], has_ingress_interface: hasIngressInterface, observation: observation,
                maps: wanted.baseAddress, map_count: wanted.count)
            return loading.withLock { _ in
                log.withUnsafeMutableBytes {
                    csteering_load(object, object.count, &build, $0.baseAddress!, $0.count, &loaded)
                }
            }
        }
        guard error == 0, let loaded else {
            throw .notLoaded(-error, size, log: String(decoding: log.prefix { $0 != 0 }, as: UTF8.self))
        }
        return loaded
    }
}

extension SharedDescriptor {
    /// The ID of a program.
    var programID: UInt32 {
        get throws(SteeringError) {
            var info = bpf_prog_info()
            var size = UInt32(MemoryLayout<bpf_prog_info>.size)
            try call("bpf_obj_get_info_by_fd") { lend { bpf_obj_get_info_by_fd($0, &info, &size) } }
            return info.id
        }
    }

    /// The ID of a map.
    var mapID: UInt32 {
        get throws(SteeringError) {
            var info = bpf_map_info()
            var size = UInt32(MemoryLayout<bpf_map_info>.size)
            try call("bpf_obj_get_info_by_fd") { lend { bpf_obj_get_info_by_fd($0, &info, &size) } }
            return info.id
        }
    }

    /// Attaches a program to a namespace. Closing the returned link detaches it.
    func attach(to namespace: borrowing NetworkNamespace) throws(SteeringError) -> SharedDescriptor {
        let link = uninterrupted { lend { bpf_link_create($0, namespace.descriptor.rawValue, BPF_SK_LOOKUP, nil) } }
        guard link >= 0 else { throw .notAttached(-link) }
        return SharedDescriptor(OwnedDescriptor(owning: link))
    }

    /// Makes an attached link run this program instead of its former one, in one step.
    func replace(in link: SharedDescriptor) throws(SteeringError) {
        try call("BPF_LINK_UPDATE") { lend { program in link.lend { bpf_link_update($0, program, nil) } } }
    }

    /// Waits for all runs of BPF programs in progress to end, as a write to a map of maps does.
    static func waitForRuns(_ grace: CInt, _ token: CInt) throws(SteeringError) {
        var key: UInt32 = 0
        var value = token
        try call("bpf_map_update_elem(grace)") { bpf_map_update_elem(grace, &key, &value, UInt64(BPF_ANY)) }
    }
}

/// The kernel's information about a link.
struct LinkInfo {
    /// The inode number of the namespace; 0 if it has ended or the link was detached.
    let namespaceInode: UInt32
    /// The ID of the program that it runs.
    let programID: UInt32
    /// The ID of the link.
    let linkID: UInt32

    init(_ link: SharedDescriptor) throws(SteeringError) {
        var info = bpf_link_info()
        var size = UInt32(MemoryLayout<bpf_link_info>.size)
        try call("bpf_obj_get_info_by_fd") { link.lend { bpf_obj_get_info_by_fd($0, &info, &size) } }
        namespaceInode = info.netns.netns_ino
        programID = info.prog_id
        linkID = info.id
    }
}
