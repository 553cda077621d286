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
            errors.count == 2 && errors.allSatisfy { $0.hasPrefix("steer-dns: policy.yaml:6:7: the policy a ") },
            "\(errors)")
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
    func warnings() throws {
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
            said.hasPrefix("warning: policy.yaml:4:12: 2 of the 3 names of the list all lie in no zone")
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
