import CSteering
import Glibc

/// The sockets that a process has open.
struct ProcessDescriptors: ~Copyable {
    private let pid: pid_t
    /// A pidfd, opened before /proc is read: the PID cannot be reused while the process lives.
    private let process: OwnedDescriptor
    /// One descriptor per socket.
    private let descriptors: [(descriptor: CInt, inode: UInt32)]
    /// The process, for messages.
    private let name: String

    /// Opens a process and lists its sockets.
    ///
    /// - Throws: `processUnavailable`.
    init(of pid: pid_t) throws(SteeringError) {
        guard pid > 0 else {
            throw SteeringError(.processUnavailable, "\(pid) is not a process: give its number, which is positive")
        }
        let opened = csteering_pidfd_open(pid)
        guard opened >= 0 else { throw .cannotOpen(pid, -opened) }
        let process = OwnedDescriptor(owning: opened)
        let owner = SocketOwner(pid: pid)
        let name = owner.map { "process \(pid) (\($0.command))" } ?? "process \(pid)"

        var found: [(descriptor: CInt, inode: UInt32)] = []
        var seen: Set<UInt32> = []
        let error = ProcFS.forEachSocket(of: pid) { descriptor, inode in
            if seen.insert(inode).inserted { found.append((descriptor, inode)) }
            return true
        }
        // A pidfd is readable once its process has ended.
        var state = pollfd(fd: opened, events: Int16(POLLIN), revents: 0)
        if poll(&state, 1, 0) != 0 { throw .ended(name) }
        // ENOENT although the process lives: /proc hides it.
        if error != 0 { throw .mayNotTake(name, of: owner, error) }
        self.pid = pid
        self.process = process
        self.name = name
        descriptors = found
    }

    /// Returns the sockets that can be steered to in the calling thread's network namespace.
    func steerable() throws(SteeringError) -> [ProcessSocket] {
        let namespace = try NamespaceIdentity(NetworkNamespace.current())
        // Without sock_diag, which a kernel may lack, duplicate each socket to inspect it.
        let known = try? ListeningSockets()
        var held: [DiagnosedSocket.Place: Int] = [:]
        for (_, inode) in descriptors { if let place = known?[inode]?.place { held[place, default: 0] += 1 } }

        var sockets: [ProcessSocket] = []
        for (descriptor, inode) in descriptors where known == nil || known![inode] != nil {
            guard let socket = try take(descriptor, inode),
                let steerable = try Self.steerable(socket.rawValue, in: namespace)
            else { continue }
            var elsewhere = 0
            if steerable.isReuseport, let known, let place = known[inode]?.place {
                elsewhere = known.count(at: place) - held[place, default: 0]
            }
            sockets.append(ProcessSocket(socket, steerable, pid: pid, inode: inode, membersElsewhere: elsewhere))
        }
        return sockets.sorted {
            ($0.transport, $0.boundAddress, $0.cookie) < ($1.transport, $1.boundAddress, $1.cookie)
        }
    }

    /// Returns a socket that can be steered to in a namespace; nil for any other.
    private static func steerable(
        _ socket: CInt, in namespace: NamespaceIdentity
    ) throws(SteeringError) -> SteerableSocket? {
        do throws(SteeringError) {
            let steerable = try SteerableSocket(socket)
            try namespace.check(socket)
            return steerable
        } catch {
            // A failed system call does not show that the socket cannot be steered to.
            guard error.errno == 0 else { throw error }
            return nil
        }
    }

    /// The inode numbers of its sockets, each with one of its descriptors.
    var inodes: [(descriptor: CInt, inode: UInt32)] { descriptors }

    /// Returns a duplicate of a socket; nil if the process has closed it in the meantime.
    func duplicate(_ descriptor: CInt, inode: UInt32) throws(SteeringError) -> OwnedDescriptor? {
        try take(descriptor, inode)
    }

    /// Returns a duplicate of the socket with an inode number; nil if the process has none.
    func socket(_ inode: UInt32) throws(SteeringError) -> OwnedDescriptor? {
        guard let found = descriptors.first(where: { $0.inode == inode }) else { return nil }
        return try take(found.descriptor, inode)
    }

    /// Returns the addresses of its Multipath TCP listeners that match a selector.
    func multipath(matching selector: SocketSelector) -> [SocketAddress] {
        guard let known = try? ListeningSockets() else { return [] }
        return descriptors.compactMap { known.multipath[$0.inode] }.filter { selector.matches(.tcp, $0) }
    }

    /// Returns an error that explains why no socket matches, after inspecting the other sockets of the process.
    func nothing(
        matching selector: SocketSelector, candidates: [ProcessSocket]
    ) throws(SteeringError) -> SteeringError {
        if let address = multipath(matching: selector).first { return .isMultipath(name, address) }
        if !candidates.isEmpty { return .noneMatches(name, selector, candidates) }
        let namespace = try NamespaceIdentity(NetworkNamespace.current())
        var others: [String] = []
        // Enough for an explanation, even if the process has a million connections.
        for (descriptor, inode) in descriptors.prefix(1024) {
            guard let socket = try take(descriptor, inode) else { continue }
            var found: String?
            do throws(SteeringError) {
                let steerable = try SteerableSocket(socket.rawValue)
                let words = "\(steerable.transport) \(steerable.localAddress)"
                let isHere = (try? namespace.check(socket.rawValue)) != nil
                if !isHere, selector.matches(steerable.transport, steerable.localAddress) {
                    return .inAnotherNamespace(name, pid, words)
                }
                found = isHere ? nil : words + " in another network namespace"
            } catch {
                found = Self.describe(error.code, socket)
            }
            if let found, !others.contains(found) { others.append(found) }
        }
        return .noSocket(name, others)
    }

    /// Describes a socket that cannot be steered to; nil for sockets that nobody would expect to be.
    private static func describe(_ code: SteeringError.Code, _ socket: borrowing OwnedDescriptor) -> String? {
        let address = (try? socket.localAddress()).map { " on \($0)" } ?? ""
        return switch code {
        case .multipathTCP: "a Multipath TCP socket\(address)"
        case .socketConnected: "a connected socket\(address)"
        case .socketNotListening: "a TCP socket that does not listen"
        case .socketNotBound: "a UDP socket that is not bound"
        case .socketBoundToDevice: "a socket\(address) that is bound to a device"
        case .udpLite: "a UDP-Lite socket\(address)"
        default: nil
        }
    }

    /// Duplicates a descriptor of the process; nil if its socket was closed in the meantime.
    private func take(_ descriptor: CInt, _ inode: UInt32) throws(SteeringError) -> OwnedDescriptor? {
        let taken = csteering_pidfd_getfd(process.rawValue, descriptor)
        switch -taken {
        case EBADF: return nil
        case ESRCH: throw .ended(name)
        case EPERM: throw .mayNotTake(name, of: SocketOwner(pid: pid), EPERM)
        case ENOSYS:
            throw SteeringError(
                .processUnavailable,
                "the kernel has no pidfd_getfd, or a seccomp filter hides it: use Linux 5.6, or let the server register itself",
                cause: .systemCall("pidfd_getfd", errno: ENOSYS))
        default: break
        }
        let socket = OwnedDescriptor(owning: try call("pidfd_getfd", taken))
        var status = stat()
        try systemCall("fstat") { fstat(taken, &status) }
        guard UInt32(truncatingIfNeeded: status.st_ino) == inode else { return nil }
        return socket
    }
}

extension SteeringError {
    fileprivate static func cannotOpen(_ pid: pid_t, _ error: CInt) -> SteeringError {
        let message =
            switch error {
            case ESRCH: "there is no process \(pid): it has ended, or belongs to another PID namespace"
            case EINVAL, ENOENT:
                "\(pid) is a thread, not a process: give "
                    + (ProcFS.process(ofThread: pid).map { "\($0), the process that it belongs to" } ?? "its process")
            case ENOSYS:
                "the kernel has no pidfd_open, or a seccomp filter hides it: use Linux 5.6, or let the server register itself"
            default: "process \(pid) cannot be opened: \(describe(errno: error))"
            }
        return SteeringError(.processUnavailable, message, cause: .systemCall("pidfd_open", errno: error))
    }

    fileprivate static func ended(_ process: String) -> SteeringError {
        SteeringError(
            .processUnavailable, "\(process) ended while its sockets were looked for: give the one that took its place")
    }

    /// Explains why /proc or the kernel denies access to a process's descriptors: see ptrace(2), "access mode
    /// checking".
    fileprivate static func mayNotTake(_ process: String, of owner: SocketOwner?, _ error: CInt) -> SteeringError {
        if let owner, ProcFS.isExiting(owner.pid) { return .ended(process) }
        let yama = ProcFS.text("/proc/sys/kernel/yama/ptrace_scope")?.first.flatMap(\.wholeNumberValue) ?? 0
        let own = Capabilities.effective() ?? []
        // /proc/PID/fd of another user's process cannot be listed.
        let needed: Capabilities = owner?.userID == geteuid() ? .sysPtrace : [.sysPtrace, .dacReadSearch]
        let lacking = needed.subtracting(own)
        var remedy = "run as root, in a container with --cap-add SYS_PTRACE"
        let why: String
        if yama == 3 || lacking.isEmpty {
            why =
                yama == 3
                ? "kernel.yama.ptrace_scope is 3, which forbids it to everyone"
                : "a seccomp filter, a security module or its user namespace forbids it"
            remedy = "let the server register itself"
        } else if let owner {
            let reason =
                if owner.userID != geteuid() {
                    "it belongs to user \(owner.userID)"
                } else if !own.isSuperset(of: Capabilities.permitted(to: owner.pid) ?? []) {
                    "it has capabilities that this process lacks"
                } else if yama > 0 {
                    "kernel.yama.ptrace_scope is \(yama)"
                } else {
                    "it is not dumpable, as after a change of user"
                }
            why = "\(reason), and this process has no \(lacking)"
        } else {
            why = "/proc hides it (hidepid), and this process has no \(lacking)"
        }
        return SteeringError(
            .processUnavailable, "the sockets of \(process) cannot be taken: \(why); \(remedy)",
            cause: .systemCall(error == EPERM ? "pidfd_getfd" : "readlink", errno: error))
    }

    static func isMultipath(_ process: String, _ address: SocketAddress) -> SteeringError {
        SteeringError(
            .multipathTCP,
            "\(process) listens on \(address) by Multipath TCP, which the kernel cannot steer to: let it listen on plain TCP (Go 1.24 and newer: GODEBUG=multipathtcp=0 in its environment)"
        )
    }

    fileprivate static func inAnotherNamespace(_ process: String, _ pid: pid_t, _ socket: String) -> SteeringError {
        SteeringError(
            .foreignNetworkNamespace,
            "\(process) has \(socket) in another network namespace, whose traffic is not seen here: steer there, in /proc/\(pid)/ns/net"
        )
    }

    fileprivate static func noSocket(_ process: String, _ others: [String]) -> SteeringError {
        guard !others.isEmpty else {
            return SteeringError(
                .socketNotFound,
                "\(process) has no TCP or UDP socket that matches: give the process that listens, or one that it forked"
            )
        }
        // Kernels before 5.19 do not report which of them listen.
        let remedy =
            others.contains { $0.hasPrefix("a Multipath") }
            ? "let it listen on plain TCP (Go: GODEBUG=multipathtcp=0)" : "give the process that listens"
        let rest = others.count > 8 ? " and \(others.count - 8) more" : ""
        return SteeringError(
            .socketNotFound,
            "\(process) has no socket that can be steered to, only \(others.prefix(8).joined(separator: ", "))\(rest): \(remedy)"
        )
    }
}
