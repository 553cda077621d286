import Glibc
import KernelTestSupport
import Testing

@testable import Steering

/// What is read of the machine: against what is known of it, or of texts.
struct HostFactsTests {
    @Test(
        "A release begins with a version",
        arguments: [
            ("6.18.44-fc-v657", KernelVersion(6, 18, 44)), ("5.10.0-28-amd64", KernelVersion(5, 10)),
            ("6.1", KernelVersion(6, 1)), ("5.15.0+", KernelVersion(5, 15)), ("6.9-rc1", KernelVersion(6, 9)),
        ])
    func release(text: String, version: KernelVersion) {
        #expect(KernelVersion(release: text) == version)
    }

    @Test("What is no release has no version", arguments: ["", "6", "x6.1", ".", "6.x", "99999999999999999999.1"])
    func noRelease(text: String) {
        #expect(KernelVersion(release: text) == nil)
    }

    @Test("Versions sort by number, not by text")
    func order() {
        #expect(KernelVersion(5, 9) < KernelVersion(5, 10) && KernelVersion(5, 19, 1) < KernelVersion(6, 0))
        #expect(KernelVersion(6, 18, 2) < KernelVersion(6, 18, 11))
    }

    @Test("The running kernel is one that can steer", .kernel)
    func running() throws {
        #expect(try #require(HostFacts.kernelVersion) >= KernelVersion(5, 9))
    }

    @Test("Options that are set are read from a configuration")
    func options() {
        let text = "# comment\nCONFIG_INET=y\n# CONFIG_NET_NS is not set\nCONFIG_HZ=250\nCONFIG_X=\"a=b\"\nCONFIG_BAD\n"
        #expect(HostFacts.options(in: text) == ["CONFIG_INET": "y", "CONFIG_HZ": "250", "CONFIG_X": "\"a=b\""])
    }

    @Test("Locked memory is a limit before Linux 5.11 only")
    func lockedMemory() {
        var limit = rlimit()
        getrlimit(CInt(__RLIMIT_MEMLOCK.rawValue), &limit)
        #expect(
            HostFacts.mapMemoryLimit(on: KernelVersion(5, 10, 99))
                == (limit.rlim_cur == .max ? nil : UInt64(limit.rlim_cur)))
        #expect(HostFacts.mapMemoryLimit(on: KernelVersion(5, 11)) == nil)
    }

    @Test("Sysctls are those of the thread's network namespace", .kernel)
    func sysctls() async throws {
        try await withNetworkNamespace {
            try shell("ip link add a.b type veth peer name c")
            func write(_ path: String, _ value: String) throws {
                let file = OwnedDescriptor(owning: open("/proc/sys/net/ipv4/\(path)", O_WRONLY | O_CLOEXEC))
                try verify(Glibc.write(file.rawValue, value, value.utf8.count), is: value.utf8.count)
            }
            try write("ip_nonlocal_bind", "1")
            try write("conf/a.b/rp_filter", "2")
            try write("conf/all/rp_filter", "1")
            try write("conf/c/rp_filter", "0")
            try verify(HostFacts.sysctl("net.ipv4.ip_nonlocal_bind"), is: "1")
            try verify(HostFacts.sysctl("net.ipv4.conf.a/b.rp_filter"), is: "2")
            try verify(HostFacts.reversePathFilter("a.b"), is: 2)
            try verify(HostFacts.reversePathFilter("c"), is: 1)
            try verify(HostFacts.reversePathFilter("nothing"), is: nil)
        }
        #expect(HostFacts.sysctl("net.no.such") == nil)
        #expect(HostFacts.sysctl("kernel.unprivileged_bpf_disabled") != nil)
    }

    @Test(
        "Registering needs no capability on newer kernels",
        arguments: [
            (KernelVersion(5, 13), "2", [.bpf, .netAdmin]), (KernelVersion(5, 13), "0", .netAdmin),
            (KernelVersion(5, 14), "2", .bpf), (KernelVersion(5, 18), "1", .bpf), (KernelVersion(5, 18), nil, .bpf),
            (KernelVersion(5, 18), "0", []), (KernelVersion(5, 19), "2", []), (nil, "2", []),
        ] as [(KernelVersion?, String?, Capabilities)])
    func registering(version: KernelVersion?, disabled: String?, needed: Capabilities) {
        #expect(HostFacts.capabilitiesToRegister(on: version, disabled: disabled) == needed)
    }

    @Test("bpffs is told from others, and read-only from writable", .kernel)
    func fileSystems() throws {
        let probe = try Programs.path(of: "steering-probe")
        func mounted(_ arguments: String) throws -> String {
            try Programs.run("unshare --mount sh -c \"mount \(arguments) none /mnt; \(probe) file-system /mnt\"").output
        }
        #expect(try mounted("-t bpf") == "bpf true read-only false\n")
        #expect(try mounted("-t bpf -o ro") == "bpf true read-only true\n")
        #expect(try mounted("-t tmpfs -o ro") == "bpf false read-only true\n")
        #expect(FileSystem(containing: "/proc/self")?.isBPF == false)
        #expect(FileSystem(containing: "/proc/self")?.isReadOnly == false)
        #expect(FileSystem(containing: "/nowhere") == nil)
    }

    @Test("This process's capabilities are those that /proc shows", .kernel)
    func capabilities() throws {
        let own = try #require(Capabilities.effective())
        #expect(own.isSuperset(of: [.bpf, .netAdmin, .sysAdmin]))
        #expect(Capabilities([.bpf, .sysPtrace]).description == "CAP_BPF, CAP_SYS_PTRACE")
    }

    @Test("All programs of a namespace are listed in their order, with names and links", .kernel)
    func programs() async throws {
        try await withNetworkNamespace {
            let here = try NetworkNamespace.current()
            try verify(try here.attachedPrograms(), is: [])
            let first = try SocketSteering.attach()
            let one = try here.attachedPrograms()
            let second = try SocketSteering.attach()
            let two = try here.attachedPrograms()
            try verify(two.count, is: 2)
            try verify(two.first, is: one.first, "the first")
            try verify(two.allSatisfy { $0.linkID != nil && $0.name?.isEmpty == false }, "\(two)")
            try verify(two[0].linkID! < two[1].linkID!, "\(two)")
            first.detach()
            try verify(try here.attachedPrograms(), is: [two[1]])
            second.detach()
            try verify(try here.attachedPrograms(), is: [])
        }
    }
}
