import Glibc
import KernelTestSupport
import Steering
import Testing

/// Sockets of other processes: a probe holds them (`steering-probe hold`), another takes them, in a
/// network namespace and processes of their own.
@Suite(.kernel)
struct ProcessSocketTests {
    /// What `command` prints, in which `take` and `take-one` begin a line and $HOLDER has these sockets.
    private func holding(_ sockets: String, _ command: String) throws -> String {
        let probe = try Programs.path(of: "steering-probe")
        return try Programs.run(
            "timeout $PATIENCE \(probe) hold \(sockets) '\(command.replacing("take", with: "\(probe) take"))'"
        ).output
    }

    /// Whether it is an error of that kind, and its sentence has these words.
    private func expect(
        _ output: String, is code: String, _ words: String..., at location: SourceLocation = #_sourceLocation
    ) {
        #expect(output.hasPrefix("{\"error\":\"\(code)\""), "\(output)", sourceLocation: location)
        for word in words { #expect(output.contains(word), "\(output)", sourceLocation: location) }
    }

    // MARK: Choosing

    @Test(
        "The only socket needs no name, and is found by protocol and address",
        arguments: [
            "tcp=127.0.0.1:80", "tcp=0.0.0.0:80", "tcp=[::1]:80", "dual=[::]:80", "udp=0.0.0.0:53", "udp=[::]:53",
        ])
    func onlyOne(socket: String) throws {
        let address = String(socket.drop { $0 != "=" }.dropFirst())
        let transport = socket.hasPrefix("udp") ? "udp" : "tcp"
        let line = "\(transport) \(address) elsewhere 0\n"
        #expect(try holding(socket, "take-one $HOLDER") == line)
        #expect(try holding(socket, "take-one $HOLDER \(transport)") == line)
        #expect(try holding(socket, "take-one $HOLDER \(transport) \(address)") == line)
    }

    @Test("Each socket comes once, though the process has several descriptors of it")
    func once() throws {
        let output = try holding("tcp=127.0.0.1:80 udp=[::1]:53 again again", "take $HOLDER")
        #expect(output == "tcp 127.0.0.1:80 elsewhere 0\nudp [::1]:53 elsewhere 0\n")
    }

    @Test("Connections, plain and Multipath sockets beside it do not disturb")
    func beside() throws {
        let others = "udp=127.0.0.1:9 udp-to=127.0.0.1:9 tcp-to=127.0.0.1:80 bound=127.0.0.1:7 mptcp=127.0.0.1:8"
        let output = try holding("tcp=127.0.0.1:80 \(others)", "take-one $HOLDER tcp")
        #expect(output == "tcp 127.0.0.1:80 elsewhere 0\n")
    }

    @Test("A SO_REUSEPORT group is one candidate, and comes whole", arguments: ["tcp", "udp"])
    func group(transport: String) throws {
        let output = try holding(
            [String](repeating: "\(transport)+=0.0.0.0:80", count: 3).joined(separator: " "), "take-one $HOLDER")
        #expect(output == String(repeating: "\(transport) 0.0.0.0:80 elsewhere 0\n", count: 3))
    }

    @Test("Members of the group that other processes hold are counted")
    func partOfAGroup() throws {
        let probe = try Programs.path(of: "steering-probe")
        let inner = "\(probe) hold tcp+=[::]:80 \"take-one \\$HOLDER\""
        #expect(try holding("tcp+=[::]:80 tcp+=[::]:80 tcp=127.0.0.1:81", inner) == "tcp [::]:80 elsewhere 2\n")
    }

    @Test("Several candidates are all listed")
    func ambiguous() throws {
        let output = try holding("tcp=127.0.0.1:80 tcp+=[::1]:81 tcp+=[::1]:81 udp=127.0.0.1:53", "take-one $HOLDER")
        expect(
            output, is: "ambiguousSocket", "has 3 sockets", "tcp 127.0.0.1:80",
            "tcp [::1]:81 (2 sockets, SO_REUSEPORT)",
            "udp 127.0.0.1:53", "name one by protocol and address")
        let byProtocol = try holding("tcp=127.0.0.1:80 tcp=[::1]:81 udp=127.0.0.1:53", "take-one $HOLDER tcp")
        expect(byProtocol, is: "ambiguousSocket", "has 2 sockets")
        #expect(!byProtocol.contains("udp"))
    }

    @Test("Another address or protocol than it has: what it has is said")
    func otherAddress() throws {
        let output = try holding("tcp=0.0.0.0:80", "take $HOLDER tcp 127.0.0.1:80")
        expect(output, is: "socketNotFound", "no socket tcp 127.0.0.1:80", "but tcp 0.0.0.0:80")
        expect(
            try holding("tcp=0.0.0.0:80", "take $HOLDER udp"), is: "socketNotFound", "no socket udp, but tcp 0.0.0.0:80"
        )
    }

    @Test("A process without a socket to steer to: what it has instead is said")
    func instead() throws {
        expect(
            try holding("mptcp=0.0.0.0:80", "take $HOLDER"), is: "multipathTCP",
            "listens on 0.0.0.0:80 by Multipath TCP", "multipathtcp=0")
        expect(
            try holding("mptcp=0.0.0.0:80 udp=0.0.0.0:80", "take $HOLDER tcp"), is: "multipathTCP", "multipathtcp=0")
        expect(
            try holding("udp-to=127.0.0.1:9 bound=127.0.0.1:7", "take $HOLDER"), is: "socketNotFound",
            "a connected socket on 127.0.0.1", "a TCP socket that does not listen", "give the process that listens")
        expect(try holding("again", "take $HOLDER"), is: "socketNotFound", "has no TCP or UDP socket")
    }

    @Test("A process of another network namespace is told apart")
    func otherNamespace() throws {
        let output = try holding("tcp=0.0.0.0:80", "unshare -n take $HOLDER")
        expect(output, is: "foreignNetworkNamespace", "tcp 0.0.0.0:80", "/ns/net")
    }

    // MARK: Processes that cannot be asked

    @Test("A number that is no process", arguments: ["0", "-1", "-2147483648"])
    func noNumber(pid: String) throws {
        expect(try holding("again", "take \(pid)"), is: "processUnavailable", "which is positive")
    }

    @Test("A process that is gone, or has ended and was not waited for")
    func gone() throws {
        expect(try holding("again", "true & p=$!; wait $p; take $p"), is: "processUnavailable", "there is no process")
        let zombie = try holding("zombie", "take $ZOMBIE")
        expect(zombie, is: "processUnavailable", "ended")
    }

    @Test("A thread is named as such, with its process")
    func thread() throws {
        let pid = getpid()
        let done = ThreadResult<Void>()
        let number = ThreadResult<String>()
        runOnThread {
            var link = [CChar](repeating: 0, count: 64)
            readlink("/proc/thread-self", &link, link.count - 1)
            let path = String(decoding: link.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
            number.finish(String(path.split(separator: "/").last!))
            done.wait()
        }
        defer { done.finish(()) }
        expect(
            try holding("again", "take \(number.wait())"), is: "processUnavailable", "is a thread",
            "give \(pid), the process that it belongs to")
    }

    @Test("Another user's process without CAP_SYS_PTRACE")
    func otherUser() throws {
        let output = try holding("tcp=0.0.0.0:80", "setpriv --reuid 65534 --clear-groups take $HOLDER")
        expect(output, is: "processUnavailable", "it belongs to user 0", "has no CAP_SYS_PTRACE", "run as root")
    }

    @Test("One's own process with more capabilities")
    func moreCapabilities() throws {
        let output = try holding("tcp=0.0.0.0:80", "setpriv --bounding-set -sys_ptrace take $HOLDER")
        expect(output, is: "processUnavailable", "capabilities that this process lacks", "SYS_PTRACE")
    }

    /// A holder of user 65533 and a taker of user 65534 with these capabilities.
    private func acrossUsers(_ capabilities: String) throws -> String {
        let probe = try Programs.path(of: "steering-probe")
        func user(_ number: Int, _ capabilities: String) -> String {
            "setpriv --reuid \(number) --clear-groups --inh-caps -all\(capabilities) --ambient-caps -all\(capabilities)"
        }
        // The holder has what its child needs to become the taker.
        let holder = user(65533, ",+sys_ptrace,+dac_read_search,+setuid,+setgid")
        return try Programs.run(
            "\(holder) \(probe) hold tcp=127.0.0.1:8080 \"\(user(65534, capabilities)) \(probe) take \\$HOLDER\""
        ).output
    }

    @Test("CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH suffice for another user's process")
    func sufficientCapabilities() throws {
        #expect(try acrossUsers(",+sys_ptrace,+dac_read_search") == "tcp 127.0.0.1:8080 elsewhere 0\n")
        expect(
            try acrossUsers(",+sys_ptrace"), is: "processUnavailable", "user 65533",
            "this process has no CAP_DAC_READ_SEARCH")
        expect(try acrossUsers(",+dac_read_search"), is: "processUnavailable", "this process has no CAP_SYS_PTRACE;")
    }

    @Test("A kernel or a filter without the calls", arguments: ["pidfd_open", "pidfd_getfd"])
    func withoutCalls(call: String) throws {
        let strace = "strace -f -qq -o /dev/null -e trace=\(call) -e inject=\(call):error="
        expect(
            try holding("tcp=0.0.0.0:80", strace + "ENOSYS take $HOLDER"), is: "processUnavailable", "no \(call)", "5.6"
        )
    }

    @Test("Root that a filter refuses is not told to become root")
    func filter() throws {
        let strace = "strace -f -qq -o /dev/null -e trace=pidfd_getfd -e inject=pidfd_getfd:error=EPERM"
        expect(
            try holding("tcp=0.0.0.0:80", strace + " take $HOLDER"), is: "processUnavailable", "seccomp",
            "let the server register itself")
    }

    // MARK: What is taken is the socket itself

    @Test("The duplicate is the same socket, steers, and keeps it open", arguments: Flow.all)
    func steers(flow: Flow) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let server = try flow.socket()
            let taken = try ProcessSocket.onlySocket(of: getpid())
            try verify(taken.map(\.cookie.rawValue), is: [server.cookie], "cookies")
            try verify(taken[0].boundAddress, is: server.address)
            let steering = try SocketSteering.attach()
            try steering.bind("web", .both, to: flow.pool, ports: [7000])
            try steering.sockets.register(taken[0].socket, as: "web")
            let target = flow.host(9, port: 7000)
            try verify(try Traffic.deliver(flow.transport, to: target, among: [server]), is: .to(0), "delivery")
            try server.close()
            try verify(try steering.sockets.list().map(\.cookie), is: taken.map(\.cookie), "after the owner's close")
        }
    }
}
