import DNSTestSupport
import KernelTestSupport
import Testing

/// What `steer-dns check` prints. LoadCheckTests has what it refuses.
@Suite struct CheckTests {
    private func check(_ policy: String, _ files: [String: String]) throws -> String {
        let folder = try DNSBed.folder(policy, files)
        defer { _ = try? shell("rm -r \(folder)") }
        return try DNSBed.run("check \(folder)/policy.yaml").replacing("\(folder)/", with: "")
    }

    @Test("what is right is said in one line, and each error in one")
    func lines() throws {
        let policy = """
            pools: { web: [192.0.2.0/24, "2001:db8::/64"], four: 192.0.2.0/24 }
            names:
              zones: [zone]
              lists: { customers: customers }
              policies:
                - { name: a, list: customers, attribute: account=free, pool: four }
                - { name: default, pool: web }

            """
        let files = [
            "zone": Example.zone, "customers": "www.example.com account=free\nb.example.com account=paid\n",
        ]
        #expect(
            try check(policy, files)
                == "policy.yaml: 2 policies, 2 pools, 2 names in lists (0 MiB), zones example.com.\n")
        let wrong = policy.replacing("list: customers,", with: "exact: ns1.example.org,")
            .replacing("account=free", with: "account=gold")
        let errors = try check(wrong, files).split(separator: "\n")
        #expect(
            zip(errors, [25, 53]).allSatisfy { $0.hasPrefix("steer-dns: policy.yaml:6:\($1): the policy a ") }
                && errors.count == 2, "\(errors)")
    }

    private static let faulty =
        Example.zone + """
            out.example.org. A 192.0.2.1
            x.sub TXT "hidden"
            @ MX 20 nobody.ns1
            @ MX 30 anybody
            _sip._tcp SRV 1 2 3 alias

            """
    private static let policy =
        "pools: { web: 192.0.2.0/24 }\nnames: { zones: [zone], policies: [{ name: d, pool: web }] }\n"

    /// The warnings about the last lines of the zone.
    private static let warnings: [String] = {
        let first = faulty.split(separator: "\n", omittingEmptySubsequences: false).count - 5
        return [
            (0, "out.example.org. is outside of the zone example.com., so the record is left out; remove it, or end"),
            (
                1,
                "the TXT record of x.sub.example.com. is below the delegation of sub.example.com., which answers for it"
            ),
            (
                2,
                "the MX record of example.com. points to nobody.ns1.example.com., which has no address in this zone; write"
            ),
            (
                4,
                "the SRV record of _sip._tcp.example.com. points to alias.example.com., which is an alias; use the target"
            ),
        ].map { "zone:\(first + $0): \($1)" }
    }()

    @Test("faults with which other servers load a zone are warnings, each with its line; --strict makes them errors")
    func warnings() throws {
        let folder = try DNSBed.folder(Self.policy, ["zone": Self.faulty])
        defer { _ = try? shell("rm -r \(folder)") }
        let steerDNS = try Programs.path(of: "steer-dns")
        func check(_ options: String) throws -> (lines: [String], code: String) {
            let text = try shell("cd \(folder); \(steerDNS) check policy.yaml \(options) 2>&1; echo $?")
            let lines = text.split(separator: "\n").map(String.init)
            return (lines.dropLast(), lines.last ?? "")
        }
        let plain = try check("")
        #expect(plain.code == "0" && plain.lines.count == 5, "\(plain)")
        for (line, warning) in zip(plain.lines, Self.warnings) {
            #expect(line.hasPrefix("steer-dns: warning: \(warning)"), "\(line)")
        }
        #expect(plain.lines.last == "policy.yaml: 1 policy, 1 pool, 0 names in lists (0 MiB), zones example.com.")
        let strict = try check("--strict")
        #expect(strict.code == "1" && strict.lines.count == 4, "\(strict)")
        for (line, warning) in zip(strict.lines, Self.warnings) {
            #expect(line.hasPrefix("steer-dns: \(warning)"), "\(line)")
        }
        let json = try check("--json")
        #expect(json.code == "0" && Self.warnings.allSatisfy { json.lines.joined().contains($0) }, "\(json)")
        try Example.zone.write(toFile: "\(folder)/zone", atomically: true, encoding: .utf8)
        #expect(try check("--strict").code == "0")
    }

    @Test("a server serves a zone with faults, logs the first of them, and reloads it")
    func servedWithWarnings() throws {
        let bed = try DNSBed(Self.policy, ["zone": Self.faulty])
        #expect(try bed.server.error.contains("zone:\(Self.warnings[0].split(separator: ":")[1]): out.example.org."))
        #expect(try bed.ask(Request("mail.example.com")).addresses == ["192.0.2.25"])
        let many = (0..<100).map { "n\($0).example.org. A 192.0.2.1\n" }.joined()
        try bed.replace("zone", with: Self.faulty.replacing("192.0.2.25", with: "192.0.2.26") + many)
        try eventually("the zone is read again") {
            try bed.ask(Request("mail.example.com")).addresses == ["192.0.2.26"]
        }
        try eventually("the log says how many there are") {
            try bed.server.error.contains("84 more warnings are not logged: steer-dns check ")
        }
        #expect(try bed.server.error.contains("n15.example.org.") && !bed.server.error.contains("n16.example.org."))
    }

    @Test("a second server on an address says that the first is there")
    func secondServer() throws {
        let bed = try DNSBed()
        #expect(!(try bed.server.error.contains("another process serves")))
        let second = try DNSBed(listen: "127.0.0.1:\(bed.port)")
        #expect(
            try second.server.error.contains("another process serves 127.0.0.1:\(bed.port), too, and each gets a part"))
    }

    @Test("a list is a regular file", arguments: ["mkfifo", "mkdir", "ln -s /dev/zero"])
    func lists(maker: String) throws {
        let policy = "names: { zones: [zone], lists: { a: list }, policies: [{ name: default, outcome: pass }] }\n"
        let folder = try DNSBed.folder(policy, ["zone": Example.zone])
        defer { _ = try? shell("rm -r \(folder)") }
        try shell("\(maker) \(folder)/list")
        let steerDNS = try Programs.path(of: "steer-dns")
        let text = try shell("timeout $PATIENCE \(steerDNS) check \(folder)/policy.yaml 2>&1 || true")
        #expect(
            text.contains("list cannot be read, it is ") && text.contains("name a file, or - for standard"), "\(text)")
    }

    @Test("names of a list that lie in no zone are a warning, on standard error and in JSON")
    func foreignNames() throws {
        let policy = """
            pools: { four: 192.0.2.0/24 }
            names:
              zones: [zone]
              lists: { all: list }
              policies: [{ name: a, list: all, pool: four }, { name: default, outcome: pass }]

            """
        let folder = try DNSBed.folder(
            policy, ["zone": Example.zone, "list": "www.example.com\nwww.example.org\nwww.example.net\n"])
        defer { _ = try? shell("rm -r \(folder)") }
        let said = try DNSBed.run("check \(folder)/policy.yaml 2>&1 >/dev/null").replacing("\(folder)/", with: "")
        #expect(
            said.hasPrefix("steer-dns: warning: policy.yaml:4:12: 2 of the 3 names of the list all lie in no zone")
                && said.contains("the first www.example.org."), "\(said)")
        let json = try DNSBed.run("check --json \(folder)/policy.yaml")
        #expect(json.contains("\"warnings\"") && json.contains("2 of the 3 names"), "\(json)")
    }

    @Test("a list from standard input can be checked, but not served: a reload could not read it again")
    func standardInput() throws {
        let policy = "names: { zones: [zone], lists: { a: \"-\" }, policies: [{ name: default, outcome: pass }] }\n"
        let folder = try DNSBed.folder(policy, ["zone": Example.zone])
        defer { _ = try? shell("rm -r \(folder)") }
        let steerDNS = "echo a.example.com | timeout $PATIENCE \(try Programs.path(of: "steer-dns"))"
        #expect(try shell("\(steerDNS) check \(folder)/policy.yaml").contains("1 name in lists"))
        let served = try shell(
            "\(steerDNS) serve --policy \(folder)/policy.yaml --listen 127.0.0.1:0 2>&1 || true")
        #expect(served.contains("the list a comes from standard input") && served.contains("write it to a file"))
        #expect(!served.contains("serving"), "\(served)")
    }
}
