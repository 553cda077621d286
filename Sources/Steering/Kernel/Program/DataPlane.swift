import CLibBPF
import CSteering
import Glibc

/// The maps of the program.
enum MapName: String, CaseIterable {
    case policy, sockets, registrations, metrics, verdicts, token, grace

    /// Returns the name in the object file, where global data has the name of its section.
    func inObject(_ size: TableSize) -> String { self == .policy ? ".bss.\(size.name)" : rawValue }

    /// The maps that survive a replacement of the program. The tables do not, since each program has its own layout;
    /// `token` and `grace` hold no state.
    static let lasting: [MapName] = [.sockets, .registrations, .metrics, .verdicts]
}

/// The loaded program and its maps, as descriptors: no libbpf object outlives loading.
struct DataPlane: Sendable {
    /// Nil for readers, who lack permission to open it.
    let program: SharedDescriptor?
    private let maps: [MapName: SharedDescriptor]
    /// Whether the kernel passes the ingress interface to the program; nil unless this value loaded the program.
    let hasIngressInterface: Bool?

    init(program: SharedDescriptor?, maps: [MapName: SharedDescriptor]) {
        self.program = program
        self.maps = maps
        hasIngressInterface = nil
    }

    /// Loads the embedded program, or another build of it.
    ///
    /// - Parameters:
    ///   - object: Another build of the object file; nil for the embedded one.
    ///   - size: The size of the tables.
    ///   - reused: Existing maps to use instead of new ones.
    ///   - known: Whether the kernel passes the ingress interface to programs; nil to find out by loading.
    /// - Throws: `missingCapability` (CAP_BPF, and CAP_NET_ADMIN for a new map of sockets), `unsupportedKernel`,
    ///   `programRejected`; `tablesTooLarge` for more than the smallest tables before Linux 6.0.
    init(
        object: [UInt8]? = nil, size: TableSize = .smallest, reusing reused: [MapName: SharedDescriptor] = [:],
        hasIngressInterface known: Bool? = nil
    ) throws(SteeringError) {
        let loaded = try LoadedProgram(
            "steer_\(size.name)",
            maps: MapName.allCases.map { LoadedProgram.Map(name: $0.inObject(size), reused: reused[$0]) },
            tables: size, object: object, hasIngressInterface: known)
        program = loaded.program
        maps = Dictionary(uniqueKeysWithValues: zip(MapName.allCases, loaded.maps))
        hasIngressInterface = loaded.hasIngressInterface
    }

    /// The program, for what readers may not do.
    var runnable: SharedDescriptor {
        get throws(SteeringError) {
            guard let program else { throw .openedForReading }
            return program
        }
    }

    /// The descriptor of a map, borrowed: keep the data plane alive while using it.
    subscript(name: MapName) -> CInt { maps[name]!.rawValue }

    /// Whether a map exists; a pin may be missing.
    func has(_ name: MapName) -> Bool { maps[name] != nil }

    /// Returns the maps of the given names that exist.
    func sharing(_ names: [MapName]) -> [MapName: SharedDescriptor] { maps.filter { names.contains($0.key) } }

    /// Attaches the program to a namespace. Closing the returned link detaches it.
    func attach(to namespace: borrowing NetworkNamespace) throws(SteeringError) -> SharedDescriptor {
        try runnable.attach(to: namespace)
    }

    /// Makes an attached link run this program instead of its former one, in one step.
    func replaceProgram(of link: SharedDescriptor) throws(SteeringError) { try runnable.replace(in: link) }

    /// Detaches a link. Closing it would not suffice while a duplicate is open, such as in a child between fork and
    /// exec.
    static func detach(_ link: SharedDescriptor) {
        // Fails if the namespace has ended, and with it the attachment.
        _ = link.lend { bpf_link_detach($0) }
    }

    /// Waits until every run of the program that is in progress has ended.
    func waitForRuns() throws(SteeringError) { try SharedDescriptor.waitForRuns(self[.grace], self[.token]) }

    /// Runs the program once, without a packet, and returns its verdict and the cookie of the selected socket.
    func testRun(_ transport: TransportProtocol, from source: SocketAddress?, to destination: SocketAddress)
        throws(SteeringError) -> (verdict: UInt32, cookie: SocketCookie?)
    {
        var context = bpf_sk_lookup()
        context.family = UInt32(destination.address.family == .ipv4 ? AF_INET : AF_INET6)
        context.protocol = UInt32(transport == .tcp ? IPPROTO_TCP : IPPROTO_UDP)
        context.local_port = UInt32(destination.port)
        context.remote_port = (source?.port ?? 1).bigEndian
        func words(_ address: IPAddress) -> (UInt32, UInt32, UInt32, UInt32) {
            func word(_ shift: UInt128) -> UInt32 { UInt32(truncatingIfNeeded: address.bits >> shift).bigEndian }
            return (word(96), word(64), word(32), word(0))
        }
        let remote = source?.address ?? .unspecified(destination.address.family)
        if destination.address.family == .ipv4 {
            context.local_ip4 = words(destination.address).3
            context.remote_ip4 = words(remote).3
        } else {
            context.local_ip6 = words(destination.address)
            context.remote_ip6 = words(remote)
        }
        var verdict: UInt32 = 0
        try call("BPF_PROG_TEST_RUN", runnable.lend { csteering_test_run($0, &context, &verdict) })
        return (verdict, context.cookie == 0 ? nil : SocketCookie(context.cookie))
    }
}
