import CBench
import Steering

/// Loads the programs that are compared, and keeps them.
final class Programs {
    private let objects: String
    private let trusted: Bool
    // The kernel's maps keep no socket open, and a steering ends with its last reference.
    private var servers: [Label: [OwnedSocket]] = [:]
    private var steerings: [SocketSteering] = []

    private final class OwnedSocket {
        let descriptor: OwnedDescriptor
        init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
    }

    /// - Parameter trusted: Whether the verifier may leave out what hardens against speculation.
    init(objects: String, trusted: Bool = true) throws {
        self.objects = objects
        self.trusted = trusted
        _ = try BenchError.check("capset", bench_trust(trusted))
        _ = try BenchError.check("setrlimit", bench_allow_descriptors(1 << 16))
    }

    /// A program of floor.bpf.c, with sockets for this traffic.
    func floor(_ program: String, _ traffic: Traffic, _ labels: [Label] = ["floor"]) throws -> CInt {
        let sockets = try labels.map { try socket($0, traffic) }
        return try BenchError.check(
            "loading \(program)",
            bench_load("\(objects)/floor.bpf.o", program, sockets, UInt32(sockets.count)))
    }

    /// Ours, as a server does it: attach, register a socket of each kind for every label, bind.
    func steering(_ bindings: [Binding]) throws -> CInt {
        let policy = Policy(bindings)
        let steering = try SocketSteering.attach()
        for label in policy.labels {
            for traffic in Traffic.allCases { try steering.sockets.register(try socket(label, traffic), as: label) }
        }
        try steering.apply(policy)
        steerings.append(steering)
        // To find our program by its number takes CAP_SYS_ADMIN.
        _ = try BenchError.check("capset", bench_trust(true))
        defer { _ = bench_trust(trusted) }
        return try BenchError.check("bpf_prog_get_fd_by_id", bench_newest_program())
    }

    /// The same bindings in a trie of the kernel, an entry for each of their ports.
    func lpm(_ bindings: [Binding]) throws -> CInt {
        var numbers: [Label: Int] = [:]
        var keys: [lpm_key] = [], values: [lpm_binding] = []
        // Of bindings with one key the last stays.
        for binding in bindings.sorted(by: { $0.precedence < $1.precedence }) {
            guard case .label(let label) = binding.outcome else { throw BenchError("\(binding) has no label") }
            let number = numbers[label] ?? numbers.count
            numbers[label] = number
            for (variant, traffic) in Traffic.allCases.enumerated()
            where traffic.family == binding.prefix.family && binding.protocols.contains(traffic.transport) {
                for port in binding.ports.lpmPorts {
                    let key = lpm_key(traffic, binding.prefix, port: port)
                    keys.append(key)
                    values.append(lpm_binding(destination: UInt32(4 * number + variant), length: key.length))
                }
            }
        }
        var lpm = bench_lpm()
        _ = try BenchError.check(
            "loading lpm", bench_load_lpm("\(objects)/lpm.bpf.o", UInt32(keys.count), &lpm))
        _ = try BenchError.check("binding in lpm", bench_bind_lpm(&lpm, keys, values, UInt32(keys.count)))
        for (label, number) in numbers {
            for (variant, traffic) in Traffic.allCases.enumerated() {
                _ = try BenchError.check(
                    "a socket for lpm",
                    bench_set_socket(lpm.sockets, UInt32(4 * number + variant), try socket(label, traffic)))
            }
        }
        return lpm.program
    }

    /// Of the sockets of labels: which label has a cookie.
    func cookies(_ labels: [Label], _ traffic: Traffic) throws -> [UInt64: Int] {
        var numbers: [UInt64: Int] = [:]
        for (number, label) in labels.enumerated() {
            var cookie: UInt64 = 0
            _ = try BenchError.check("SO_COOKIE", bench_cookie(try socket(label, traffic), &cookie))
            numbers[cookie] = number
        }
        return numbers
    }

    /// One for each label and traffic, whatever steers to it.
    func socket(_ label: Label, _ traffic: Traffic) throws -> CInt {
        if servers[label] == nil { servers[label] = try Traffic.allCases.map { OwnedSocket(try $0.socket()) } }
        return servers[label]![Traffic.allCases.firstIndex(of: traffic)!].descriptor.rawValue
    }
}

extension PortSet {
    fileprivate var lpmPorts: [UInt16] {
        self == .all ? [UInt16(LPM_ANY_PORT)] : ranges.flatMap { Array($0.lower...$0.upper) }
    }
}

extension lpm_key {
    fileprivate init(_ traffic: Traffic, _ prefix: IPPrefix, port: UInt16) {
        self.init()
        let isIPv4 = prefix.family == .ipv4
        let bits = isIPv4 ? 0xffff << 32 | prefix.address.bits : prefix.address.bits
        length = UInt32(Int(LPM_EXACT_BITS) + prefix.length + (isIPv4 ? 96 : 0))
        `protocol` = UInt16(traffic.protocolNumber)
        self.port = port
        withUnsafeMutableBytes(of: &address) { $0.storeBytes(of: bits.bigEndian, as: UInt128.self) }
    }
}
