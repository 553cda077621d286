import Glibc
import KernelTestSupport
import Testing

@testable import Steering

/// Each finding is found, and its remedy mends it.
@Suite(.kernel)
struct DoctorTests {
    private func examined(
        _ bpffs: String, wanted: Policy? = nil, answered: [String: PrefixPool] = [:]
    ) throws -> [Finding] {
        try Doctor(try .current(), bpffs: bpffs).examine(wanted: wanted, answered: answered)
    }

    private func policy(_ prefixes: String...) throws -> Policy {
        Policy(try prefixes.map { try Binding(.tcp, to: IPPrefix($0), ports: [7000], .label("web")) })
    }

    /// Runs a closure in a namespace where steering is loaded and in order: two families, one label.
    private func withHealthy(
        _ body: @escaping @Sendable (SocketSteering, TestSocket, String) throws -> Void
    ) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let bpffs = try TestFileSystem()
            let steering = try SocketSteering.load(into: try .current(), bpffs: bpffs.path)
            let socket = try TestSocket(.tcp, on: SocketAddress("[::]:0"), .dualStack)
            try steering.sockets.register(socket.socket, as: "web")
            try steering.apply(try policy("192.0.2.0/24", "2001:db8::/64"))
            try verify(examined(bpffs.path), is: [])
            try body(steering, socket, bpffs.path)
        }
    }

    /// Throws unless there is exactly one finding about a subject; returns it.
    private func only(_ findings: [Finding], _ severity: Finding.Severity, _ subject: String) throws -> Finding {
        let found = findings.filter { $0.subject == subject }
        try verify(found.count == 1 && found[0].severity == severity, "\(subject): \(findings)")
        try verify(!found[0].message.contains("\n"), found[0].message)
        return found[0]
    }

    @Test("A steering in order has no finding; each remedy brings it there")
    func healthy() async throws {
        try await withHealthy { steering, _, bpffs in
            try steering.apply(try policy("192.0.2.0/24", "198.51.100.0/24", "2001:db8:1::/64"))
            let findings = try examined(bpffs).filter { $0.subject == "routes" }
            try verify(findings.count, is: 2)
            try verify(
                examined(bpffs).contains { $0.subject == "nonlocal_bind" && $0.severity == .note }, "nonlocal_bind")
            for finding in findings { try shell(finding.remedy!.description) }
            try verify(examined(bpffs), is: [])
        }
    }

    @Test("What is not loaded, or nowhere to load, is said")
    func notLoaded() async throws {
        try await withNetworkNamespace {
            let bpffs = try TestFileSystem()
            try verify(
                only(examined(bpffs.path), .warning, "loaded").remedy?.description,
                is: "steer load --bpffs \(bpffs.path)")
            let readOnly = try TestFileSystem(options: "ro")
            let finding = try only(examined(readOnly.path), .broken, "bpffs")
            try shell(finding.remedy!.description)
            try verify(examined(readOnly.path).allSatisfy { $0.subject != "bpffs" }, "mended")
            // Mounting one there would hide other files.
            try verify(only(examined("/run"), .broken, "bpffs").remedy, is: nil)
        }
    }

    @Test("An interface that is gone, or another one than when the policy was applied, is named")
    func interfaces() async throws {
        try await withHealthy { steering, _, bpffs in
            try shell("ip link add in0 type veth peer name out0")
            try steering.bind("web", .tcp, to: PrefixPool("192.0.2.0/24"), ports: [443], on: "in0")
            try verify(examined(bpffs), is: [])
            let policy = try steering.policy

            try shell("ip link delete in0")
            let gone = try only(examined(bpffs), .warning, "interfaces")
            try verify(gone.message.hasPrefix("there is no interface in0: "), gone.message)
            try verify(gone.remedy, is: nil)
            // What names it can be applied, and what does not.
            try steering.apply(policy)
            try verify(steering.policy, is: policy)
            let urgent = try Binding(.tcp, to: IPPrefix("192.0.2.9/32"), ports: .all, .refuse)
            try steering.bind(urgent)
            try steering.unbind(urgent)

            // Upgrading looks it up anew; so does applying the same policy.
            for mend in [
                { try SocketSteering.upgrade(in: .current(), bpffs: bpffs) }, { try steering.apply(policy) },
            ] as [() throws -> Void] {
                try shell("ip link delete in0 2>/dev/null || true; ip link add in0 type veth peer name out0")
                let other = try only(examined(bpffs), .warning, "interfaces")
                try verify(other.message.contains("match nothing until the name is looked up again"), other.message)
                try verify(other.remedy?.description, is: "steer upgrade --bpffs \(bpffs)")
                try mend()
                try verify(examined(bpffs), is: [])
            }
            let changes = try steering.status().changes
            try steering.apply(policy)
            try verify(steering.status().changes, is: changes, "changes, when nothing changes")

            try shell("ip link delete in0")
            try steering.apply(try self.policy("192.0.2.0/24", "2001:db8::/64"))
            try verify(examined(bpffs), is: [])
        }
    }

    @Test("Labels without sockets, and sockets that receive nothing, are named")
    func sockets() async throws {
        try await withHealthy { steering, socket, bpffs in
            var policy = try steering.policy
            policy.bind(try Binding(.udp, to: IPPrefix("192.0.2.0/24"), ports: [53], .label("dns")))
            try steering.apply(policy)
            let missing = try only(examined(bpffs), .warning, "sockets")
            try verify(missing.message, is: "dns udp/IPv4 has bindings but no socket: its packets are refused")

            try verify(shutdown(socket.descriptor, CInt(SHUT_RD)), is: 0)
            let findings = try examined(bpffs).filter {
                $0.subject == "sockets" && $0.message.contains("no longer listens")
            }
            try verify(findings.count, is: 1, "one for both families")
        }
    }

    /// Closes the member of a group in which a connection waits; whether another one gets it.
    private func migrates(_ steering: SocketSteering) throws -> Bool {
        var members = [try TestSocket(.tcp, on: SocketAddress("127.0.0.1:0"), .reusePort)]
        try steering.sockets.register([(members[0].descriptor, "web")], replacing: true)
        guard let waiting = try Traffic.connect(.tcp, to: SocketAddress("192.0.2.7:7000")) else {
            throw Unmet(description: "refused")
        }
        members.append(try TestSocket(.tcp, on: members[0].address, .reusePort))
        try steering.sockets.register(members[1].socket, as: "web")
        members.removeFirst()
        guard let accepted = Traffic.accept(on: members[0].descriptor, orEndOf: waiting.rawValue) else { return false }
        try Traffic.send([7], on: accepted.rawValue)
        guard case .answered([7], _) = Traffic.receive(on: waiting) else { return false }
        return true
    }

    @Test("A group whose members take waiting connections along is named, and they do; with the remedy they do not")
    func migration() async throws {
        try await withHealthy { steering, _, bpffs in
            try verify(try !migrates(steering), "what waited came to another member without the sysctl")
            let members = try (0..<2).reduce(into: [TestSocket]()) { members, _ in
                let address = try members.first?.address ?? SocketAddress("127.0.0.1:0")
                members.append(try TestSocket(.tcp, on: address, .reusePort))
            }
            try steering.sockets.register(members.map { ($0.descriptor, "web") }, replacing: true)
            let finding = try only(examined(bpffs), .note, "tcp_migrate_req")
            try shell(finding.remedy!.description)
            try verify(examined(bpffs).filter { $0.subject == "tcp_migrate_req" }, is: [])
            try verify(try migrates(steering), "what waited is lost with the sysctl")
        }
    }

    @Test("Other programs are listed, and whether they decide")
    func programs() async throws {
        try await withHealthy { _, _, bpffs in
            let newer = try SocketSteering.attach()
            let finding = try only(examined(bpffs), .warning, "programs")
            try verify(finding.message.contains("after the steering"), finding.message)
            // It is somebody's.
            try verify(finding.remedy, is: nil)
            newer.detach()
            try verify(examined(bpffs), is: [])
        }
        try await withNetworkNamespace {
            let bpffs = try TestFileSystem()
            let older = try SocketSteering.attach()
            _ = try SocketSteering.load(into: try .current(), bpffs: bpffs.path)
            let finding = try only(examined(bpffs.path), .note, "programs")
            try verify(finding.message.contains("before the steering"), finding.message)
            older.detach()
        }
    }

    @Test("What ended namespaces leave is found and removed; what lives stays")
    func stalePins() async throws {
        try await withHealthy { _, _, bpffs in
            let files = try TestFileSystem.listing(of: bpffs)
            try inAnotherNetworkNamespace {
                let namespace = try NetworkNamespace.current()
                _ = try SocketSteering.load(into: namespace, bpffs: bpffs)
                // As the kernel leaves it.
                DataPlane.detach(try PinnedState("\(bpffs)/steering/\(namespace.inode)", toWrite: true).link!)
            }
            try shell("mkdir \(bpffs)/steering/new-7")
            let finding = try only(examined(bpffs), .warning, "pins")
            try verify(finding.remedy?.description, is: "steer doctor --fix --bpffs \(bpffs)")
            try verify(try Doctor(try .current(), bpffs: bpffs).removeStalePins().count, is: 2)
            try verify(examined(bpffs), is: [])
            try verify(TestFileSystem.listing(of: bpffs), is: files)
        }
    }

    @Test("A policy that should be in force is compared; a strict reverse-path filter is named")
    func wantedAndFilter() async throws {
        try await withHealthy { steering, _, bpffs in
            let same = try steering.policy
            try verify(examined(bpffs, wanted: same), is: [])
            let other = try policy("192.0.2.0/25")
            _ = try only(examined(bpffs, wanted: other), .warning, "policy")

            try shell("ip link add v0.1 type veth peer name v1; sysctl -q -w net.ipv4.conf.v0/1.rp_filter=1")
            let finding = try only(examined(bpffs), .note, "rp_filter")
            try shell(finding.remedy!.description)
            try verify(examined(bpffs), is: [])
        }
    }

    @Test("What names are answered with is steered, for all that its pool is steered for; what is not is named")
    func answered() async throws {
        try await withHealthy { steering, _, bpffs in
            func names(_ pool: PrefixPool, wanted: Policy? = nil) throws -> [Finding] {
                try examined(bpffs, wanted: wanted, answered: ["web": pool]).filter { $0.subject == "names" }
            }
            let pool = try PrefixPool("192.0.2.0/24", "2001:db8::/64")
            try verify(examined(bpffs, answered: ["web": pool, "none": PrefixPool()]), is: [])
            // Neither a prefix within, nor one that only some senders reach, nor one that is passed inside, is a finding.
            try steering.bind("web", .tcp, to: PrefixPool("192.0.2.9/32"), ports: [22])
            try steering.bind("web", .tcp, to: PrefixPool("192.0.2.9/32"), ports: [23], from: IPPrefix("127.0.0.0/8"))
            try steering.bind(try Binding(.tcp, to: IPPrefix("192.0.2.8/32"), ports: [9], .pass))
            try verify(names(pool), is: [])

            // As far as it is not bound, in few prefixes, however large the pool is.
            let wide = try PrefixPool("192.0.0.0/22", "2001:db8::/44")
            for finding in try names(wide) {
                try verify(
                    finding.message.hasSuffix(", which no binding steers, may be in answers from the pool web")
                        || finding.message.hasPrefix("and "), finding.message)
            }
            try verify(
                names(try PrefixPool("192.0.2.0/23")).map(\.remedy?.description),
                is: ["steer bind web tcp 192.0.3.0/24 7000 --bpffs \(bpffs)"])
            try verify(names(wide).count, is: 11)

            // What is refused within it for good is not steered.
            let hole = try Binding(.both, to: IPPrefix("192.0.2.128/25"), ports: .all, .refuse)
            try steering.bind(hole)
            try verify(
                names(pool).map(\.message),
                is: [
                    "192.0.2.128/25, which no binding steers, may be in answers from the pool web"
                ])
            try steering.unbind(hole)

            // Of the ports that the policy that should be in force has for the whole pool, all are looked at.
            var wanted = try steering.policy
            try wanted.bind("web", .tcp, to: pool, ports: [443])
            try steering.bind("web", .tcp, to: PrefixPool("192.0.2.0/25", "2001:db8::/64"), ports: [443])
            let finding = try only(examined(bpffs, wanted: wanted, answered: ["web": pool]), .warning, "names")
            try verify(
                finding.message,
                is: "192.0.2.128/25, which no binding steers for tcp 443, may be in answers from the pool web")
            try verify(
                finding.remedy?.description, is: "steer bind web tcp 192.0.2.128/25 443 --bpffs \(bpffs)")
            let nothing = try names(try PrefixPool("198.51.100.0/24"), wanted: wanted)
            try verify(
                nothing.map(\.remedy?.description),
                is: ["steer bind LABEL tcp 198.51.100.0/24 PORTS --bpffs \(bpffs)"])
            try verify(nothing.map(\.remedy?.isComplete), is: [false])
        }
    }

    @Test("What names are answered with is routed here; the remedy mends it")
    func answeredRoutes() async throws {
        try await withHealthy { steering, _, bpffs in
            let pool = try PrefixPool("192.0.2.0/24", "198.51.100.0/25", "2001:db8:1::/64")
            let findings = try examined(bpffs, answered: ["web": pool]).filter { $0.subject == "routes" }
            try verify(
                findings.map(\.message),
                is: ["198.51.100.0/25", "2001:db8:1::/64"].map {
                    "\($0) is returned in answers, but not routed to this host: its packets do not get here"
                })
            for finding in findings { try shell(finding.remedy!.description) }
            try verify(examined(bpffs, answered: ["web": pool]).filter { $0.subject == "routes" }, is: [])
        }
    }
}
