import DNSTestSupport
import SteeringDNS
import Testing

/// Lists whose names match together with all names below, and policies that give names no existence.
@Suite struct SuffixListTests {
    private static let zone = """
        $ORIGIN example.com.
        $TTL 300
        @ SOA ns1 host 1 2h 1h 2w 300
        @ NS ns1
        ns1 A 192.0.2.53
        www.there A 192.0.2.80
        text TXT text

        """

    private static func server(_ policies: String, _ files: [String: String], lists: String) throws -> InProcessServer {
        try InProcessServer(
            """
            pools: { web: 203.0.113.1/32, other: 203.0.113.2/32 }
            names:
              zones: zone
              lists: { \(lists) }
              policies:
            \(policies)
            """, files.merging(["zone": zone]) { one, _ in one })
    }

    @Test("a list of suffixes means what a policy with these suffixes means, for random zones, lists and policies")
    func sameAsSuffixes() throws {
        var random = RandomPolicies(seed: 3)
        var accepted = 0, addresses = 0
        while accepted < 200 {
            let files = random.files()
            let names = (0..<random.generator.number(1...3)).map { _ in
                (0..<random.generator.number(1...3)).map { _ in random.generator.pick(["a", "b", "c"]) }
                    .joined(separator: ".") + ".example.com"
            }
            func policy(_ condition: String) -> String {
                files.policy.replacing("select: random", with: "select: name")
                    .replacing(/answers: \d/, with: "select: name")
                    .replacing("lists: {", with: "lists: { suffixes: { file: suffixes, match: suffix }, ")
                    .replacing("policies:\n", with: "policies:\n    - { name: extra, \(condition), pool: one }\n")
            }
            let others = [
                "zone": files.zone, "inner": files.inner, "first": files.lists[0], "second": files.lists[1],
                "suffixes": names.joined(separator: "\n") + "\n", "drained": "203.0.113.9/32\n",
            ]
            // Some contradict themselves, and are refused.
            guard let listed = try? InProcessServer(policy("list: suffixes"), others),
                let written = try? InProcessServer(
                    policy("suffix: [\(names.joined(separator: ", "))]"), others)
            else { continue }
            accepted += 1
            let near = files.names.map { "\($0).example.com" } + names
            let above = near.map { String($0.drop { $0 != "." }.dropFirst()) }
            for name in Set(near + above + near.flatMap { ["z.\($0)", "y.z.\($0)"] }) {
                for type in ["A", "AAAA", "MX"] {
                    let request = Request(name, type)
                    let (one, other) = (try listed.ask(request), try written.ask(request))
                    addresses += one.addresses.count
                    #expect(one.text == other.text, "\(name) \(type) \(names)\n\(files)")
                    if one.text != other.text { return }
                }
            }
        }
        #expect(addresses > 2_000, "\(addresses)")
    }

    @Test("a name that a policy gives no existence has none for any type, unless the zone has it or names below it")
    func absent() throws {
        let server = try Self.server(
            """
                - { name: kept, exact: good.deep.example.com, pool: other }
                - { name: blocked, list: block, outcome: nxdomain }
                - { name: default, pool: web }
            """,
            [
                "block": "ads.example.com\ndeep.example.com\nthere.example.com\ntext.example.com\n"
            ], lists: "block: { file: block, match: suffix }")
        for name in ["ads", "x.ads", "y.x.ads", "x.deep", "x.good.deep", "x.there"] {
            for type in ["A", "AAAA", "MX", "TXT", "ANY"] {
                let answer = try server.ask(Request("\(name).example.com", type))
                #expect(answer.code == "NXDOMAIN" && answer.answer.isEmpty, "\(name) \(type): \(answer.text)")
                #expect(answer.text.contains(" SOA "), "\(name) \(type): \(answer.text)")
            }
        }
        // They have names below them, or records of the zone.
        for name in ["deep", "there", "text"] {
            let answer = try server.ask(Request("\(name).example.com"))
            #expect(answer.code == "NOERROR" && answer.answer.isEmpty, "\(name): \(answer.text)")
        }
        #expect(try server.ask(Request("good.deep.example.com")).addresses == ["203.0.113.2"])
        #expect(try server.ask(Request("www.there.example.com")).addresses == ["192.0.2.80"])
        #expect(try server.ask(Request("text.example.com", "TXT")).answer.count == 1)
        for name in ["ads-example.com", "xads.example.com", "other.example.com"] where name.hasSuffix(".example.com") {
            #expect(try server.ask(Request(name)).addresses == ["203.0.113.1"], "\(name)")
        }
        let explanation = "\(server.served.explain(try DNSName("x.ads.example.com"), .MX))"
        #expect(explanation.contains("NXDOMAIN") && explanation.contains("blocked matches"), "\(explanation)")
    }

    @Test("only the names of a list of single names match, and names below one that is absent are absent")
    func single() throws {
        let server = try Self.server(
            """
                - { name: blocked, list: block, outcome: nxdomain }
                - { name: default, pool: web }
            """, ["block": "ads.example.com\nx.y.example.com\n"], lists: "block: { file: block, match: exact }")
        #expect(try server.ask(Request("ads.example.com", "MX")).code == "NXDOMAIN")
        #expect(try server.ask(Request("below.ads.example.com")).code == "NXDOMAIN")
        #expect(try server.ask(Request("y.example.com")).addresses == ["203.0.113.1"])
        #expect(try server.ask(Request("z.y.example.com")).addresses == ["203.0.113.1"])
    }

    @Test("above names that policies leave to the zone's wildcard, names exist")
    func allowed() throws {
        let server = try InProcessServer(
            """
            names:
              zones: zone
              lists: { good: { file: good, match: suffix } }
              policies:
                - { name: allowed, list: good, outcome: pass }
                - { name: default, outcome: nxdomain }
            """, ["zone": Self.zone + "* A 192.0.2.99\n", "good": "good.a.example.com\n"])
        let outcomes = try ["good.a", "x.good.a", "a", "b", "x.a"].map { try server.ask(Request("\($0).example.com")) }
        #expect(outcomes.map(\.code) == ["NOERROR", "NOERROR", "NOERROR", "NXDOMAIN", "NXDOMAIN"])
        #expect(outcomes.map(\.addresses.count) == [1, 1, 0, 0, 0])
    }

    @Test(
        "a policy or list of this kind that cannot be meant is refused with its place",
        arguments: [
            ("l: { file: names, match: below }", "outcome: pass", "exact or suffix"),
            ("l: { match: suffix }", "outcome: pass", "file"),
            ("l: []", "outcome: pass", "{ file: PATH, match: suffix }"),
            ("l: names", "types: A, outcome: nxdomain", "no records of any type"),
            ("l: names", "clients: 10.0.0.0/8, outcome: nxdomain", "keep NXDOMAIN for all clients"),
            ("l: names", "ttl: 5, outcome: nxdomain", "ttl is for pools"),
            ("l: names", "outcome: gone", "pass, refuse or nxdomain"),
        ])
    func refused(list: String, policy: String, message: String) throws {
        let error = #expect(throws: NamePolicyError.self) {
            _ = try InProcessServer(
                """
                names:
                  zones: zone
                  lists: { \(list) }
                  client-subnet: use
                  policies:
                    - { name: one, list: l, \(policy) }
                    - { name: default, outcome: pass }
                """, ["zone": Self.zone, "names": "a.example.com\n"])
        }
        let text = error?.messages.first ?? ""
        #expect(text.contains(message) && text.contains("policy.yaml:"), "\(text)")
    }
}
