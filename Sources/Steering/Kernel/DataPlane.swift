import CLibBPF
import CSteering
import Glibc
import Synchronization

/// The loaded program and its maps: descriptors only, so that nothing of libbpf lives on.
struct DataPlane: ~Copyable, Sendable {
    let program: OwnedDescriptor
    let policy: OwnedDescriptor
    let pages: OwnedDescriptor
    let sockets: OwnedDescriptor
    let metrics: OwnedDescriptor
    let verdicts: OwnedDescriptor
    private let token: OwnedDescriptor
    private let grace: OwnedDescriptor

    /// One at a time: libbpf's printing, which loading silences, is the process's.
    private static let loading = Mutex(())

    /// Loads the embedded program, or another build of it.
    ///
    /// - Throws: `missingCapability` (CAP_BPF and CAP_NET_ADMIN are needed), `unsupportedKernel`,
    ///   `programRejected`.
    init(object: [UInt8]? = nil) throws(SteeringError) {
        let object =
            object ?? Array(UnsafeRawBufferPointer(start: csteering_object_bytes(), count: csteering_object_size()))
        var loaded: OpaquePointer?
        var log = [UInt8](repeating: 0, count: 1 << 20)
        let error = Self.loading.withLock { _ in
            log.withUnsafeMutableBytes { csteering_load(object, object.count, $0.baseAddress!, $0.count, &loaded) }
        }
        guard error == 0, let loaded else {
            throw .notLoaded(-error, log: String(decoding: log.prefix { $0 != 0 }, as: UTF8.self))
        }
        defer { bpf_object__close(loaded) }

        // The object closes its own descriptors: keep duplicates.
        func map(_ name: String) throws(SteeringError) -> OwnedDescriptor {
            try .duplicate(try call("map \(name)", bpf_object__find_map_fd_by_name(loaded, name)))
        }
        let program = try OwnedDescriptor.duplicate(
            bpf_program__fd(bpf_object__find_program_by_name(loaded, "steer")))
        let policy = try map(".bss.policy")
        let pages = try map("pages")
        let sockets = try map("sockets")
        let metrics = try map("metrics")
        let verdicts = try map("verdicts")
        let token = try map("token")
        let grace = try map("grace")

        // Together, after the last failure: a half-built owner cannot be taken apart.
        self.program = program
        self.policy = policy
        self.pages = pages
        self.sockets = sockets
        self.metrics = metrics
        self.verdicts = verdicts
        self.token = token
        self.grace = grace
    }

    /// Links the program to a namespace's hook; the link ends with the descriptor.
    func attach(to namespace: borrowing NetworkNamespace) throws(SteeringError) -> OwnedDescriptor {
        let link = bpf_link_create(program.rawValue, namespace.descriptor.rawValue, BPF_SK_LOOKUP, nil)
        guard link >= 0 else { throw .notAttached(-link) }
        return OwnedDescriptor(owning: link)
    }

    /// Ends a link at once: closing it would leave it to copies of its descriptor, such as that of a child
    /// between fork and exec.
    static func detach(_ link: consuming OwnedDescriptor) {
        // Fails when the namespace has ended: then it is detached already.
        _ = bpf_link_detach(link.rawValue)
    }

    /// Waits until every run of the program that began before has ended (a write to a map of maps does).
    func waitForRuns() throws(SteeringError) {
        var key: UInt32 = 0
        var value = token.rawValue
        try call("bpf_map_update_elem(grace)", bpf_map_update_elem(grace.rawValue, &key, &value, UInt64(BPF_ANY)))
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
        try call("BPF_PROG_TEST_RUN", csteering_test_run(program.rawValue, &context, &verdict))
        return (verdict, context.cookie == 0 ? nil : SocketCookie(context.cookie))
    }
}

/// What a link says of itself.
struct LinkInfo {
    /// The namespace's inode number; 0 when it has ended.
    let namespaceInode: UInt32

    init(_ link: borrowing OwnedDescriptor) throws(SteeringError) {
        var info = bpf_link_info()
        var size = UInt32(MemoryLayout<bpf_link_info>.size)
        try call("bpf_obj_get_info_by_fd", bpf_obj_get_info_by_fd(link.rawValue, &info, &size))
        namespaceInode = info.netns.netns_ino
    }
}

extension SteeringError {
    /// See bpf(2) and the notes on loading in `docs/ARCHITECTURE.md`.
    static func notLoaded(_ error: CInt, log: String) -> SteeringError {
        let cause = Cause.systemCall("bpf", errno: error)
        switch error {
        case EPERM where log.isEmpty:
            return SteeringError(
                .missingCapability,
                "loading the program needs CAP_BPF and CAP_NET_ADMIN, which this process lacks: run as root or grant both",
                cause: cause)
        case _ where !log.isEmpty:
            return SteeringError(
                .programRejected,
                "the kernel's verifier refused the program (\(lastLine(of: log))): please report it with the kernel's version and this error's log",
                cause: .verifier(log: log))
        case ENOSYS, EINVAL, ENOTSUP, E2BIG, ENOENT:
            return SteeringError(
                .unsupportedKernel,
                "this kernel cannot load sk_lookup programs (\(describe(errno: error))): Linux 5.9 or newer with CONFIG_BPF_SYSCALL is needed",
                cause: cause)
        default:
            return SteeringError(
                .systemCall, "loading the program failed (\(describe(errno: error))): see the cause", cause: cause)
        }
    }

    /// See the netns link's own errors in net/core/net_namespace.c: 64 links, no more.
    static func notAttached(_ error: CInt) -> SteeringError {
        let cause = Cause.systemCall("BPF_LINK_CREATE", errno: error)
        switch error {
        case E2BIG:
            return SteeringError(
                .tooManyPrograms,
                "the network namespace has 64 sk_lookup programs, as many as it can hold: detach one (bpftool link list)",
                cause: cause)
        case EPERM:
            return SteeringError(
                .missingCapability, "attaching the program needs CAP_NET_ADMIN: run as root or grant it", cause: cause)
        case ENOENT, EINVAL:
            return SteeringError(
                .networkNamespaceGone, "the network namespace has ended: attach to one that lives", cause: cause)
        default:
            return .failed("BPF_LINK_CREATE", error)
        }
    }

    /// The verifier's last word, before its statistics.
    private static func lastLine(of log: String) -> String {
        let lines = log.split(separator: "\n").filter {
            !$0.hasPrefix("processed ") && !$0.hasPrefix("verification time")
        }
        return String(lines.last ?? "no reason given")
    }
}
