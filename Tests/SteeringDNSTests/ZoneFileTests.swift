import DNSTestSupport
import SteeringDNS
import Testing

@Suite struct ZoneFileTests {
    @Test(
        "records are read with what they leave out filled in",
        arguments: [
            ("www A 192.0.2.1", ["www.example.com. 300 IN A 192.0.2.1"]),
            ("www A 192.0.2.1\n", ["www.example.com. 300 IN A 192.0.2.1"]),
            (
                "www A 192.0.2.1\r\n    A 192.0.2.2\r\n",
                ["www.example.com. 300 IN A 192.0.2.1", "www.example.com. 300 IN A 192.0.2.2"]
            ),
            (
                "www\tA\t192.0.2.1 ; comment \u{FC}\n;\n  ; x\n\n\tA 192.0.2.2",
                ["www.example.com. 300 IN A 192.0.2.1", "www.example.com. 300 IN A 192.0.2.2"]
            ),
            ("@ A 192.0.2.1", ["example.com. 300 IN A 192.0.2.1"]),
            ("\\@ A 192.0.2.1", ["\\@.example.com. 300 IN A 192.0.2.1"]),
            ("@ NS @", ["example.com. 300 IN NS example.com."]),
            ("WwW.Example.COM. A 192.0.2.1", ["WwW.Example.COM. 300 IN A 192.0.2.1"]),
            ("w 60 A 192.0.2.1", ["w.example.com. 60 IN A 192.0.2.1"]),
            ("w IN A 192.0.2.1", ["w.example.com. 300 IN A 192.0.2.1"]),
            ("w 60 IN A 192.0.2.1", ["w.example.com. 60 IN A 192.0.2.1"]),
            ("w in 60 a 192.0.2.1", ["w.example.com. 60 IN A 192.0.2.1"]),
            ("w CLASS1 1h30m TYPE1 192.0.2.1", ["w.example.com. 5400 IN A 192.0.2.1"]),
            ("w 1W2d3H4m5S A 192.0.2.1", ["w.example.com. 788645 IN A 192.0.2.1"]),
            ("w 2147483647 A 192.0.2.1", ["w.example.com. 2147483647 IN A 192.0.2.1"]),
            ("in A 192.0.2.1", ["in.example.com. 300 IN A 192.0.2.1"]),
            ("300 A 192.0.2.1", ["300.example.com. 300 IN A 192.0.2.1"]),
            ("a 300 IN A 192.0.2.1", ["a.example.com. 300 IN A 192.0.2.1"]),
            (
                "$TTL 1d\nw A 192.0.2.1\n$TTL 5\nw A 192.0.2.2",
                ["w.example.com. 86400 IN A 192.0.2.1", "w.example.com. 5 IN A 192.0.2.2"]
            ),
            (
                "$ORIGIN sub\nw A 192.0.2.1\n$origin org.\n A 192.0.2.2\nw A 192.0.2.3",
                [
                    "w.sub.example.com. 300 IN A 192.0.2.1", "w.sub.example.com. 300 IN A 192.0.2.2",
                    "w.org. 300 IN A 192.0.2.3",
                ]
            ),
            ("$ORIGIN .\nw A 192.0.2.1", ["w. 300 IN A 192.0.2.1"]),
            ("w ( A\n 192.0.2.1 ) ; c", ["w.example.com. 300 IN A 192.0.2.1"]),
            ("w (((A ;c)\n\n(192.0.2.1))) )", ["w.example.com. 300 IN A 192.0.2.1"]),
            ("w A(192.0.2.1)", ["w.example.com. 300 IN A 192.0.2.1"]),
            ("w A 192.0.2.1;c", ["w.example.com. 300 IN A 192.0.2.1"]),
            ("(w A 192.0.2.1)", ["w.example.com. 300 IN A 192.0.2.1"]),
            ("w A 192.0.2.1\n( A\n192.0.2.2)", ["A.example.com. 300 IN 192.0.2.2"]),
            ("()\n ( \n )\nw A 192.0.2.1", ["w.example.com. 300 IN A 192.0.2.1"]),
            ("", []), ("\n\r\n \t\n;\n", []), ("; only a comment", []),
        ] as [(String, [String])])
    func entries(text: String, expected: [String]) throws {
        // The one that is no record shows that a parenthesis does not hide the owner.
        if expected == ["A.example.com. 300 IN 192.0.2.2"] {
            #expect(try refusal(text)?.message.contains("192.0.2.2") == true)
        } else {
            #expect(try lines(text) == expected)
        }
    }

    @Test(
        "data is read in the form of its type, and printed as BIND prints it",
        arguments: [
            ("A 192.0.2.1", "A 192.0.2.1", "c0000201"),
            ("AAAA 2001:DB8:0::1", "AAAA 2001:db8::1", "20010db8000000000000000000000001"),
            ("NS Ns1", "NS Ns1.example.com.", "034e7331076578616d706c6503636f6d00"),
            ("CNAME .", "CNAME .", "00"),
            ("PTR a.", "PTR a.", "016100"),
            ("DNAME a.", "DNAME a.", "016100"),
            (
                "SOA . . 4294967295 1w 2h 3m (4)", "SOA . . 4294967295 604800 7200 180 4",
                "0000ffffffff00093a8000001c20000000b400000004"
            ),
            ("MX 10 .", "MX 10 .", "000a00"),
            (
                "TXT a \"b c\" \"\" d\\032\\\"\\;e \"\\\"\\\\\" \"\\200;()\"",
                "TXT \"a\" \"b c\" \"\" \"d \\\";e\" \"\\\"\\\\\" \"\\200;()\"",
                "016103622063000564 20223b6502225c 04c83b2829"
            ),
            ("TXT \"\u{FC}\t\"", "TXT \"\\195\\188\\009\"", "03c3bc09"),
            ("TXT ( \"a\" ; \"no\"\n \"b\" )", "TXT \"a\" \"b\"", "01610162"),
            ("TXT \"a\"\"b\"c\"d e\"", "TXT \"a\" \"b\" \"c\" \"d e\"", "01610162016303642065"),
            ("TXT a=\"b c\" gr\u{FC}n", "TXT \"a=\" \"b c\" \"gr\\195\\188n\"", "02613d03622063056772c3bc6e"),
            ("APL", "APL", ""), ("CSYNC 1 3", "CSYNC 1 3", "000000010003"),
            (
                "LOC 42 21 54 N 71 06 18 W -24m 30m",
                "LOC 42 21 54.000 N 71 6 18.000 W -24.00m 30.00m 10000.00m 10.00m",
                "00331613 89172dd0 70be15f0 00988d20"
            ),
            (
                "LOC \\# 16 0031580689172dd070be15f000988d20", "LOC \\# 16 0031580689172DD070BE15F000988D20",
                "00315806 89172dd0 70be15f0 00988d20"
            ),
            ("IPSECKEY 10 0 0 .", "IPSECKEY 10 0 0 .", "0a0000"),
            ("WKS 192.0.2.1 tcp smtp 53", "WKS 192.0.2.1 6 25 53", "c00002010600000040000004"),
            ("EUI48 00-00-5E-00-53-2a", "EUI48 00-00-5e-00-53-2a", "00005e00532a"),
            ("NID 1 14:4fff:0:e", "NID 1 0014:4fff:0000:000e", "000100144fff0000000e"),
            ("ISDN 1 ", "ISDN \"1\"", "0131"),
            ("SRV 0 65535 007 a.", "SRV 0 65535 7 a.", "0000ffff0007016100"),
            ("HINFO \"RFC8482\" \"\"", "HINFO \"RFC8482\" \"\"", "075246433834383200"),
            (
                "NAPTR 1 2 u E2U+sip \"!^(.*)$!sip:\\\\1!\" .", "NAPTR 1 2 \"u\" \"E2U+sip\" \"!^(.*)$!sip:\\\\1!\" .",
                "000100020175074532552b7369700f215e282e2a2924217369703a5c312100"
            ),
            ("CAA 128 Issue ca.example", "CAA 128 Issue \"ca.example\"", "8005497373756563612e6578616d706c65"),
            ("CAA 0 issue \"\"", "CAA 0 issue \"\"", "00056973737565"),
            ("DS 1 8 9 ab (cd\n e f)", "DS 1 8 9 ABCDEF", "00010809abcdef"),
            ("SSHFP 4 9 00", "SSHFP 4 9 00", "040900"),
            ("TLSA 3 1 0 AbCd", "TLSA 3 1 0 ABCD", "030100abcd"),
            ("HTTPS 0 a.", "HTTPS 0 a.", "0000016100"),
            (
                "SVCB 1 . port=53 alpn=h2,h3 key65534 mandatory=port,alpn",
                "SVCB 1 . mandatory=alpn,port alpn=\"h2,h3\" port=53 key65534",
                "000100 0000000400010003 00010006026832026833 000300020035 fffe0000"
            ),
            (
                "HTTPS 1 . alpn=\"f\\\\\\\\oo\\\\,bar,h2\" no-default-alpn",
                "HTTPS 1 . alpn=\"f\\\\\\\\oo\\\\,bar,h2\" no-default-alpn",
                "000100 0001000c 08665c6f6f2c626172026832 00020000"
            ),
            (
                "HTTPS 1 . ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=\"2001:db8::1\" ech=AQID",
                "HTTPS 1 . ipv4hint=192.0.2.1,192.0.2.2 ech=AQID ipv6hint=2001:db8::1",
                "000100 00040008c0000201c0000202 00050003010203 0006001020010db8000000000000000000000001"
            ),
            ("SVCB 1 . dohpath=/q{?dns}", "SVCB 1 . key7=\"/q{?dns}\"", "000100 000700082f717b3f646e737d"),
            (
                "HTTPS 1 . key667=hello\\210qoo key668=\"a b\" key669=\"\" key670=",
                "HTTPS 1 . key667=\"hello\\210qoo\" key668=\"a b\" key669 key670",
                "000100 029b000968656c6c6fd2716f6f 029c0003612062 029d0000 029e0000"
            ),
            ("HTTPS 1 . ech=AQ== alpn=h2", "HTTPS 1 . alpn=\"h2\" ech=AQ==", "000100 00010003026832 0005000101"),
            ("TYPE666 \\# 3 abcdef", "TYPE666 \\# 3 ABCDEF", "abcdef"),
            ("TYPE666 \\# 3 ab ( cd\n ef )", "TYPE666 \\# 3 ABCDEF", "abcdef"),
            ("TYPE667 \\# 0", "TYPE667 \\# 0", ""),
            ("A \\# 4 C0000201", "A 192.0.2.1", "c0000201"),
            ("TYPE15 \\# 3 000a00", "MX 10 .", "000a00"),
            ("HTTPS \\# 9 000100 00010002 0161", "HTTPS 1 . alpn=\"a\"", "000100000100020161"),
        ] as [(String, String, String)])
    func data(text: String, expected: String, wire: String) throws {
        let records = try zone("x \(text)")
        #expect(records.count == 1)
        #expect(records.map(ZoneFile.text) == ["x.example.com. 300 IN \(expected)"])
        #expect(records.first.map { hexadecimal($0.data) } == String(wire.filter { $0 != " " }))
        #expect(try zone("x \(expected)") == records, "what is printed is read as the same record")
    }

    @Test("the TTL of a record that states none is $TTL's, else the last stated, else the SOA's minimum") func ttls()
        throws
    {
        let soa = "@ SOA . . 1 2 3 4 900\n"
        let ttls = { (text: String, given: UInt32?) in try zone(text, defaultTTL: given).map(\.ttl) }
        #expect(try ttls("$TTL 60\n\(soa)w A 192.0.2.1", nil) == [60, 60])
        #expect(
            try ttls("@ 7200 SOA . . 1 2 3 4 900\n@ 86400 NS ns\nns A 192.0.2.1\nt A 192.0.2.2", nil) == [
                7200, 86400, 86400, 86400,
            ])
        #expect(
            try ttls("@ 7200 SOA . . 1 2 3 4 900\nw A 192.0.2.1\n 5 A 192.0.2.2\n A 192.0.2.3", nil) == [
                7200, 7200, 5, 5,
            ])
        #expect(try ttls("$TTL 60\nw 5 A 192.0.2.1\n A 192.0.2.2", nil) == [5, 60])
        #expect(try ttls("w 5 A 192.0.2.1\n\(soa) A 192.0.2.2\n 6 A 192.0.2.3\n A 192.0.2.4", nil) == [5, 5, 5, 6, 6])
        #expect(try ttls("\(soa)w A 192.0.2.1\n 7 A 192.0.2.2\n A 192.0.2.3", nil) == [900, 900, 7, 7])
        #expect(try ttls("\(soa)$TTL 60\nw A 192.0.2.1", nil) == [900, 60])
        #expect(try ttls("\(soa)w A 192.0.2.1", 42) == [42, 42])
        // A minimum may be longer than a TTL.
        #expect(try ttls("@ SOA . . 1 2 3 4 4294967295", nil) == [2_147_483_647])
    }

    @Test("a TTL that only the SOA's minimum gives is a warning") func ttlWarning() throws {
        let warnings = { (text: String) in
            let origin = try DNSName("example.com")
            return try CheckedZone(
                try ZoneFile(Array(text.utf8), named: "f", origin: origin), origin: origin
            ).warnings.map(\.description)
        }
        let soa = "@ SOA . . 1 2 3 4 900\n@ NS ns.example.net.\n"
        #expect(
            try warnings(soa) == [
                "f:1: no TTL is given for the SOA record, and its minimum, 900, is used; write $TTL 900 above"
            ])
        #expect(try warnings("$TTL 900\n\(soa)") == [])
        #expect(try warnings("@ 5 NS a.\n\(soa)").contains { $0.contains("minimum") } == false)
    }

    @Test("lines are those on which records begin") func lineNumbers() throws {
        let text = "; one\n@ SOA . . ( 1\n2 3\n4 5 )\n\n  NS ns1 ; six\nns1 (\nA 192.0.2.1 )\n"
        let file = try ZoneFile(Array(text.utf8), named: "f", origin: try DNSName("example.com"), defaultTTL: 1)
        #expect(file.lines == [2, 6, 8])
        #expect(file.records.map(\.type) == [.SOA, .NS, .A])
    }

    @Test("data that is not what its type asks for is printed in the generic form") func malformed() throws {
        for (type, data) in [(RecordType.A, [1, 2, 3]), (.MX, [0]), (.NS, [1]), (.HTTPS, [0, 1, 0, 0, 0, 0, 0])]
            as [(RecordType, [UInt8])]
        {
            let record = ResourceRecord(owner: .root, type: type, ttl: 0, data: data)
            #expect(ZoneFile.text(of: record) == ". 0 IN \(type) \\# \(data.count) \(hexadecimal(data))")
        }
    }

    @Test("data of 65,535 bytes is the longest, and a line may hold it") func longestData() throws {
        let text = Array(repeating: "\"\(String(repeating: "\\255", count: 255))\"", count: 255).joined(separator: " ")
        // 255 strings of 256 bytes are 65,280; one more of 254 is 65,535.
        let last = String(repeating: "a", count: 254)
        #expect(try zone("x TXT \(text) \(last)").first?.data.count == 65_535)
        #expect(try refusal("x TXT \(text) \(last)a")?.message.contains("65,535") == true)
        let digits = String(repeating: "ab", count: 65_535)
        let generic = try zone("x TYPE666 \\# 65535 \(digits)")
        #expect(generic.first?.data.count == 65_535)
        #expect(
            try lines("x TYPE666 \\# 65535 \(digits)") == [
                "x.example.com. 300 IN TYPE666 \\# 65535 \(digits.uppercased())"
            ])
    }
}
