import DNSTestSupport
import KernelTestSupport
import Testing

/// steer-dns needs nothing of the kernel half, and no privilege but its port's.
@Suite struct LeastPrivilegeTests {
    @Test("steer-dns is linked without libbpf, and without the half that needs it")
    func linkage() throws {
        let dns = try Programs.path(of: "steer-dns"), steer = try Programs.path(of: "steer")
        func symbols(_ program: String) throws -> Int {
            Int(try shell("nm \(program) | grep -c ' $s8Steering' || true").dropLast())!
        }
        #expect(try !shell("ldd \(dns)").contains("libbpf") && shell("ldd \(steer)").contains("libbpf"))
        #expect(try symbols(dns) == 0 && symbols(steer) > 0)
        #expect(try shell("nm \(dns) | grep -ci ' bpf_\\|csteering_' || true") == "0\n")
    }

    /// What /proc says of all threads: users, groups, capabilities.
    private func rights(_ bed: DNSBed) throws -> Set<Substring> {
        let text = try bed.server.threads("status")
        return Set(
            text.split(separator: "\n").filter { line in
                ["Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapAmb"].contains { line.hasPrefix($0 + ":") }
            })
    }

    @Test("--user gives up everything once the port is bound, and policies are still read again", .kernel)
    func user() throws {
        let bed = try DNSBed(options: "--user nobody", listen: "127.0.0.53:53")
        #expect(
            try rights(bed) == [
                "Uid:\t65534\t65534\t65534\t65534", "Gid:\t65534\t65534\t65534\t65534", "Groups:\t ",
                "CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
                "CapAmb:\t0000000000000000",
            ])
        #expect(try bed.ask(Request("www.example.com")).addresses == [Example.web])
        try bed.replace("policy.yaml", with: Example.policy.replacing("203.0.113.7", with: "203.0.113.8"))
        try eventually("the policy is read again") {
            try bed.askBoth([Request("www.example.com")])[0].udp.addresses == ["203.0.113.8"]
        }
    }

    private func nobody(_ capabilities: String) -> String {
        "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps -all\(capabilities) --ambient-caps -all\(capabilities) --bounding-set -all\(capabilities)"
    }

    @Test("CAP_NET_BIND_SERVICE is all that port 53 needs, and other ports need nothing", .kernel)
    func capability() throws {
        let bed = try DNSBed(listen: "127.0.0.54:53", under: nobody(",+net_bind_service"))
        #expect(try bed.ask(Request("www.example.com")).addresses == [Example.web])
        #expect(try rights(bed).contains("CapEff:\t0000000000000400"))
        let high = try DNSBed(under: nobody(""))
        #expect(try high.ask(Request("www.example.com")).addresses == [Example.web])
        #expect(try rights(high).contains("CapEff:\t0000000000000000"))
        let error = #expect(throws: Unmet.self) { try DNSBed(listen: "127.0.0.55:53", under: nobody("")) }
        #expect(error!.description.hasPrefix("steer-dns: cannot listen on 127.0.0.55:53 (Permission denied): "))
        #expect(error!.description.contains("CAP_NET_BIND_SERVICE"))
    }

    @Test("a user who is not there, and one whom one may not become, are named", .kernel)
    func users() throws {
        let none = #expect(throws: Unmet.self) { try DNSBed(options: "--user no-such-user") }
        #expect(none!.description.contains("no user no-such-user"))
        let other = #expect(throws: Unmet.self) { try DNSBed(options: "--user daemon", under: nobody("")) }
        #expect(other!.description.contains("cannot become the user daemon"))
    }
}
