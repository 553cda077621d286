import CLibBPF
import CSteering
import Glibc
import Synchronization

/// The program's maps, by what they hold.
enum MapName: String, CaseIterable {
    case policy, sockets, registrations, metrics, verdicts, token, grace

    /// As the object file names it: global data is named by its section.
    func inObject(_ size: TableSize) -> String { self == .policy ? ".bss.\(size.name)" : rawValue }

    /// What stays when the program is replaced; the others hold tables in the program's own layout.
    static let lasting: [MapName] = [.sockets, .registrations, .metrics, .verdicts]
}

/// A descriptor that collections can hold; closed with the last reference.
final class SharedDescriptor: Sendable {
    private let owned: OwnedDescriptor
    var rawValue: CInt { owned.rawValue }
    init(_ owned: consuming OwnedDescriptor) { self.owned = owned }
}

/// The loaded program and its maps: descriptors only, so that nothing of libbpf lives on.
struct DataPlane: Sendable {
    /// Nil for those who may only read.
    let program: SharedDescriptor?
    private let maps: [MapName: SharedDescriptor]
    /// Of a program that was loaded just now: whether the kernel tells it on which interface a packet arrives.
    let hasIngressInterface: Bool?

    /// One at a time: libbpf's printing, which loading silences, is the process's.
    private static let loading = Mutex(())

    init(program: SharedDescriptor?, maps: [MapName: SharedDescriptor]) {
        self.program = program
        self.maps = maps
        hasIngressInterface = nil
    }

    /// Loads the embedded program, or another build of it.
    ///
    /// - Parameters:
    ///   - size: Of the tables.
    ///   - reused: Maps that are not made anew.
    ///   - known: Whether the kernel tells programs the ingress interface; nil: it is tried.
    /// - Throws: `missingCapability` (CAP_BPF, and CAP_NET_ADMIN for a new map of sockets),
    ///   `unsupportedKernel`, `programRejected`; `tablesTooLarge` for more than the smallest before Linux 6.0.
    init(
        object: [UInt8]? = nil, size: TableSize = .smallest, reusing reused: [MapName: SharedDescriptor] = [:],
        hasIngressInterface known: Bool? = nil
    ) throws(SteeringError) {
        let object =
            object ?? Array(UnsafeRawBufferPointer(start: csteering_object_bytes(), count: csteering_object_size()))
        let loaded: OpaquePointer
        var hasIngressInterface = known ?? true
        do throws(SteeringError) {
            loaded = try Self.load(object, size, reusing: reused, hasIngressInterface: hasIngressInterface)
        } catch {
            // Before Linux 5.17 the context has no ingress interface.
            guard known == nil, error.code == .programRejected,
                let older = try? Self.load(object, size, reusing: reused, hasIngressInterface: false)
            else { throw error }
            loaded = older
            hasIngressInterface = false
        }
        self.hasIngressInterface = hasIngressInterface
        defer { bpf_object__close(loaded) }

        // The object closes its own descriptors: keep duplicates.
        program = SharedDescriptor(
            try .duplicate(bpf_program__fd(bpf_object__find_program_by_name(loaded, "steer_\(size.name)"))))
        var maps: [MapName: SharedDescriptor] = [:]
        for name in MapName.allCases {
            maps[name] = SharedDescriptor(
                try .duplicate(
                    try call("map \(name)", bpf_object__find_map_fd_by_name(loaded, name.inObject(size)))))
        }
        self.maps = maps
    }

    private static func load(
        _ object: [UInt8], _ size: TableSize, reusing reused: [MapName: SharedDescriptor], hasIngressInterface: Bool
    ) throws(SteeringError) -> OpaquePointer {
        var log = [UInt8](repeating: 0, count: 1 << 20)
        var loaded: OpaquePointer?
        let names = reused.keys.map { strdup($0.inObject(size)) }
        let texts = [strdup("steer"), strdup(size.name)]
        defer { for name in names + texts { free(name) } }
        let reuse = zip(names, reused.values).map { csteering_reuse(name: $0!, map: $1.rawValue) }
        let error = reuse.withUnsafeBufferPointer { reuse in
            var build = csteering_build(
                program: texts[0]!, tables: texts[1]!, has_ingress_interface: hasIngressInterface,
                reuse: reuse.baseAddress, reuse_count: reuse.count)
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

    /// A map's descriptor, lent.
    subscript(name: MapName) -> CInt { maps[name]!.rawValue }

    /// Some of the maps, shared.
    func sharing(_ names: [MapName]) -> [MapName: SharedDescriptor] { maps.filter { names.contains($0.key) } }

    /// Links the program to a namespace's hook; the link ends with the descriptor.
    func attach(to namespace: borrowing NetworkNamespace) throws(SteeringError) -> SharedDescriptor {
        let link = bpf_link_create(program!.rawValue, namespace.descriptor.rawValue, BPF_SK_LOOKUP, nil)
        guard link >= 0 else { throw .notAttached(-link) }
        return SharedDescriptor(OwnedDescriptor(owning: link))
    }

    /// Makes an attached link run this program instead of its former one, in one step.
    func replaceProgram(of link: SharedDescriptor) throws(SteeringError) {
        try call("BPF_LINK_UPDATE", bpf_link_update(link.rawValue, program!.rawValue, nil))
    }

    /// Ends a link at once: closing it would leave it to copies of its descriptor, such as that of a child
    /// between fork and exec.
    static func detach(_ link: SharedDescriptor) {
        // Fails when the namespace has ended: then it is detached already.
        _ = bpf_link_detach(link.rawValue)
    }

    /// Waits until every run of the program that began before has ended (a write to a map of maps does).
    func waitForRuns() throws(SteeringError) {
        var key: UInt32 = 0
        var value = self[.token]
        try call("bpf_map_update_elem(grace)", bpf_map_update_elem(self[.grace], &key, &value, UInt64(BPF_ANY)))
    }

    /// Runs the program once, without a packet, and says what it decided.
    func testRun(_ transport: TransportProtocol, from source: SocketAddress?, to destination: SocketAddress)
        throws(SteeringError) -> (verdict: UInt32, cookie: SocketCookie?)
    {
        var context = bpf_sk_lookup()
        context.family = UInt32(destination.address.family == .ipv4 ? AF_INET : AF_INET6)
        context.protocol = UInt32(transport == .tcp ? IPPROTO_TCP : IPPROTO_UDP)
        context.local_port = UInt32(destination.port)
        context.remote_port = (source?.port ?? 1).bigEndian
        let unspecified = destination.address.family == .ipv4 ? IPAddress(ipv4: 0) : IPAddress(ipv6: 0)
        func words(_ address: IPAddress) -> (UInt32, UInt32, UInt32, UInt32) {
            func word(_ shift: UInt128) -> UInt32 { UInt32(truncatingIfNeeded: address.bits >> shift).bigEndian }
            return (word(96), word(64), word(32), word(0))
        }
        if destination.address.family == .ipv4 {
            context.local_ip4 = words(destination.address).3
            context.remote_ip4 = words(source?.address ?? unspecified).3
        } else {
            context.local_ip6 = words(destination.address)
            context.remote_ip6 = words(source?.address ?? unspecified)
        }
        var verdict: UInt32 = 0
        try call("BPF_PROG_TEST_RUN", csteering_test_run(program!.rawValue, &context, &verdict))
        return (verdict, context.cookie == 0 ? nil : SocketCookie(context.cookie))
    }
}

/// What a link says of itself.
struct LinkInfo {
    /// The namespace's inode number; 0 when it has ended, or the link was detached.
    let namespaceInode: UInt32
    /// The program that it runs.
    let programID: UInt32

    init(_ link: SharedDescriptor) throws(SteeringError) {
        var info = bpf_link_info()
        var size = UInt32(MemoryLayout<bpf_link_info>.size)
        try call("bpf_obj_get_info_by_fd", bpf_obj_get_info_by_fd(link.rawValue, &info, &size))
        namespaceInode = info.netns.netns_ino
        programID = info.prog_id
    }
}

extension SharedDescriptor {
    /// Of a program: the kernel's number for it; 0 for anything else.
    var programID: UInt32 {
        var info = bpf_prog_info()
        var size = UInt32(MemoryLayout<bpf_prog_info>.size)
        return bpf_obj_get_info_by_fd(rawValue, &info, &size) == 0 ? info.id : 0
    }
}
