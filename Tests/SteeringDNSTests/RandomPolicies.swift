/// Random policy files about few names, with the zones and lists that they refer to.
struct RandomPolicies {
    var generator: ZoneGenerator

    struct Files {
        var policy = ""
        var zone = "", inner = ""
        var lists: [String] = ["", ""]
        /// The names in all of them, without the zone's name.
        var names: Set<String> = []
    }

    init(seed: UInt64) { generator = ZoneGenerator(seed: seed) }

    private mutating func name() -> String {
        (0..<generator.pick([1, 1, 2, 2, 3, 4])).map { _ in generator.pick(["a", "b", "c"]) }.joined(separator: ".")
    }

    private mutating func names(_ count: ClosedRange<Int>) -> [String] {
        (0..<generator.number(count)).map { _ in name() }
    }

    private mutating func isRare() -> Bool { generator.number(1...5) == 1 }

    mutating func files() -> Files {
        var files = Files()
        files.zone = "$ORIGIN example.com.\n$TTL 300\n@ SOA ns1 host 1 2h 1h 2w 300\n@ NS ns1\nns1 A 192.0.2.53\n"
        files.inner = "$ORIGIN inner.example.com.\n$TTL 300\n@ SOA ns host 1 2h 1h 2w 300\n@ NS ns\nns A 192.0.2.54\n"
        files.names = ["ns1", "sub", "x.sub"]
        if generator.flip() { files.zone += "sub NS ns.elsewhere.net.\n" }
        for _ in 0..<generator.number(0...3) { files.zone += record(&files.names) }
        for list in files.lists.indices {
            for name in names(0...4) {
                files.names.insert(name)
                files.lists[list] += "\(name).example.com \(generator.pick(["", "kind=one", "kind=two"]))\n"
            }
        }
        var policies = (0..<generator.number(0...4)).map { policy($0, &files.names) }
        policies.append("name: default, \(outcome())")
        files.policy = """
            pools:
              one: [203.0.113.1/32, "2001:db8::1/128"]
              two: [203.0.113.2/32, "2001:db8::2/128"]
              four: 203.0.113.4/32
              six: "2001:db8::6/128"
              all: [203.0.113.128/30, "2001:db8:1::/127"]
              net: [198.51.100.0/24, "2001:db8:2::/64"]
              dry: { prefixes: [203.0.113.9/32, "2001:db8::9/128"], drained-from: drained }
              half: { prefixes: [203.0.113.10/32, "2001:db8::10/128"], drained-from: drained }
            names:
              zones: [zone, inner]
              lists: { first: first, second: { file: second, match: \(generator.pick(["exact", "suffix"])) } }
              policies:
            \(policies.map { "    - { \($0) }\n" }.joined())
            """
        return files
    }

    private mutating func record(_ names: inout Set<String>) -> String {
        let owner = generator.pick(["*", "*", "*.a", "*.b", "b", "c.a", "a.b.c", "c"])
        // A query for the wildcard itself is for its own records alone, on the server.
        if owner != "*" { names.insert(String(owner.trimmingPrefix("*."))) }
        return "\(owner) "
            + generator.pick([
                "A 192.0.2.99", "AAAA 2001:db8:99::1", "TXT text", "MX 10 ns1", "CNAME ns1",
            ]) + "\n"
    }

    private mutating func policy(_ number: Int, _ all: inout Set<String>) -> String {
        var parts = ["name: p\(number)"]
        for key in ["exact", "suffix"] where generator.number(1...5) < 3 {
            let names = names(1...2)
            all.formUnion(names)
            parts.append("\(key): [\(names.map { "\($0).example.com" }.joined(separator: ", "))]")
        }
        if generator.number(1...3) == 1 { parts.append("list: \(generator.pick(["first", "second"]))") }
        if isRare() { parts.append("attribute: kind=\(generator.pick(["one", "two"]))") }
        let outcome = outcome()
        if isRare(), outcome != "outcome: nxdomain" { parts.append("types: \(generator.pick(["A", "AAAA"]))") }
        if isRare() { parts.append("clients: \(generator.pick(["127.0.0.0/8", "10.0.0.0/8"]))") }
        return (parts + [outcome]).joined(separator: ", ")
    }

    private mutating func outcome() -> String {
        switch generator.number(1...10) {
        case 1...3: return "outcome: pass"
        case 4: return "outcome: \(generator.pick(["refuse", "nxdomain"]))"
        case 5: return "pool: all, answers: \(generator.number(2...5))"
        default:
            let select = generator.pick(["random", "name", "client", "fixed"])
            return "pool: \(generator.pick(["one", "two", "four", "six", "net", "dry", "half"])), select: \(select)"
                + ", ttl: \(generator.pick([30, 60]))"
        }
    }
}
