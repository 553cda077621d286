import DNSTestSupport
import Foundation
import Testing

@testable import SteeringDNS

/// What a list of names may say, and what its errors say about files that are something else.
@Suite struct NameListTests {
    private static let zone = """
        $ORIGIN example.com.
        @ 60 SOA ns hostmaster 1 1d 2h 4w 60
        @ 60 NS ns
        ns 60 A 192.0.2.53
        *.wild 60 A 192.0.2.99

        """
    private static let policy = """
        pools: { web: 198.51.100.7/32 }
        names:
          zones: [{ origin: example.com, file: zone }]
          lists: { all: list }
          policies: [{ name: listed, list: all, pool: web }, { name: default, outcome: pass }]

        """

    private func serve(_ list: String) throws -> InProcessServer {
        try InProcessServer(Self.policy, ["zone": Self.zone, "list": list])
    }

    private func errors(_ list: String) throws -> String {
        try NamePolicyFile.errors(of: Self.policy, ["zone": Self.zone, "list": list])
    }

    @Test(
        "a name has letters, digits, hyphens, underscores, dots and escapes, and ends before a space or a comment",
        arguments: [
            ("www.example.com", "www.example.com"), ("WWW.Example.COM.", "www.example.com"),
            ("www.example.com#comment", "www.example.com"), ("www.example.com account=free#c", "www.example.com"),
            ("\t www.example.com\r", "www.example.com"),
            ("_dmarc.under_score.example.com", "_dmarc.under_score.example.com"),
            ("xn--bcher-kva.example.com", "xn--bcher-kva.example.com"), ("-a-.1.example.com", "-a-.1.example.com"),
            (#"a\032b.example.com"#, #"a\032b.example.com"#), (##"a\.b\#.example.com"##, ##"a\.b\#.example.com"##),
            ("\(String(repeating: "a", count: 63)).example.com", "\(String(repeating: "a", count: 63)).example.com"),
        ])
    func accepted(line: String, name: String) throws {
        let server = try serve("# a list\n\n   # indented\n\(line)\n")
        #expect(server.served.policies.nameCount == 1)
        let answer = server.served.explain(try DNSName(name), .A)
        #expect(answer.draws.first?.description == "198.51.100.7")
    }

    @Test(
        "what is not a name is refused with its line and column",
        arguments: [
            ("a..example.com", "3:3", "one dot between"), ("www.ex ample.com", "3:8", "several names"),
            ("\(String(repeating: "a", count: 64)).example.com", "3:65", "1 to 63"),
            ((0..<64).map { _ in "abc." }.joined() + "com", "3:1", "at most 253"),
            (#"a\25.example.com"#, "3:2", "a backslash needs"), ("a$.example.com", "3:2", "letters, digits"),
            ("www.example.com free", "3:17", "write key=value"), ("www.example.com =free", "3:17", "write key=value"),
            ("www.example.com a=\(String(repeating: "b", count: 63))", "3:17", "at most 64"),
            ("12345", "3:1", "not a number"), ("bücher.example.com", "3:2", "xn-- form"),
            ("ööbücher.example.com", "3:1", "xn-- form"),
            ("192.0.2.1", "3:1", "is an address"), ("2001:db8::1", "3:5", "is an address"),
            ("192.0.2.0/24", "3:10", "is an address"), ("api-*.example.com", "3:5", "an asterisk"),
            (#"\*.example.com"#, "3:1", "an asterisk"), (#"\042.example.com"#, "3:1", "an asterisk"),
            (".", "3:1", "stands for itself"),
        ])
    func refused(line: String, place: String, part: String) throws {
        let error = try errors("a.example.com\n\n\(line)\nb.example.com\n")
        #expect(error.hasPrefix("list:\(place): ") && error.contains(part), "\(error)")
        #expect(!error.contains("\n"), "\(error)")
    }

    /// Files in other formats, the line and column where they are refused, what the sentence calls them, and the names
    /// in them.
    private static let formats: [(text: String, place: String, name: String, names: [String])] = [
        (
            "# hosts\n127.0.0.1 localhost\n::1 ip6-localhost # v6\n0.0.0.0 0.0.0.0\n0.0.0.0 ads.example.com b.example.com\n",
            "2:1", "a hosts file", ["localhost", "ip6-localhost", "ads.example.com", "b.example.com"]
        ),
        ("fe80::1%lo0 a.example.com\r\n", "1:5", "a hosts file", ["a.example.com"]),
        (
            "! Title: ads\n||ads.example.com^\n||b.example.com^$third-party\n@@||c.example.com^\nd.example.com##.ad\n||192.0.2.1^\n",
            "1:1", "an ad blocker's list", ["ads.example.com", "b.example.com"]
        ),
        ("||ads.example.com^\n", "1:1", "an ad blocker's list", ["ads.example.com"]),
        ("[Adblock Plus 2.0]\n||ads.example.com^\n", "1:1", "an ad blocker's list", ["ads.example.com"]),
        ("d.example.com##.ad\n||e.example.com^\n", "1:14", "an ad blocker's list", ["e.example.com"]),
        (
            "address=/ads.example.com/0.0.0.0\nserver=/b.example.com/c.example.com/\nlocal=/*.d.example.com/\n# a comment\naddress=/#/192.0.2.1\n",
            "1:8", "dnsmasq", ["ads.example.com", "b.example.com", "c.example.com", "d.example.com"]
        ),
        (
            "server:\n  local-zone: \"ads.example.com\" always_nxdomain\n  local-zone: \"b.example.com.\" static\n",
            "1:7",
            "Unbound", ["ads.example.com", "b.example.com"]
        ),
        (
            "$TTL 60\n@ SOA ns.example.com. h.example.com. 1 2 3 4 5\n  NS ns.example.com.\nads.example.com CNAME .\n*.ads.example.com 60 IN CNAME .\n",
            "1:1", "response policy zone", ["ads.example.com"]
        ),
        ("ads.example.com CNAME .\n", "1:17", "response policy zone", ["ads.example.com"]),
        ("1,a.example.com\n2,b.example.com\n", "1:2", "a CSV file", ["a.example.com", "b.example.com"]),
        (
            "\"Rank\",\"Domain name\",\"Score\"\n\"1\",\"a.example.com\",\"9\"\n", "1:1", "a CSV file",
            ["a.example.com"]
        ),
        ("a.example.com;free;1\r\nb.example.com;paid;2\r\n", "1:14", "a CSV file", ["a.example.com", "b.example.com"]),
        ("1\ta.example.com\n2\tb.example.com\n", "1:1", "a table", ["a.example.com", "b.example.com"]),
        (
            "http://a.example.com/\nhttps://u:p@b.example.com:8443/x?y#z\nhttp://192.0.2.1/evil\n", "1:5", "URLs",
            ["a.example.com", "b.example.com"]
        ),
        ("user@a.example.com\n", "1:5", "mail addresses", ["a.example.com"]),
        ("a.example.com:443\nb.example.com\n", "1:14", "no port", ["a.example.com", "b.example.com"]),
        ("a.example.com/path\n", "1:14", "no path", ["a.example.com"]),
        ("\"a.example.com\"\n\"b.example.com\"\n", "1:1", "quotes", ["a.example.com", "b.example.com"]),
        ("[\"a.example.com\", \"b.example.com\"]\n", "1:1", "quotes", ["a.example.com", "b.example.com"]),
        ("'a.example.com',\n", "1:1", "commas", ["a.example.com"]),
        ("a.example.com,b.example.com\n", "1:14", "commas", ["a.example.com", "b.example.com"]),
        (
            "a.example.com b.example.com\tc.example.com\n", "1:15", "several names",
            ["a.example.com", "b.example.com", "c.example.com"]
        ),
        ("\u{FEFF}a.example.com\n", "1:1", "byte order mark", ["a.example.com"]),
        (
            "*.a.example.com\n**.b.example.com\nc.example.com\n", "1:1", "stands for itself",
            ["a.example.com", "b.example.com", "c.example.com"]
        ),
        (".a.example.com\n", "1:1", "stands for itself", ["a.example.com"]),
    ]

    @Test("a file of another format is named, and the command that the error gives makes a list of it")
    func convert() throws {
        for format in Self.formats { try convert(format) }
    }

    private func convert(_ format: (text: String, place: String, name: String, names: [String])) throws {
        let error = try errors(format.text)
        #expect(error.hasPrefix("list:\(format.place): ") && error.contains(format.name), "\(error)")
        let command = try #require(error.split(separator: "`").dropFirst().first, "\(error)")
        let converted = try run(String(command), with: format.text)
        let names = format.names.sorted(), own = names.filter { $0.hasSuffix("example.com") }
        let listed = converted.split(whereSeparator: \.isNewline).map { String($0.prefix { $0 != "#" }) }
        let words = Set(listed.map { $0.hasSuffix(".") ? String($0.dropLast()) : $0 }).subtracting([""]).sorted()
        #expect(words == names, "\(command): \(converted)")
        let server = try serve(converted)
        #expect(server.served.policies.nameCount == own.count)
        for name in own { #expect(try server.ask(Request(name, "A")).addresses == ["198.51.100.7"], "\(name)") }
    }

    @Test("a file in UTF-16 is converted, and a path with spaces is one word of the command")
    func encoded() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "lists \(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = "\(folder)/it's a list"
        let units = Array("a.example.com\r\n".utf16).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
        try Data([0xFF, 0xFE] + units).write(to: URL(fileURLWithPath: path))
        var reader = NameListReader(zones: ZoneOrigins([try DNSName("example.com")]))
        var said = ""
        do { _ = try reader.read(list: 0, contentsOf: path) } catch { said = "\(error)" }
        let command = try #require(said.split(separator: "`").dropFirst().first, "\(said)")
        #expect(try shell(String(command)) == "a.example.com\r\n")
    }

    private func run(_ command: String, with text: String) throws -> String {
        let folder = FileManager.default.temporaryDirectory.appending(path: "lists-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try text.write(toFile: "\(folder)/list", atomically: false, encoding: .utf8)
        return try shell("cd \(folder) && \(command)")
    }

    private func shell(_ command: String) throws -> String {
        let process = Process(), output = Pipe()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-ec", command]
        process.standardOutput = output
        try process.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(command)")
        return String(decoding: text, as: UTF8.self)
    }

    // MARK: Names in no zone

    @Test("names that lie in no zone are counted in a warning, which names the first; they take no memory")
    func foreign() throws {
        let some = try serve("a.example.com\nb.example.org account=x\nb.example.org\nexample.net\nnotexample.com\n")
        #expect(some.served.warnings.count == 1)
        let warning = try #require(some.served.warnings.first)
        #expect(
            warning.contains("policy.yaml:4:12: 4 of the 5 names of the list all lie in no zone")
                && warning.contains("the first b.example.org."), "\(warning)")
        #expect(some.served.policies.nameCount == 1)
        let one = try serve("example.com\nexample.org\n").served.warnings
        #expect(one.count == 1 && one[0].contains("1 of the 2 names of the list all lies in no zone"), "\(one)")
        #expect(try serve("example.com\nA.EXAMPLE.com\n").served.warnings == [])
    }

    @Test("a list all of whose names lie in no zone is an error")
    func allForeign() throws {
        let error = try errors((1...10_000).map { "n\($0).example.org\n" }.joined())
        #expect(
            error.hasPrefix("policy.yaml:4:12: the list all can match nothing, since its 10000 names")
                && error.contains("the first n1.example.org., lie in no zone"), "\(error)")
        #expect(try errors("com\n").contains("its name, com., lies in no zone"))
    }

    @Test("an empty non-terminal above listed names exists only if a policy is for the list")
    func nonTerminals() throws {
        let server = try serve("a.b.wild.example.com\n")
        #expect(try server.ask(Request("b.wild.example.com", "A")).outcome == "NODATA")
        #expect(try server.ask(Request("c.wild.example.com", "A")).addresses == ["192.0.2.99"])
        let passing = Self.policy.replacing("pool: web }", with: "outcome: pass }")
        let zone = try InProcessServer(passing, ["zone": Self.zone, "list": "a.b.wild.example.com\n"])
        for name in ["a.b.wild", "b.wild", "c.wild"] {
            #expect(try zone.ask(Request("\(name).example.com", "A")).addresses == ["192.0.2.99"], "\(name)")
        }
    }

    // MARK: Memory

    @Test("a list takes at most 12 bytes for each name, whatever the order of its lines")
    func memory() throws {
        // A quarter of the names has a parent of its own that is not listed.
        let names = (0..<60_000).map { number in
            number % 4 == 0 ? "w.n\(number).example.com" : "n\(number).example.com"
        }
        var generator = FastGenerator()
        let orders = [
            names.sorted(), names.sorted().reversed(), names.shuffled(using: &generator), names + names.shuffled(),
        ]
        for order in orders {
            let policies = try serve(order.joined(separator: "\n")).served.policies
            #expect(policies.nameCount == names.count)
            #expect(policies.nameBytes <= 12 * names.count, "\(policies.nameBytes)")
            // Nine of ten slots are taken, within the error of the estimate.
            #expect(abs(Double(policies.nameBytes) / (8 * 75_000 / 0.9) - 1) < 0.04, "\(policies.nameBytes)")
        }
    }

    @Test("the number of different keys is estimated within 4 %")
    func distinct() {
        var generator = FastGenerator()
        for (count, tolerance) in [(0, 0.0), (1, 0), (10, 1), (300, 9), (20_000, 800), (200_000, 8_000)] {
            var distinct = DistinctCount()
            let keys = (0..<count).map { _ in NameKey(high: generator.next(), low: generator.next()) }
            for key in keys + keys.reversed() { distinct.add(key) }
            #expect(abs(Double(distinct.estimate) - Double(count)) <= tolerance, "\(count): \(distinct.estimate)")
        }
    }
}
