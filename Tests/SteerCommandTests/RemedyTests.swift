import KernelTestSupport
import Steering
import Testing

/// Every remedy that the doctor prints: the fault is made, the remedy is run by sh as it is printed, and the finding is
/// gone. A kind of remedy without a fault here does not compile.
@Suite(.kernel)
struct RemedyTests {
    @Test("In the caller's own namespace it mends", arguments: Remedy.Kind.allCases)
    func here(_ kind: Remedy.Kind) async throws {
        try await withBed(loaded: false) { bed in try Self.mend(kind, RemedyScene(bed, isOutside: false)) }
    }

    @Test(
        "In another namespace it mends that one, and changes nothing of the caller's", arguments: Remedy.Kind.allCases)
    func elsewhere(_ kind: Remedy.Kind) async throws {
        // Of file systems there is one for all.
        if [.mountFileSystem, .remountWritable, .enterMountNamespace].contains(kind) { return }
        try await withBed(loaded: false) { bed in
            let scene = try RemedyScene(bed, isOutside: true)
            try Self.mend(kind, scene)
            _ = try? scene.steer("unload")
        }
    }

    private static func mend(_ kind: Remedy.Kind, _ scene: RemedyScene) throws {
        switch kind {
        case .load: try scene.mend("loaded", "steer load")
        case .upgrade: try upgrade(scene)
        case .loadAnew: try loadAnew(scene)
        case .apply: try apply(scene)
        case .bind: try bind(scene)
        case .register: try register(scene)
        case .unregister: try unregister(scene)
        case .removeStalePins: try removeStalePins(scene)
        case .mountFileSystem: try mount(scene)
        case .remountWritable: try remount(scene)
        case .enterMountNamespace: try enter(scene)
        case .routeHere: try route(scene)
        case .bindNonlocal: try bindNonlocal(scene)
        case .filterLoosely: try filterLoosely(scene)
        case .migrateRequests: try migrate(scene)
        case .reservePorts: try reservePorts(scene)
        }
    }

    /// Loads, binds 192.0.2.0/24 port 80, and registers a server.
    private static func serve(_ scene: RemedyScene) throws -> Background {
        try scene.steer("load")
        try scene.steer("bind web tcp 192.0.2.0/24 80")
        let server = try scene.server(port: 8080)
        try scene.bed.steer("register web --pid \(server.pid)")
        try verify(scene.findings().map(\.message), is: [])
        return server
    }

    /// No connection is lost while pins are missing, nor while they are made anew.
    private static func upgrade(_ scene: RemedyScene) throws {
        let server = try serve(scene)
        for pin in ["program", "grace", "token"] {
            try scene.withoutLoss {
                try scene.shell("rm \(scene.bed.bpffs.path)/steering/*/\(pin)")
                try scene.mend("loaded", "steer upgrade")
            }
            let bound = scene.isOutside ? try scene.steer("bindings --json") : try scene.bed.inForce().joined()
            try verify(bound.contains("web"), bound)
        }
        _ = server
    }

    /// What is not attached any more serves nobody.
    private static func loadAnew(_ scene: RemedyScene) throws {
        let server = try serve(scene)
        // What could still be upgraded is not taken away, nor what a program depends on that is attached.
        try scene.shell("mv \(scene.bed.bpffs.path)/steering/[0-9]*/registrations \(scene.bed.bpffs.path)/kept")
        let kept = try scene.findings().filter { $0.subject == "loaded" }
        try verify(kept.map(\.remedy), is: [nil])
        try scene.shell("mv \(scene.bed.bpffs.path)/kept $(echo \(scene.bed.bpffs.path)/steering/[0-9]*)/registrations")
        try verify(scene.findings().map(\.message), is: [])
        try scene.shell("rm \(scene.bed.bpffs.path)/steering/*/link")
        try scene.mend("loaded", "steer unload")
        _ = server
    }

    private static func apply(_ scene: RemedyScene) throws {
        let server = try serve(scene)
        let file = try scene.bed.write(scene.bed.policy("web", "80,81"), to: "with space.yaml")
        try scene.withoutLoss { try scene.mend("policy", "steer apply", "--policy '\(file)'") }
        _ = server
    }

    private static func bind(_ scene: RemedyScene) throws {
        try scene.steer("load")
        try scene.steer("bind web tcp 192.0.2.0/25 80")
        let server = try scene.server(port: 8080)
        try scene.bed.steer("register web --pid \(server.pid)")
        let file = try scene.bed.write(
            """
            pools: { web: 192.0.2.0/24 }
            names: { zones: [nowhere.zone], policies: [{ name: default, pool: web, ttl: 30 }] }
            bindings: [{ label: web, protocols: tcp, prefixes: 192.0.2.0/25, ports: 80 }]
            """, to: "names.yaml")
        try scene.withoutLoss { try scene.mend("names", "steer bind", "--policy \(file)") }
    }

    /// A label without a socket, and a member of a group that is not registered.
    private static func register(_ scene: RemedyScene) throws {
        try scene.steer("load")
        try scene.steer("bind web tcp 192.0.2.0/24 80")
        let members = """
            import sys, time
            from socket import *
            def member():
                s = socket(); s.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1); s.bind(('127.0.0.1', 8080)); s.listen(); return s
            """
        let first = try scene.python("\(members)\nall = [member()]; print('ready'); time.sleep(600)")
        try scene.mend(
            "sockets", "steer register", blanks: ["PID": "\(first.pid)", "ADDRESS:PORT": "127.0.0.1:8080"])
        let second = try scene.python("\(members)\nall = [member()]; print('ready'); time.sleep(600)")
        try scene.mend("groups", "steer register web --pid \(second.pid)")
        try verify(try scene.steer("sockets").contains("(stand-in)"), "a stand-in")
    }

    private static func unregister(_ scene: RemedyScene) throws {
        try scene.steer("load")
        try scene.steer("bind web tcp 192.0.2.0/24 80")
        let server = try scene.python(
            """
            import signal
            from socket import *
            def member():
                s = socket(); s.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1); s.bind(('127.0.0.1', 8080)); s.listen(); return s
            gone, stays = member(), member()
            signal.signal(signal.SIGUSR1, lambda *_: gone.shutdown(SHUT_RD))
            print('ready')
            while True:
                c = stays.accept()[0]
                c.sendall(b'here'); c.close()
            """)
        try scene.bed.steer("register web --pid \(server.pid)")
        try server.signal("USR1")
        try eventually("a finding") { try scene.findings().contains { $0.subject == "sockets" } }
        try scene.withoutLoss { try scene.mend("sockets", "--cookie") }
    }

    private static func removeStalePins(_ scene: RemedyScene) throws {
        let server = try serve(scene)
        let process = try Background("unshare -n sleep 600", in: scene.bed)
        let own = try KernelTestSupport.shell("stat -Lc %i /proc/thread-self/ns/net")
        try eventually("its namespace") {
            try KernelTestSupport.shell("stat -Lc %i /proc/\(process.pid)/ns/net") != own
        }
        try scene.bed.steer("load --netns \(process.pid)")
        try process.signal("KILL")
        _ = try process.exitCode()
        try eventually("the end of the namespace") { try scene.findings().contains { $0.subject == "pins" } }
        try scene.withoutLoss { try scene.mend("pins", "steer doctor --fix") }
        _ = server
    }

    private static func mount(_ scene: RemedyScene) throws {
        let path = "\(scene.bed.folder)/not there/bpf"
        try scene.mend("bpffs", "mount -t bpf -o mode=0700 bpf", "--bpffs '\(path)'")
        defer { _ = try? KernelTestSupport.shell("umount '\(path)'") }
        try verify(try KernelTestSupport.shell("stat -c %a '\(path)'"), is: "1700\n")
        // Over other files none is mounted.
        let over = try scene.findings("--bpffs /run").filter { $0.subject == "bpffs" }
        try verify(over.map(\.remedy), is: [nil])
        try verify(over[0].severity, is: "broken")
    }

    private static func remount(_ scene: RemedyScene) throws {
        let readOnly = try TestFileSystem(options: "ro")
        try scene.mend("bpffs", "remount,rw", "--bpffs \(readOnly.path)")
    }

    /// `ip netns exec` hides the machine's BPF file system; the remedy uses it, and loads nothing beside it.
    private static func enter(_ scene: RemedyScene) throws {
        let name = "steering-\(UInt64.random(in: 0...UInt64.max))"
        let folder = scene.bed.folder
        let session = try scene.bed.write(
            """
            set -e
            steer doctor > \(folder)/before || true
            sed -n '/\\[bpffs\\]/{n;p}' \(folder)/before > \(folder)/remedy
            steer load 2> \(folder)/refusal && exit 1
            sh \(folder)/remedy > \(folder)/after || true
            """, to: "session")
        // Process 1 is a shell that has the file system where it belongs.
        let machine = try scene.bed.write(
            """
            set -e
            mount -t bpf -o mode=0700 bpf /sys/fs/bpf
            ip netns add \(name)
            trap 'ip netns delete \(name)' EXIT
            ip netns exec \(name) sh \(session)
            """, to: "machine")
        let run = try scene.run("exec unshare --pid --fork --mount --mount-proc --net sh \(machine)")
        try verify(run.exitCode == 0 && run.error.isEmpty, "\(run)")
        let remedy = try KernelTestSupport.shell("cat \(folder)/remedy")
        try verify(remedy, is: "    nsenter --mount=/proc/1/ns/mnt steer doctor\n")
        let after = try KernelTestSupport.shell("cat \(folder)/after")
        try verify(after.contains("[loaded]") && !after.contains("[bpffs]"), after)
        let refusal = try KernelTestSupport.shell("cat \(folder)/refusal")
        try verify(refusal.contains("nsenter --mount=/proc/1/ns/mnt"), refusal)
    }

    private static func route(_ scene: RemedyScene) throws {
        let server = try serve(scene)
        try scene.steer("bind web tcp 198.51.100.0/24 2001:db8:1::/64 80")
        let other = try scene.python(
            "from socket import *\ns = create_server(('::1', 8080), family=AF_INET6); print('ready')\nwhile True: s.accept()"
        )
        try scene.bed.steer("register web --pid \(other.pid) tcp '[::1]:8080'")
        try scene.withoutLoss { try scene.mend("routes", "route add local") }
        try verify(try scene.shell("ip route get 198.51.100.7").contains("local"), "routed")
        _ = server
    }

    /// A server of UDP over IPv6 that answers from where it was asked, which it may not before.
    private static func bindNonlocal(_ scene: RemedyScene) throws {
        try scene.steer("load")
        try scene.steer("bind dns udp 2001:db8::/64 53")
        let server = try scene.python(
            """
            from socket import *
            s = socket(AF_INET6, SOCK_DGRAM); s.setsockopt(IPPROTO_IPV6, IPV6_RECVPKTINFO, 1); s.bind(('::', 53))
            print('ready')
            while True:
                data, control, _, client = s.recvmsg(99, 99)
                try: s.sendmsg([data], control, 0, client)
                except OSError as error: print(error)
            """)
        let registered = try scene.bed.run("register dns --pid \(server.pid)")
        try verify(registered.exitCode == 0 && registered.error.contains("IPV6_FREEBIND"), "\(registered)")
        let client = try scene.start(
            "\(Bed.python) -u \(scene.bed.write(Self.asking, to: "client.py"))")
        try eventually("the server tries") { try server.output.contains("Invalid argument") }
        try verify(client.output, is: "", "what is answered before")
        try scene.mend("answers", "net.ipv6.ip_nonlocal_bind=1")
        try eventually("an answer") { try client.output == "b'x'\n" }
    }

    /// Asks until it is answered.
    private static let asking = """
        from socket import *
        s = socket(AF_INET6, SOCK_DGRAM); s.connect(('2001:db8::7', 53)); s.settimeout(0.2)
        while True:
            s.send(b'x')
            try: print(s.recv(9)); break
            except TimeoutError: pass
        """

    private static func filterLoosely(_ scene: RemedyScene) throws {
        let server = try serve(scene)
        try scene.shell("ip link add v0.1 type veth peer name v1; sysctl -q -w net.ipv4.conf.v0/1.rp_filter=1")
        try scene.mend("rp_filter", "rp_filter=2")
        _ = server
    }

    private static func migrate(_ scene: RemedyScene) throws {
        try scene.steer("load")
        try scene.steer("bind web tcp 192.0.2.0/24 80")
        let server = try scene.python(
            """
            import time
            from socket import *
            def member():
                s = socket(); s.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1); s.bind(('127.0.0.1', 8080)); s.listen(); return s
            all = [member(), member()]
            print('ready'); time.sleep(600)
            """)
        try scene.bed.steer("register web --pid \(server.pid)")
        try scene.mend("tcp_migrate_req", "tcp_migrate_req=1")
    }

    private static func reservePorts(_ scene: RemedyScene) throws {
        try scene.steer("load")
        try scene.shell("ip addr add 192.0.2.1/32 dev lo; sysctl -q -w net.ipv4.ip_local_reserved_ports=8080")
        let bound = try scene.bed.run("bind --refuse udp 192.0.2.0/24 40000-40009\(scene.options)")
        try verify(bound.exitCode == 0 && bound.error.contains("40000-40009"), "\(bound)")
        try scene.mend("clients", "ip_local_reserved_ports=8080,40000-40009")
        try verify(try scene.shell("sysctl -n net.ipv4.ip_local_reserved_ports"), is: "8080,40000-40009\n")
    }
}
