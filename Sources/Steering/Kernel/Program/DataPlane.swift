import CLibBPF
import CSteering
import Glibc

/// The program's maps, by what they hold.
enum MapName: String, CaseIterable {
    case policy, sockets, registrations, metrics, verdicts, token, grace

    /// As the object file names it: global data is named by its section.
    func inObject(_ size: TableSize) -> String { self == .policy ? ".bss.\(size.name)" : rawValue }

    /// What stays when the program is replaced; the others hold tables in the program's own layout.
    static let lasting: [MapName] = [.sockets, .registrations, .metrics, .verdicts]
}

/// The loaded program and its maps: descriptors only, so that nothing of libbpf lives on.
struct DataPlane: Sendable {
    /// Nil for those who may only read.
    let program: SharedDescriptor?
    private let maps: [MapName: SharedDescriptor]
    /// Of a program that was loaded just now: whether the kernel tells it on which interface a packet arrives.
    let hasIngressInterface: Bool?

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
        let loaded = try LoadedProgram(
            "steer_\(size.name)",
            maps: MapName.allCases.map { LoadedProgram.Map(name: $0.inObject(size), reused: reused[$0]) },
            tables: size, object: object, hasIngressInterface: known)
        program = loaded.program
        maps = Dictionary(uniqueKeysWithValues: zip(MapName.allCases, loaded.maps))
        hasIngressInterface = loaded.hasIngressInterface
    }

    /// A map's descriptor, lent: as long as someone else has the data plane, too.
    subscript(name: MapName) -> CInt { maps[name]!.rawValue }

    /// Whether there is such a map: of what is pinned one may be missing.
    func has(_ name: MapName) -> Bool { maps[name] != nil }

    /// Some of the maps, shared.
    func sharing(_ names: [MapName]) -> [MapName: SharedDescriptor] { maps.filter { names.contains($0.key) } }

    /// Links the program to a namespace's hook; the link ends with the descriptor.
    func attach(to namespace: borrowing NetworkNamespace) throws(SteeringError) -> SharedDescriptor {
        try program!.attach(to: namespace)
    }

    /// Makes an attached link run this program instead of its former one, in one step.
    func replaceProgram(of link: SharedDescriptor) throws(SteeringError) { try program!.replace(in: link) }

    /// Ends a link at once: closing it would leave it to copies of its descriptor, such as that of a child
    /// between fork and exec.
    static func detach(_ link: SharedDescriptor) {
        // Fails when the namespace has ended: then it is detached already.
        _ = link.lend { bpf_link_detach($0) }
    }

    /// Waits until every run of the program that began before has ended.
    func waitForRuns() throws(SteeringError) { try SharedDescriptor.waitForRuns(self[.grace], self[.token]) }

    /// Runs the program once, without a packet, and says what it decided.
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
        try call("BPF_PROG_TEST_RUN", program!.lend { csteering_test_run($0, &context, &verdict) })
        return (verdict, context.cookie == 0 ? nil : SocketCookie(context.cookie))
    }
}
