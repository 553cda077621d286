import Glibc
import KernelTestSupport
import Testing

@testable import Steering

/// Steering that is pinned: it outlives the value that loaded it, and several processes share it.
@Suite(.kernel)
struct LoadedSteeringTests {
    /// Runs a closure in a namespace with a file system of its own.
    private func withLoaded(
        _ body: @escaping @Sendable (borrowing NetworkNamespace, String) throws -> Void
    ) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let bpffs = try TestFileSystem()
            try body(try NetworkNamespace.current(), bpffs.path)
        }
    }

    @Test("What one loads another opens, changes and unloads", arguments: Flow.all)
    func outlivesItsValue(_ flow: Flow) async throws {
        try await withLoaded { namespace, bpffs in
            var server = try flow.server()
            do {
                let steering = try SocketSteering.load(into: namespace, bpffs: bpffs)
                try steering.sockets.register(server.descriptor, as: "web")
                try steering.bind(Binding(.both, to: flow.prefix, ports: [7000], .label("web")))
            }
            try server.verifyAnswers(flow.host(1, port: 7000))

            let steering = try SocketSteering.open(namespace, bpffs: bpffs)
            try verify(steering.policy.bindings.map(\.description), is: ["tcp+udp \(flow.prefix) 7000 -> label web"])
            try verify(steering.sockets.list().map(\.boundAddress), is: [server.address])
            let destination = Destination("web", flow.family, flow.transport)
            try verify(steering.metrics().destinations[destination]?.lookups, is: 1)
            try steering.unbindAll()
            try server.verifyRefused(flow.host(1, port: 7000))

            try SocketSteering.unload(from: namespace, bpffs: bpffs)
            try verifyThrows(.notLoaded) { _ = try steering.policy }
            try verifyThrows(.notLoaded) { _ = try SocketSteering.open(namespace, bpffs: bpffs) }
            try verifyThrows(.notLoaded) { try SocketSteering.unload(from: namespace, bpffs: bpffs) }
        }
    }

    @Test("Two who have it open see each other's changes, and lose none")
    func severalOpen() async throws {
        try await withLoaded { namespace, bpffs in
            let one = try SocketSteering.load(into: namespace, bpffs: bpffs)
            let other = try SocketSteering.open(namespace, bpffs: bpffs)
            let reader = try SocketSteering.open(namespace, bpffs: bpffs, for: .reading)
            for port in UInt16(1)...20 {
                let binding = try Binding(
                    .tcp, to: IPPrefix("192.0.2.0/24"), ports: PortSet([PortRange(port)]), .label("web"))
                try (port % 2 == 0 ? one : other).bind(binding)
                try verify(reader.policy.bindings.count, is: Int(port))
            }
            try verify(one.policy, is: try other.policy)
            try verifyThrows(.storageUnavailable) { try reader.unbindAll() }
            try verifyThrows(.alreadyLoaded) { _ = try SocketSteering.load(into: namespace, bpffs: bpffs) }
        }
    }

    @Test("An upgrade keeps policy, sockets and counters", arguments: Flow.all)
    func upgrade(_ flow: Flow) async throws {
        try await withLoaded { namespace, bpffs in
            var server = try flow.server()
            let steering = try SocketSteering.load(into: namespace, bpffs: bpffs)
            try steering.sockets.register(server.descriptor, as: "web")
            try steering.bind(Binding(.both, to: flow.prefix, ports: [7000], .label("web")))
            try server.verifyAnswers(flow.host(1, port: 7000))
            let policy = try steering.policy
            for turn in UInt64(1)...5 {
                try SocketSteering.upgrade(in: namespace, bpffs: bpffs)
                try verify(steering.policy, is: policy)
                try server.verifyAnswers(flow.host(2, port: 7000))
                let destination = Destination("web", flow.family, flow.transport)
                try verify(steering.metrics().destinations[destination]?.lookups, is: 1 + turn)
            }
            try steering.unbindAll()
            try verify(try SocketSteering.open(namespace, bpffs: bpffs).policy.isEmpty, "the change came through")
            try server.verifyRefused(flow.host(1, port: 7000))
        }
    }

    @Test("Readers cannot take the writers' lock")
    func lockIsClosed() async throws {
        try await withLoaded { namespace, bpffs in
            _ = try SocketSteering.load(into: namespace, bpffs: bpffs, readers: 65534)
            let lock = "\(bpffs)/steering/lock-\(namespace.inode)"
            let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups"
            try verify(shell("flock -n \(lock) echo free"), is: "free\n")
            try verify(shell("\(nobody) flock -n \(lock) echo free || true").contains("denied"), "a reader may lock")
            try verify(shell("\(nobody) ls \(bpffs)/steering/\(namespace.inode)").contains("sockets"), "readers read")
        }
    }

    @Test("A writer that does not finish is named, and what it would have changed stays")
    func busy() async throws {
        try await withLoaded { namespace, bpffs in
            let pins = Pins(bpffs: bpffs, inode: namespace.inode)
            _ = try SocketSteering.load(into: namespace, bpffs: bpffs)
            let holder = try PinLock(pins)
            let error = try verifyThrows(.busy) { _ = try PinLock(pins, patience: 0) }
            try verify(error.message.hasPrefix("process \(getpid()) ("), error.message)
            holder.release()
            _ = try PinLock(pins, patience: 0)
        }
    }

    @Test("A change that was cut short is taken away by the next one")
    func leftovers() async throws {
        try await withLoaded { namespace, bpffs in
            let steering = try SocketSteering.load(into: namespace, bpffs: bpffs)
            let binding = try Binding(.tcp, to: IPPrefix("192.0.2.0/24"), ports: [80], .label("web"))
            try steering.bind(binding)
            let files = try TestFileSystem.listing(of: bpffs)
            let directory = "\(bpffs)/steering/\(namespace.inode)"
            // Killed before its generation was in force; killed while an upgrade was built.
            let pinned = try PinnedState(directory, toWrite: true)
            try pinned.save(StoredPolicy(generation: 99, namespaceCookie: 0, policy: Policy(), numbers: LabelNumbers()))
            try shell("mkdir \(bpffs)/steering/new-\(namespace.inode)")
            try verify(try SocketSteering.open(namespace, bpffs: bpffs).policy.bindings, is: [binding])
            try steering.bind(binding)
            try verify(TestFileSystem.listing(of: bpffs), is: files)
        }
    }

    @Test("An upgrade that was cut short after its one step counts, and the next change finishes it")
    func halfUpgraded() async throws {
        try await withLoaded { namespace, bpffs in
            let steering = try SocketSteering.load(into: namespace, bpffs: bpffs)
            try steering.bind(Binding(.tcp, to: IPPrefix("192.0.2.0/24"), ports: [80], .label("web")))
            let policy = try steering.policy
            try SocketSteering.upgrade(in: namespace, bpffs: bpffs)
            let files = try TestFileSystem.listing(of: bpffs)
            // As it is between the two: the link runs the draft's program.
            let place = "\(bpffs)/steering/\(namespace.inode)"
            let link = try PinnedState(place, toWrite: true).link!
            let pins = Pins(bpffs: bpffs, inode: namespace.inode)
            let former = try FormerState(place)
            let tables = try Tables(policy) { former.stored.numbers[$0]! }
            _ = try SocketSteering.replaceProgram(of: pins, link, reusing: former.maps, former.stored, tables)

            try verify(try SocketSteering.open(namespace, bpffs: bpffs, for: .reading).policy, is: policy)
            try steering.unbindAll()
            try verify(TestFileSystem.listing(of: bpffs).count, is: files.count)
            try verify(try SocketSteering.open(namespace, bpffs: bpffs).policy.isEmpty, "the change came through")
        }
    }

    @Test("What is pinned for a namespace that has ended is dead, and its number may be used again")
    func endedNamespace() async throws {
        try await withLoaded { namespace, bpffs in
            let steering = try SocketSteering.load(into: namespace, bpffs: bpffs)
            // As the kernel leaves it when the namespace ends.
            DataPlane.detach(try PinnedState("\(bpffs)/steering/\(namespace.inode)", toWrite: true).link!)
            try verifyThrows(.notLoaded) { try steering.unbindAll() }
            try verifyThrows(.notLoaded) { _ = try SocketSteering.open(namespace, bpffs: bpffs) }
            try verify(SocketSteering.load(into: namespace, bpffs: bpffs).policy.isEmpty, "a new one")
        }
    }

    @Test("Damaged, foreign, older and newer state is told apart, and unloading removes it")
    func damage() async throws {
        let damages: [(String, SteeringError.Code)] = [
            ("rm sockets", .damagedState),
            ("rm program", .damagedState),
            ("rm bindings-*", .damagedState),
            ("rm policy; bpftool map create policy type array key 4 value 8 entries 1 name wrong", .damagedState),
            ("rmdir layout-*", .damagedState),
            ("rmdir layout-*; mkdir layout-1", .olderLayout),
            ("rmdir layout-*; mkdir layout-99", .newerLayout),
            ("rmdir layout-*; mkdir layout-x", .damagedState),
        ]
        for (damage, code) in damages {
            try await withLoaded { namespace, bpffs in
                let steering = try SocketSteering.load(into: namespace, bpffs: bpffs)
                try steering.bind(Binding(.tcp, to: IPPrefix("192.0.2.0/24"), ports: [80], .label("web")))
                let directory = "\(bpffs)/steering/\(namespace.inode)"
                try shell(
                    "cd \(directory) && \(damage.replacing("map create policy", with: "map create \(directory)/policy"))"
                )
                for access in [SocketSteering.Access.reading, .changing] {
                    let error = try verifyThrows(code) {
                        _ = try SocketSteering.open(namespace, bpffs: bpffs, for: access)
                    }
                    try verify(!error.message.contains("\n"), "one sentence: \(error.message)")
                }
                if code == .newerLayout {
                    try verifyThrows(code) { try SocketSteering.upgrade(in: namespace, bpffs: bpffs) }
                }
                try SocketSteering.unload(from: namespace, bpffs: bpffs)
                try verify(TestFileSystem.listing(of: bpffs), is: ["steering/"])
            }
        }
    }

    @Test("A file system that is missing or read-only is named, with the remedy")
    func fileSystem() async throws {
        try await withNetworkNamespace {
            let namespace = try NetworkNamespace.current()
            // Where other files are, no file system is to be mounted over them.
            for (path, remedy) in [
                ("/run", "give the path of one with --bpffs (another file system is there)"),
                ("/nowhere", "mkdir -p /nowhere && mount -t bpf -o mode=0700 bpf /nowhere"),
            ] {
                let error = try verifyThrows(.storageUnavailable) {
                    _ = try SocketSteering.load(into: namespace, bpffs: path)
                }
                try verify(error.message.hasSuffix(remedy), error.message)
            }
            let readOnly = try TestFileSystem(options: "ro")
            let error = try verifyThrows(.storageUnavailable) {
                _ = try SocketSteering.load(into: namespace, bpffs: readOnly.path)
            }
            try verify(error.message.contains("remount"), error.message)
            try verify(readOnly.listing(), is: [])
        }
    }
}
