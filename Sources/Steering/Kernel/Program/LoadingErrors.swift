import Glibc

extension SteeringError {
    /// The error for a program that cannot be loaded. See bpf(2).
    ///
    /// Before Linux 6.0 ("bpf: remove obsolete KMALLOC_MAX_SIZE restriction on array map value size"), a map value,
    /// such as the tables, is limited to 4 MiB: E2BIG.
    static func notLoaded(_ error: CInt, _ size: TableSize, log: String) -> SteeringError {
        let cause = Cause.systemCall("bpf", errno: error)
        switch error {
        case E2BIG where log.isEmpty && size > .smallest:
            return SteeringError(
                .tablesTooLarge,
                "the tables for these bindings need \(2 * size.bytes >> 20) MiB, and before Linux 6.0 they are limited to \(2 * TableSize.smallest.bytes >> 20) MiB: use Linux 6.0 or newer, fewer bindings, or fewer distinct port sets",
                cause: cause)
        // The log may be nonempty although the verifier accepted the program: it then holds statistics.
        case EMFILE, ENFILE:
            return SteeringError(
                .systemCall,
                "loading the program failed (\(describe(errno: error))): allow more open files (ulimit -n)",
                cause: cause)
        case ENOMEM, EINTR, EAGAIN:
            return SteeringError(
                .systemCall, "loading the program failed (\(describe(errno: error))): try again", cause: cause)
        case EPERM where log.isEmpty && Capabilities.effective()?.isSuperset(of: [.bpf, .netAdmin]) == true:
            guard let limit = HostFacts.mapMemoryLimit() else { fallthrough }
            return SteeringError(
                .systemCall,
                "this kernel counts maps as locked memory, of which this process may have \(limit) bytes: raise the limit (ulimit -l unlimited, or LimitMEMLOCK=infinity in its unit)",
                cause: cause)
        case EPERM where log.isEmpty:
            return SteeringError(
                .missingCapability,
                "loading the program needs CAP_BPF and CAP_NET_ADMIN, which this process lacks: run as root or grant both",
                cause: cause)
        case _ where log.contains("referenced but wasn't created"):
            // libbpf needs two descriptors to probe for features, and leaves out maps if it cannot.
            return SteeringError(
                .systemCall,
                "loading the program failed, because libbpf could not probe what the kernel can do: allow more open files (ulimit -n)",
                cause: cause)
        case _ where !log.isEmpty && Capabilities.effective()?.isDisjoint(with: [.perfmon, .sysAdmin]) == true:
            return SteeringError(
                .missingCapability,
                "this kernel's verifier refused the program, as those before 5.17 do if CAP_PERFMON is missing: grant CAP_PERFMON besides CAP_BPF and CAP_NET_ADMIN, or run as root",
                cause: .verifier(log: log))
        case _ where !log.isEmpty:
            return SteeringError(
                .programRejected,
                "the kernel's verifier refused the program (\(lastLine(of: log))): please report it with the kernel's version and the verifier's log",
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

    /// The error for a program that cannot be attached. A namespace has room for 64 sk_lookup programs: see
    /// netns_bpf_max_progs in kernel/bpf/net_namespace.c.
    static func notAttached(_ error: CInt) -> SteeringError {
        let cause = Cause.systemCall("BPF_LINK_CREATE", errno: error)
        switch error {
        case E2BIG:
            return SteeringError(
                .tooManyPrograms,
                "the network namespace has 64 sk_lookup programs, as many as it can hold: end a process that holds one, or unload one (`bpftool link list` shows them)",
                cause: cause)
        case EPERM:
            return SteeringError(
                .missingCapability, "attaching the program needs CAP_NET_ADMIN: run as root or grant it", cause: cause)
        case ENOENT, EINVAL:
            return SteeringError(
                .networkNamespaceGone, "the network namespace has ended: attach to one that exists", cause: cause)
        default:
            return .failed("BPF_LINK_CREATE", error)
        }
    }

    /// Returns the last line of the verifier's log before its statistics.
    private static func lastLine(of log: String) -> String {
        let lines = log.split(separator: "\n").filter {
            !$0.hasPrefix("processed ") && !$0.hasPrefix("verification time")
        }
        return String(lines.last ?? "no reason given")
    }
}
