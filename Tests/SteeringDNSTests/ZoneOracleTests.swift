import DNSTestSupport
import SteeringDNS
import Testing

/// BIND and dnspython read the same files, and must find the same records in them.
@Suite struct ZoneOracleTests {
    /// A record of every type, with every character that one may trip over.
    private static let everyType = """
        $ORIGIN Example.com.
        $TTL 1h30m
        @ SOA ns1 Host\\.master.mail ( 2024010101 1d 2h 4w 300 ) ; comment
          NS ns1
          NS ns2.Other.net.
        ns1 A 192.0.2.1
            AAAA 2001:db8::1
            IN AAAA ::ffff:192.0.2.1
        w\\.x\\032y\\000z\\$\\@\\;\\"\\(\\\\ CNAME foo-Bar_baz.*
        mail MX 10 ns1
        ptr PTR Foo.bar.
        t TXT "a b" unquoted "q\\"uo\\\\te\\;\\010\\200 ~" "" a\\;b "\u{FC}" ( two
          lines )
        srv SRV 1 2 3 ns1
        caa CAA 0 issue "ca.example.net; a=b\\"c"
        n NAPTR 100 50 "u" "E2U+sip" "!^(.*)$!sip:\\\\1@example.com!" .
        n NAPTR 100 50 "" "" "" foo
        s SSHFP 4 2 0123456789ABCDEF0123456789abcdef0123456789abcdef 0123456789abcdef
        _443._tcp TLSA 3 1 1 0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef
        sub NS ns.sub
        ns.sub A 1.2.3.4
        sub DS 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118
        h HTTPS 1 . alpn=h2,h3 no-default-alpn port=8443 ipv4hint=192.0.2.1,192.0.2.2 ech=AEj+DQA= (
          ipv6hint=2001:db8::1,2001:db8::2 key667="hello\\210qoo" key666=abc mandatory=alpn,port )
        h0 SVCB 0 foo.example.net.
        h2 SVCB 1 foo key7="/q{?dns}"
        h1 SVCB 16 foo.example.org. alpn="f\\\\\\\\oo\\\\,bar,h2" key1234
        g TYPE666 \\# 3 abcdef
        g TYPE667 \\# 0
        g A \\# 4 01020304
        i HINFO "PC" Linux
        *.wild 1d A 192.0.2.2
        d DNAME foo

        """

    private func compiled(_ file: String) throws -> [String] {
        try Tool.run(
            """
            named-compilezone -i none -k ignore -o \(file).out example.com \(file) > \(file).log || { cat \(file).log; exit 1; }
            cat \(file).out
            """
        )
        .split(separator: "\n").map(Self.canonical)
    }

    /// One space between words, and digits in one word: BIND aligns columns and breaks digests.
    private static func canonical(_ line: some StringProtocol) -> String {
        var words: [String] = []
        var word = ""
        var (isQuoted, isEscaped) = (false, false)
        for character in line {
            if character == "\"", !isEscaped { isQuoted.toggle() }
            isEscaped = character == "\\" && !isEscaped
            if !isQuoted, character == " " || character == "\t" {
                if !word.isEmpty { words.append(word) }
                word = ""
            } else {
                word.append(character)
            }
        }
        words.append(word)
        let fixed = ["DS": 7, "SSHFP": 6, "TLSA": 7][words[3], default: words[4] == "\\#" ? 6 : words.count]
        return (words.prefix(fixed) + [words.dropFirst(fixed).joined()]).filter { !$0.isEmpty }.joined(separator: " ")
    }

    private func read(_ text: String) throws -> [ResourceRecord] {
        try zone(text, origin: "example.com", defaultTTL: nil)
    }

    @Test("a record of every type is printed as named-compilezone prints it") func bindEveryType() throws {
        let folder = ZoneFolder()
        let records = try read(Self.everyType)
        let ours = records.map(ZoneFile.text)
        let theirs = try compiled(folder.write(Self.everyType, to: "zone"))
        report(Set(ours).subtracting(theirs), "only we print")
        report(Set(theirs).subtracting(ours), "only BIND prints")
        #expect(theirs.count == ours.count)
        #expect(Set(records.map(\.type)).count == 20)
    }

    @Test("what is printed is a zone file for BIND, and means the same", arguments: [21, 22] as [UInt64])
    func bindRandom(seed: UInt64) throws {
        var writer = ZoneWriter(seed: seed)
        let text = writer.zone(count: 2_000)
        let records = try read(text)
        let ours = records.map(ZoneFile.text)
        #expect(records.count == 2_003)
        let folder = ZoneFolder()
        let theirs = try compiled(folder.write(text, to: "theirs"))
        report(Set(ours).subtracting(theirs), "only we read")
        report(Set(theirs).subtracting(ours), "only BIND reads")
        #expect(theirs.count == ours.count)
        let again = try compiled(folder.write(ours.joined(separator: "\n") + "\n", to: "ours"))
        report(Set(ours).symmetricDifference(again), "BIND reads what we print differently")
        #expect(try read(theirs.joined(separator: "\n")).count == records.count)
    }

    @Test("dnspython finds the same records, byte for byte", arguments: [31, 32, 33] as [UInt64])
    func dnspython(seed: UInt64) throws {
        var writer = ZoneWriter(seed: seed, forPython: true)
        let text = seed == 31 ? Self.everyType : writer.zone(count: 2_000)
        let folder = ZoneFolder()
        let script = folder.write(
            """
            import dns.zone, sys
            zone = dns.zone.from_file(sys.argv[1], origin='example.com.', relativize=False, check_origin=False)
            for name, rdataset in zone.iterate_rdatasets():
                for rdata in rdataset:
                    print(name.to_wire().hex(), rdataset.ttl, int(rdata.rdtype), rdata.to_wire().hex() or '-')

            """, to: "read.py")
        let theirs = try Tool.run("/usr/bin/python3 \(script) \(folder.write(text, to: "zone"))")
            .split(separator: "\n").map(String.init)
        let ours = try read(text).map { record in
            let data = record.data.isEmpty ? "-" : hexadecimal(record.data)
            return "\(hexadecimal(record.owner.wire)) \(record.ttl) \(record.type.rawValue) \(data)"
        }
        report(Set(ours).subtracting(theirs), "only we read")
        report(Set(theirs).subtracting(ours), "only dnspython reads")
        #expect(theirs.count == ours.count && ours.count > 25)
    }

    private func report(_ lines: some Collection<String>, _ what: String) {
        if !lines.isEmpty { Issue.record("\(what) \(lines.count) lines, such as \(lines.sorted().prefix(5))") }
    }

    @Test(
        "what we refuse, BIND refuses",
        arguments: [
            "w A 192.0.2.1\u{1}x", "w A 192.0.2", "w A 192.0.2.1 x", "w MX 65536 a", "w A ( 192.0.2.1",
            "w A 192.0.2.1 )",
            "w TXT \"a", "w HTTPS 1 . ALPN=h2", "w HTTPS 1 . key00667=a", "w TYPE0 \\# 0", "w LOC 91 N 0 E 0",
            "w CSYNC 1 3 A FOO", "w CERT PKIX2 1 1 AQID", "w APL 1:192.0.2.0/33",
            "$GENERATE 2-1 h$ A 192.0.2.1", "$INCLUDE gone",
            "w TXT \(String(repeating: "a", count: 256))", "a..b A 192.0.2.1", "w TYPE666 \\# 2 ab",
            "w TYPE666 abcd", "w A \\# 3 010203", "w DS 1 8 2 abcd", "w SSHFP 1 1 abcd", "w HTTPS 1 . alpn=h2 alpn=h3",
            "w HTTPS 1 . mandatory=port", "w HTTPS 1 . port=65536", "w HTTPS 1 . foo=1",
            "w CH TXT a", "$TTL 1h30x", "w AXFR", "w SOA . . 1 2 3 4", "w CAA 0 is-sue a", "w\\999 A 192.0.2.1",
            "w HTTPS 1 . alpn=", "w HTTPS 1 . ech=AQI", "w AA 192.0.2.1", "\\", "w HTTPS 1 . no-default-alpn=1",
        ])
    func bindRefuses(text: String) throws {
        let top = "$TTL 300\n@ SOA . . 1 2 3 4 5\n NS a.\n"
        #expect(try refusal(top + text) != nil)
        let folder = ZoneFolder()
        let file = folder.write(top + text + "\n", to: "zone")
        let output = try Tool.run("! named-checkzone -i none -k ignore example.com \(file)")
        #expect(output.contains("not loaded due to errors"))
    }
}
