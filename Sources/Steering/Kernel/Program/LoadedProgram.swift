import CLibBPF
import CSteering
import Glibc
import Synchronization

/// A program of the object file, loaded, and the maps that it uses: descriptors only, so that nothing of libbpf
/// lives on.
struct LoadedProgram {
    /// A map of the object file.
    struct Map {
        let name: String
        /// The map to use, instead of a new one.
        var reused: SharedDescriptor?
        /// How many entries a new one has, where the object file leaves that open.
        var entries = 0
    }

    let program: SharedDescriptor
    /// As they were asked for.
    let maps: [SharedDescriptor]
    /// Whether the kernel tells the program on which interface a packet arrives.
    let hasIngressInterface: Bool

    /// One at a time: libbpf's printing, which loading silences, is the process's.
    private static let loading = Mutex(())

    /// - Parameters:
    ///   - name: The program's.
    ///   - maps: All that it uses, but for constants.
    ///   - observation: For programs that observe.
    ///   - size: Of the tables that it reads.
    ///   - object: Another build of the object file than the embedded one.
    ///   - known: Whether the kernel tells programs the ingress interface; nil: it is tried.
    /// - Throws: `missingCapability` (CAP_BPF, and CAP_NET_ADMIN for a new map of sockets; CAP_PERFMON before
    ///   Linux 5.17), `unsupportedKernel`, `programRejected`.
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

        // The object closes its own descriptors: keep duplicates.
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
    /// Of a program: the kernel's number for it.
    var programID: UInt32 {
        get throws(SteeringError) {
            var info = bpf_prog_info()
            var size = UInt32(MemoryLayout<bpf_prog_info>.size)
            try call("bpf_obj_get_info_by_fd") { lend { bpf_obj_get_info_by_fd($0, &info, &size) } }
            return info.id
        }
    }

    /// Of a map: the kernel's number for it.
    var mapID: UInt32 {
        get throws(SteeringError) {
            var info = bpf_map_info()
            var size = UInt32(MemoryLayout<bpf_map_info>.size)
            try call("bpf_obj_get_info_by_fd") { lend { bpf_obj_get_info_by_fd($0, &info, &size) } }
            return info.id
        }
    }

    /// Of a program: links it to a namespace's hook; the link ends with the descriptor.
    func attach(to namespace: borrowing NetworkNamespace) throws(SteeringError) -> SharedDescriptor {
        let link = uninterrupted { lend { bpf_link_create($0, namespace.descriptor.rawValue, BPF_SK_LOOKUP, nil) } }
        guard link >= 0 else { throw .notAttached(-link) }
        return SharedDescriptor(OwnedDescriptor(owning: link))
    }

    /// Of a program: makes an attached link run it instead of its former one, in one step.
    func replace(in link: SharedDescriptor) throws(SteeringError) {
        try call("BPF_LINK_UPDATE") { lend { program in link.lend { bpf_link_update($0, program, nil) } } }
    }

    /// Waits until every run of any program that began before has ended: a write to a map of maps does.
    static func waitForRuns(_ grace: CInt, _ token: CInt) throws(SteeringError) {
        var key: UInt32 = 0
        var value = token
        try call("bpf_map_update_elem(grace)") { bpf_map_update_elem(grace, &key, &value, UInt64(BPF_ANY)) }
    }
}

/// What a link says of itself.
struct LinkInfo {
    /// The namespace's inode number; 0 when it has ended, or the link was detached.
    let namespaceInode: UInt32
    /// The program that it runs.
    let programID: UInt32
    /// The kernel's number for the link itself.
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
