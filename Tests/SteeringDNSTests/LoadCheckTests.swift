import DNSTestSupport
import SteeringDNS
import Testing

/// Policies that are refused when they are loaded: each error names the lines.
@Suite struct LoadCheckTests {
    /// Lines from 6 on are policies.
    private func check(_ policies: [String], files: [String: String] = [:]) throws -> String {
        let text = """
            pools: { web: [192.0.2.0/24, "2001:db8::/64"], four: 192.0.2.0/24, six: "2001:db8::/64", drained: { prefixes: 192.0.2.0/24, drained-from: drained } }
            names:
              zones: [zone]
              lists: { customers: customers, none: none }
              policies:

            """
        let lists = ["customers": "www.example.com account=free\nb.example.com account=paid\n", "none": "# nobody\n"]
        return try NamePolicyFile.errors(
            of: text + policies.map { "    - { \($0) }\n" }.joined(),
            (["zone": Example.zone, "drained": "192.0.2.0/24\n"].merging(lists) { $1 }).merging(files) { $1 })
    }

    private static let last = "name: default, pool: web"

    /// Each error is one line that begins with the place of the later policy, and has the line of the other.
    private func expect(_ policies: [String], _ errors: (line: Int, parts: [String])...) throws {
        let text = try check(policies)
        let lines = text.split(separator: "\n")
        try #require(lines.count == errors.count, "\(errors.count) errors: \(text)")
        for (line, error) in zip(lines, errors) {
            #expect(line.hasPrefix("policy.yaml:\(error.line):"), "line \(error.line): \(line)")
            for part in error.parts { #expect(line.contains(part), "\(part) in: \(line)") }
        }
    }

    @Test(
        "a policy behind one that matches all that it matches is named with that",
        arguments: [
            ("name: a, pool: web", "name: b, suffix: example.com, pool: four"),
            ("name: a, suffix: example.com, pool: web", "name: b, exact: www.example.com, pool: four"),
            ("name: a, suffix: example.com, pool: web", "name: b, suffix: [a.example.com, b.example.com], pool: four"),
            ("name: a, suffix: a.example.com, pool: web", "name: b, suffix: A.Example.com, types: A, pool: four"),
            ("name: a, list: customers, pool: web", "name: b, list: customers, attribute: account=free, pool: four"),
            (
                "name: a, attribute: account=free, pool: web",
                "name: b, list: customers, attribute: account=free, pool: four"
            ),
            ("name: a, clients: 10.0.0.0/8, pool: web", "name: b, clients: [10.1.0.0/16, 10.2.0.0/16], pool: four"),
            ("name: a, clients: [10.0.0.0/9, 10.128.0.0/9], pool: web", "name: b, clients: 10.0.0.0/8, pool: four"),
            ("name: a, types: A, pool: web", "name: b, types: A, site: x, pool: four"),
        ])
    func shadowed(first: String, second: String) throws {
        let text = try check([first, second, Self.last])
        #expect(text.hasPrefix("policy.yaml:7:"), "\(text)")
        #expect(text.contains("b never decides, since a on line 6"), "\(text)")
    }

    @Test("behind a pool that may be drained another policy may be for the same queries, and behind others it may not")
    func fallback() throws {
        let drained = "name: a, suffix: example.com, pool: drained"
        #expect(try check([drained, "name: b, suffix: example.com, pool: four", Self.last]) == "")
        #expect(try check([drained, Self.last]) == "")
        try expect(
            [
                drained, "name: b, suffix: example.com, pool: web", "name: c, exact: c.example.com, pool: web",
                Self.last,
            ],
            (8, ["c never decides, since b on line 7"]))
    }

    @Test(
        "a policy that can answer nothing says why",
        arguments: [
            ("name: a, types: AAAA, pool: four", "no address of IPv6"),
            ("name: a, types: A, pool: six", "no address of IPv4"),
            ("name: a, attribute: account=gold, pool: web", "account=gold"),
            ("name: a, list: none, pool: web", "the list has no names"),
            ("name: a, list: none, attribute: account=free, pool: web", "account=free"),
        ])
    func unsatisfiable(policy: String, why: String) throws {
        try expect([policy, Self.last], (6, ["the policy a can", "nothing", why]))
    }

    @Test(
        "an exclusive policy that overlaps with another is named with that",
        arguments: [
            (
                "name: a, suffix: x.example.com, types: A, exclusive: true, pool: web",
                "name: b, suffix: example.com, pool: four"
            ),
            ("name: a, exact: www.example.com, pool: web", "name: b, list: customers, exclusive: true, pool: four"),
            ("name: a, clients: 10.1.0.0/16, pool: web", "name: b, clients: 10.0.0.0/8, exclusive: true, pool: four"),
            (
                "name: a, attribute: account=free, pool: web",
                "name: b, attribute: region=eu, exclusive: true, pool: four"
            ),
        ])
    func overlapping(first: String, second: String) throws {
        let text = try check([first, second, Self.last])
        #expect(text.hasPrefix("policy.yaml:7:"))
        #expect(text.contains("b overlaps with a on line 6") && text.contains("is exclusive"))
    }

    @Test("exclusive policies that cannot meet are right, and the last may meet all")
    func disjoint() throws {
        let text = try check([
            "name: a, suffix: a.example.com, exclusive: true, pool: web",
            "name: b, exact: b.example.com, exclusive: true, pool: web",
            "name: c, suffix: c.example.com, types: A, exclusive: true, pool: web",
            "name: d, suffix: c.example.com, types: AAAA, exclusive: true, pool: web",
            "name: e, suffix: e.example.com, clients: 10.0.0.0/8, exclusive: true, pool: web",
            "name: f, suffix: e.example.com, clients: 192.0.2.0/24, exclusive: true, pool: web", Self.last,
        ])
        #expect(text == "")
    }

    @Test("what is not there is named where it is wanted")
    func missing() throws {
        try expect(["name: a, pool: wbe", Self.last], (6, ["wbe"]))
        try expect(["name: a, list: customer, pool: web", Self.last], (6, ["there is no list", "customer"]))
        try expect(
            ["name: a, exact: www.example.org, pool: web", Self.last], (6, ["www.example.org.", "lies in no zone"]))
        try expect(
            ["name: a, suffix: example.org, pool: web", Self.last], (6, ["example.org.", "there is no zone"]))
        try expect(
            ["name: a, exact: ns1.example.com, pool: web", Self.last],
            (6, ["ns1.example.com.", "a zone has an address"]))
        try expect(
            ["name: a, exact: alias.example.com, pool: web", Self.last], (6, ["alias.example.com.", "CNAME"]))
        try expect(
            ["name: a, exact: x.sub.example.com, pool: web", Self.last], (6, ["x.sub.example.com.", "delegates"]))
    }

    @Test(
        "the last policy matches everything",
        arguments: [
            "name: z, suffix: example.com, pool: web", "name: z, types: A, pool: web", "name: z, site: x, pool: web",
            "name: z, clients: 10.0.0.0/8, pool: web",
        ])
    func noDefault(policy: String) throws {
        try expect(["name: a, exact: a.example.com, pool: web", policy], (7, ["the last policy, z,", "every query"]))
    }

    @Test("nothing is called like another of its kind")
    func repeated() throws {
        try expect(
            ["name: a, exact: a.example.com, pool: web", "name: a, exact: b.example.com, pool: web", Self.last],
            (7, ["line 6", "also named a"]))
        // A key that is there twice is named where it is for the second time.
        for (line, text) in [
            (1, "pools: { web: 192.0.2.0/24, web: 192.0.3.0/24 }\nnames: {}\n"),
            (5, "names:\n  zones: [zone]\n  lists:\n    a: zone\n    a: other\n  policies: []\n"),
            (3, "names:\n  zones: [zone]\n  zones: [other]\n"), (2, "names: {}\nnames: {}\n"),
        ] {
            let error = try Self.checkAlone(text)
            #expect(error.hasPrefix("policy.yaml:\(line):") && error.contains("in the same mapping already"))
        }
        let zones = try Self.checkAlone(
            "names:\n  zones:\n    - zone\n    - { file: again, origin: Example.com }\n  policies: [{ name: default, outcome: pass }]\n"
        )
        #expect(zones.hasPrefix("policy.yaml:4:") && zones.contains("is there already"))
    }

    private static func checkAlone(_ policy: String) throws -> String {
        try NamePolicyFile.errors(of: policy, ["zone": Example.zone, "again": Example.zone])
    }

    @Test(
        "an asterisk in a name is refused, with what to write instead",
        arguments: [
            ("exact: '*.example.com'", "write suffix: example.com"),
            ("suffix: '*.b.example.com'", "write suffix: b.example.com"),
            ("exact: api-*.example.com", "write the names in a list"),
            ("exact: [www.example.com, 'a.*.example.com']", "asterisk"),
        ])
    func asterisks(condition: String, remedy: String) throws {
        let text = try check(["name: a, \(condition), pool: web", Self.last])
        #expect(text.hasPrefix("policy.yaml:6:") && !text.contains("\n"), "\(text)")
        #expect(text.contains("stands for nothing") && text.contains(remedy), "\(text)")
    }

    @Test("a fault is told with line and column of its place: of the second of two, of the name, of the key")
    func columns() throws {
        try expectPlaces(
            [
                "name: a, exact: [www.example.com, www.example.org], pool: web",
                "name: a, exact: x.example.com, pool: four", "name: b, types: AAAA, pool: four",
                "name: c, exact: x.example.com, pool: six", Self.last,
            ], ["7:15", "8:37", "9:7"])
        try expectPlaces(
            [
                "name: a, exact: [www.example.com, www.example.org], pool: web", "name: l, list: none, pool: web",
                Self.last,
            ], ["6:43", "7:24"])
    }

    private func expectPlaces(_ policies: [String], _ places: [String]) throws {
        let lines = try check(policies).split(separator: "\n")
        #expect(lines.count == places.count, "\(lines)")
        for (line, place) in zip(lines, places) { #expect(line.hasPrefix("policy.yaml:\(place): "), "\(line)") }
    }

    @Test(
        "a file of clients says its own lines",
        arguments: [
            ("10.0.0.0/8\n10.0.0.1/8\n", "eu:2:1: "), ("# none\n\n", "policy.yaml:6:"),
            ("192.0.2.0/24\n  ::ffff:192.0.2.0/120\n", "eu:2:3: "),
        ])
    func clientFiles(text: String, place: String) throws {
        let error = try check(["name: a, clients-from: eu, pool: web", Self.last], files: ["eu": text])
        #expect(error.contains(place), "\(error)")
        for (clients, part) in [
            ("clients-from: none-such", "none-such cannot be read"),
            ("clients: '::ffff:192.0.2.0/120'", "write 192.0.2.0/24"), ("clients: { file: eu }", "clients-from: FILE"),
        ] {
            let error = try check(["name: a, \(clients), pool: web", Self.last])
            #expect(error.hasPrefix("policy.yaml:6:") && error.contains(part), "\(error)")
        }
    }

    @Test("a number of addresses is small, and for pools", arguments: ["0", "17", "01", "four", "-1", "''"])
    func answers(number: String) throws {
        let text = try check(["name: a, answers: \(number), pool: web", Self.last])
        #expect(text.hasPrefix("policy.yaml:6:27: ") && text.contains("from 1 to 16"), "\(text)")
        #expect(try check(["name: a, answers: 4, outcome: pass", Self.last]).contains("answers is for pools"))
    }

    @Test("ten thousand policies of every kind are compared, and each that never decides is found")
    func many() throws {
        let count = 10_000
        var policies = (0..<count).map { number in
            switch number % 5 {
            case 0: "name: p\(number), exact: n\(number).example.com, pool: web"
            case 1: "name: p\(number), suffix: s\(number).example.com, pool: four"
            case 2: "name: p\(number), clients: 10.\(number >> 8).\(number & 255).0/24, pool: web"
            case 3: "name: p\(number), suffix: example.com, clients: 11.\(number >> 8).\(number & 255).0/24, pool: web"
            default: "name: p\(number), site: s\(number), pool: web"
            }
        }
        #expect(try check(policies + [Self.last]) == "")
        policies += [
            "name: x, exact: n5000.example.com, types: A, pool: web", "name: y, exact: y.s5001.example.com, pool: web",
            "name: z, clients: 10.19.138.128/25, pool: web",
        ]
        let lines = try check(policies + [Self.last]).split(separator: "\n")
        #expect(lines.count == 3, "\(lines.prefix(5))")
        for (line, shadow) in zip(lines, ["p5000 on line 5006", "p5001 on line 5007", "p5002 on line 5008"]) {
            #expect(line.contains("never decides, since \(shadow) "), "\(line)")
        }
    }

    @Test("a policy in an included file is named with that file")
    func included() throws {
        let more = "names:\n  policies:\n    - { name: default, exact: x.example.com, outcome: refuse }\n"
        let text = try NamePolicyFile.errors(
            of: "include: more.yaml\nnames:\n  zones: zone\n  policies: { name: default, outcome: pass }\n",
            ["zone": Example.zone, "more.yaml": more])
        #expect(text.contains("more.yaml:3:") && text.contains("is also named default"), "\(text)")
    }

    @Test("a zone file, a list and a drained file say their own lines")
    func files() throws {
        let zone = try check([Self.last], files: ["zone": Example.zone + "www A 192.0.2\n"])
        #expect(
            zone.hasPrefix(
                "zone:\(Example.zone.split(separator: "\n", omittingEmptySubsequences: false).count):"),
            "\(zone)")
        let list = try check([Self.last], files: ["customers": "www.example.com\n\nbad..name\n"])
        #expect(list.hasPrefix("customers:3:"), "\(list)")
        let drained = try check([Self.last], files: ["drained": "192.0.2.0/24\n192.0.2.0/33\n"])
        #expect(drained.contains(" drained:2:1: "), "\(drained)")
    }
}
