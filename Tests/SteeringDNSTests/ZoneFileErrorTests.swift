import SteeringDNS
import Testing

@Suite struct ZoneFileErrorTests {
    @Test(
        "an error has its place, says what is wrong, and names a remedy",
        arguments: [
            // Directives.
            ("$FOO 1", 1, 1, "\"$FOO\" is not a directive"),
            ("$TTL", 1, 5, "where the TTL should be"),
            ("$TTL 1h30", 1, 6, "\"1h30\" is not a valid TTL"),
            ("$TTL 2147483648", 1, 6, "from 0 to 2147483647"),
            ("$TTL 99999999999999999999999999w", 1, 6, "is not a valid TTL"),
            ("$TTL 1 2", 1, 8, "\"2\" follows"),
            ("$TTL h", 1, 6, "is not a valid TTL"),
            ("$ORIGIN", 1, 8, "where the name should be"),
            ("$ORIGIN a..b.", 1, 9, "a label is empty"),
            ("a A 192.0.2.1\n $TTL 5", 2, 2, "\"$TTL\" is not a known type"),
            // Entries.
            ("  A 192.0.2.1", 1, 3, "the first record has no owner"),
            ("www", 1, 4, "where the class, TTL or type should be"),
            ("www 300\n", 1, 8, "where the type should be"),
            ("www 300 300 A 192.0.2.1", 1, 9, "two TTLs"),
            ("www IN IN A 192.0.2.1", 1, 8, "its class twice"),
            ("www CH TXT a", 1, 5, "class CH is not served"),
            ("www 5 hs TXT a", 1, 7, "class HS is not served"),
            ("www CLASS4 TXT a", 1, 5, "class CLASS4 is not served"),
            ("www NONE TXT a", 1, 5, "class NONE is not served"),
            ("www AA 192.0.2.1", 1, 5, "\"AA\" is not a known type"),
            ("www \"A\" 192.0.2.1", 1, 5, "\"A\" is not a known type"),
            ("www ANY 192.0.2.1", 1, 5, "ANY occurs only in messages"),
            (". OPT \\# 0", 1, 3, "OPT occurs only in messages"),
            ("www AXFR", 1, 5, "AXFR occurs only in messages"),
            (". TYPE0 \\# 0", 1, 3, "TYPE0 is reserved, never in a zone"),
            ("www RRSIG A 8 2 300", 1, 5, "served unsigned"),
            ("www TYPE46 \\# 1 00", 1, 5, "RRSIG belongs to a signed zone"),
            ("www NSEC a. A", 1, 5, "served unsigned"),
            ("www NSEC3 1", 1, 5, "served unsigned"),
            ("www SIG A 5 2 300", 1, 5, "SIG belongs to a signed zone"),
            ("www NXT a A", 1, 5, "NXT belongs to a signed zone"),
            ("www DNSKEY 256 3 8 AQ==", 1, 5, "served unsigned"),
            ("www TYPE666 abcdef", 1, 13, "no text form"),
            ("www A 192.0.2.1 x", 1, 17, "\"x\" follows the end of the A record"),
            ("www A", 1, 6, "where the IPv4 address should be"),
            ("\"www\" A 192.0.2.1", 1, 1, "is in quotes"),
            ("w=\"w w\" A 192.0.2.1", 1, 3, "\"w w\" is not a known type"),
            // Characters.
            ("www A 192.0.2.1\u{1}", 1, 16, "control character 0x01"),
            ("www A 192.0.2.1\r", 1, 16, "control character 0x0D"),
            ("www A \u{7F}", 1, 7, "control character 0x7F"),
            ("b\u{FC}cher A 192.0.2.1", 1, 1, "not all ASCII; write international names in their xn-- form"),
            ("www \u{FC} A 192.0.2.1", 1, 5, "is not a known type"),
            ("www A \u{FC}", 1, 7, "is not an IP address"),
            ("www MX \u{FC} a", 1, 8, "is not a valid preference"),
            ("www\\\n A 192.0.2.1", 1, 1, "a backslash needs"),
            ("www\\", 1, 1, "a backslash needs"),
            ("w\\999 A 192.0.2.1", 1, 1, "a backslash needs"),
            ("www TXT \"a\\99\"", 1, 9, "a backslash needs"),
            ("\u{FEFF}www A 192.0.2.1", 1, 1, "byte order mark"),
            // Quotes and parentheses.
            ("www TXT \"a\n\"", 1, 9, "not closed on its line"),
            ("www TXT \"a\\", 1, 9, "not closed on its line"),
            ("www TXT \"", 1, 9, "not closed on its line"),
            ("www TXT a\"b", 1, 10, "not closed on its line"),
            ("www HTTPS 1 . alpn=\"h2\"x", 1, 24, "follows the quote that closes the value"),
            ("www A ( 192.0.2.1\n\n", 1, 7, "never closed"),
            ("www A ( ( 192.0.2.1 )\n", 1, 7, "never closed"),
            ("www A 192.0.2.1 )", 1, 17, "no parenthesis is open"),
            ("www A \(String(repeating: "(", count: 33))", 1, 39, "more than 32 parentheses"),
            // Fields.
            ("www A 192.0.2", 1, 7, "is not an IP address"),
            ("www A 192.0.2.01", 1, 7, "is not an IP address"),
            ("www A 2001:db8::1", 1, 7, "is an IPv6 address; write one of IPv4 (records of type A have IPv4"),
            ("www AAAA 192.0.2.1", 1, 10, "is an IPv4 address; write one of IPv6"),
            ("www NS \"a\"", 1, 8, "write names without quotes"),
            ("www NS \(String(repeating: "a", count: 64))", 1, 8, "longer than 63"),
            ("www MX 65536 a", 1, 8, "\"65536\" is not a valid preference; write a number from 0 to 65535"),
            ("www MX -1 a", 1, 8, "is not a valid preference"),
            ("www MX \"1\" a", 1, 8, "is not a valid preference"),
            ("www MX 10", 1, 10, "where the mail server should be"),
            ("www SOA . . 4294967296 1 1 1 1", 1, 13, "is not a valid serial"),
            ("www SOA . . 1 1x 1 1 1", 1, 15, "is not a valid refresh time"),
            ("www SOA . . 1 1 1 1", 1, 20, "where the minimum TTL should be"),
            ("www TXT", 1, 8, "where the text should be"),
            ("www TXT \(String(repeating: "a", count: 256))", 1, 9, "longer than 255"),
            ("www NAPTR 1 2 a b", 1, 18, "where the expression should be"),
            ("www CAA 0 is-sue a", 1, 11, "is not a tag"),
            ("www CAA 256 issue a", 1, 9, "is not a valid flags value"),
            ("www CAA 0 issue", 1, 16, "where the value should be"),
            ("www DS 1 8 9 abc", 1, 17, "odd number"),
            ("www DS 1 8 9 abxy", 1, 14, "is not hexadecimal"),
            ("www DS 1 8 2 abcd", 1, 8, "a digest of type 2 has 32 bytes and this one has 2"),
            ("www SSHFP 1 1 abcd", 1, 11, "has 20 bytes"),
            ("www TLSA 3 1 1 abcd", 1, 10, "has 32 bytes"),
            // The generic form.
            ("www TYPE666 \\#", 1, 15, "where the length should be"),
            ("www TYPE666 \\# 2 ab", 1, 13, "the length is 2 bytes, but 1 follow"),
            ("www TYPE666 \\# 65536 ab", 1, 16, "is not a valid length"),
            ("www TYPE666 \\# 1 \"ab\"", 1, 18, "is not hexadecimal"),
            ("www A \\# 3 abcdef", 1, 7, "not the data of type A (IPv4 address); write"),
            ("www MX \\# 4 000ac00c", 1, 8, "preference, mail server"),
            ("www TXT \\# 2 0261", 1, 9, "not the data of type TXT"),
            ("www TXT \\# 0", 1, 9, "not the data of type TXT"),
            ("www HTTPS \\# 5 0001000001", 1, 11, "cut short"),
            ("www HTTPS \\# 11 000100 fffe0000 00080000", 1, 11, "sort them"),
            // Service parameters.
            ("www HTTPS 1", 1, 12, "where the target should be"),
            ("www HTTPS 1 . foo=1", 1, 15, "not a known parameter"),
            ("www HTTPS 1 . key=1", 1, 15, "not a known parameter"),
            ("www HTTPS 1 . key65536=1", 1, 15, "not a known parameter"),
            ("www HTTPS 1 . key65535=1", 1, 11, "reserved"),
            ("www HTTPS 1 . key1=h2", 1, 15, "write alpn"),
            ("www HTTPS 1 . alpn", 1, 15, "it has no value"),
            ("www HTTPS 1 . alpn=", 1, 15, "it has no value"),
            ("www HTTPS 1 . alpn=h2,,h3", 1, 15, "protocol names have 1 to 255 bytes"),
            ("www HTTPS 1 . alpn=\"a\\\\b\"", 1, 15, "a backslash in a protocol's name"),
            ("www HTTPS 1 . alpn=h2 alpn=h3", 1, 11, "the parameter alpn appears twice"),
            ("www HTTPS 1 . no-default-alpn", 1, 11, "no-default-alpn needs alpn"),
            ("www HTTPS 1 . alpn=h2 no-default-alpn=1", 1, 23, "takes no value"),
            ("www HTTPS 1 . port=65536", 1, 15, "a port is a number"),
            ("www HTTPS 1 . ipv4hint=2001:db8::1", 1, 15, "is not an IPv4 address"),
            ("www HTTPS 1 . ipv6hint=192.0.2.1", 1, 15, "is not an IPv6 address"),
            ("www HTTPS 1 . ipv4hint=192.0.2.1,", 1, 15, "is not an IPv4 address"),
            ("www HTTPS 1 . ech=AQI", 1, 15, "not Base64"),
            ("www HTTPS 1 . ech=AR==", 1, 15, "not Base64"),
            ("www SVCB 1 . dohpath=/q", 1, 10, "write one such as /dns-query{?dns}"),
            ("www HTTPS 1 . mandatory=port", 1, 11, "mandatory must list"),
            ("www HTTPS 1 . mandatory=mandatory", 1, 11, "mandatory must list"),
            ("www HTTPS 1 . mandatory=port,port port=1", 1, 11, "mandatory must list"),
            ("www HTTPS 1 . \"alpn=h2\"", 1, 15, "around the value only"),
            ("www HTTPS 1 . ALPN=h2", 1, 15, "keys have small letters only (RFC 9460); write \"alpn\""),
            ("www HTTPS 1 . key00667=a", 1, 15, "the number has zeros in front (RFC 9460); write key667"),
            ("www HTTPS 1 . mandatory=PORT port=1", 1, 15, "write \"port\""),
            // Types with a form of their own.
            (
                "www DS 1 RSASHA3 1 00", 1, 10,
                "\"RSASHA3\" is not a known algorithm number; write its number, or a name"
            ),
            ("www DS 1 256 1 00", 1, 10, "\"256\" is not a valid algorithm number"),
            (
                "www CERT PKIX2 1 1 AQID", 1, 10,
                "is not a known certificate type; write its number, or a name such as PKIX"
            ),
            ("www CERT 1 1 1", 1, 15, "where the certificate should be"),
            ("www CERT 1 1 1 AQI", 1, 16, "the certificate is not Base64"),
            ("www CERT 1 1 1 \"AQID\"", 1, 16, "the certificate is not Base64"),
            ("www LOC", 1, 8, "where the place should be"),
            ("www LOC 91 N 0 E 0", 1, 9, "is not part of a latitude"),
            ("www LOC 90 1 N 0 E 0", 1, 14, "exceeds 90 degrees"),
            ("www LOC 1 60 N 0 E 0", 1, 11, "is not part of a latitude"),
            ("www LOC 1 2 3.4567 N 0 E 0", 1, 13, "is not part of a latitude"),
            ("www LOC 1 E 0 N 0", 1, 11, "is not part of a latitude"),
            ("www LOC 1 N", 1, 12, "does not end with E or W"),
            ("www LOC 1 N 1 E", 1, 16, "the altitude is missing"),
            ("www LOC 1 N 1 E 42849673m", 1, 17, "is not an altitude"),
            ("www LOC 1 N 1 E 1 90000001m", 1, 19, "is not a size"),
            ("www LOC 1 N 1 E 1 1 1 1 1", 1, 25, "follows the end"),
            ("www LOC \\# 16 01120000800000008000000000989680", 1, 9, "not the data of type LOC (place)"),
            ("www APL 1:192.0.2.0/33", 1, 9, "is not a prefix"),
            ("www APL 1:0.0.0.0/0 2:192.0.2.0/24", 1, 21, "is not a prefix"),
            ("www APL \\# 8 00011804 c0000200", 1, 9, "not the data of type APL"),
            ("www IPSECKEY 1 4 2 a AQID", 1, 20, "the gateway type 4 is not known"),
            ("www IPSECKEY 1 0 2 a AQID", 1, 20, "means no gateway; write ."),
            ("www IPSECKEY 1 1 2 ::1 AQID", 1, 20, "is an IPv6 address"),
            ("www EUI48 00-00-5e-00-53", 1, 11, "does not have 6 groups of 2 hexadecimal digits"),
            ("www EUI48 0-0-5e-0-53-1", 1, 11, "does not have 6 groups"),
            ("www NID 1 1:2:3", 1, 11, "does not have 4 groups of 4 hexadecimal digits"),
            ("www NID 1 1:2:3:12345", 1, 11, "does not have 4 groups"),
            ("www L64 1 2001:db8::1", 1, 11, "does not have 4 groups"),
            ("www CSYNC 1 3 A FOO", 1, 17, "\"FOO\" is not a known type; write TYPE and its number"),
            ("www CSYNC \\# 9 00000001 0003 000100", 1, 11, "not the data of type CSYNC"),
            ("www WKS 192.0.2.1", 1, 18, "where the protocol should be"),
            ("www WKS 192.0.2.1 SCTPX", 1, 19, "is not a protocol; write TCP, UDP"),
            ("www WKS 192.0.2.1 TCP 65536", 1, 23, "is not a known service"),
            ("www NSAP 47.0005", 1, 10, "is not an NSAP address; write 0x"),
            ("www HIP 2 20010 AQID", 1, 11, "is not a tag"), ("www HIP 2 2001", 1, 15, "where the next word"),
            ("www ZONEMD 1 1 240 00", 1, 12, "at least 12 bytes"),
            ("www ZONEMD 1 1 1 00112233445566778899aabb", 1, 12, "48 bytes"),
            ("www URI 1 1 \"\"", 1, 9, "the target is empty"), ("www NULL ab", 1, 10, "no text form"),
            ("www SMIMEA 3 1 1 abcd", 1, 12, "has 32 bytes"), ("www CDS 1 8 2 abcd", 1, 9, "has 32 bytes"),
        ] as [(String, Int, Int, String)])
    func refused(text: String, line: Int, column: Int, sentence: String) throws {
        let error = try #require(try refusal(text), "nothing is refused")
        #expect("\(error.file):\(error.line):\(error.column)" == "zone.txt:\(line):\(column)", "\(error)")
        #expect(error.message.contains(sentence), "\(error)")
        #expect(error.message.contains("; ") || error.message.contains(": "), "an error names a remedy: \(error)")
        #expect(error.description == "zone.txt:\(line):\(column): \(error.message)")
        #expect(error.message.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F })
    }

    @Test("relative names need an origin, and records a TTL") func nothingGiven() throws {
        let places = [
            ("www 5 A 192.0.2.1", 1, "there is no origin yet"), ("@ 5 A 192.0.2.1", 1, "@ stands for the origin"),
            ("a. 5 NS b", 9, "there is no origin yet"), ("$ORIGIN a", 9, "there is no origin yet"),
            ("a. A 192.0.2.1", 4, "has no TTL"),
        ]
        for (text, column, sentence) in places {
            let error = try refusal(text, origin: nil, defaultTTL: nil)
            #expect(
                error?.message.contains(sentence) == true && error?.column == column, "\(String(describing: error))")
        }
    }

    @Test("a line of more than 1 MiB is refused, one of 1 MiB is not") func longLines() throws {
        let comment = String(repeating: "c", count: (1 << 20) - 1)
        #expect(try zone(";\(comment)\nw A 192.0.2.1").count == 1)
        #expect(
            try refusal("w A 192.0.2.1\n;c\(comment)\n")?.description.hasPrefix("zone.txt:2:1: the line is longer")
                == true)
        #expect(
            try refusal("w A 192.0.2.1\n;c\(comment)")?.description.hasPrefix("zone.txt:2:1: the line is longer")
                == true)
    }

    @Test("a file of more than 256 MiB is refused") func largeFile() throws {
        let error = try refusal([UInt8](repeating: UInt8(ascii: "\n"), count: 256 << 20 + 1))
        #expect(error?.description.hasPrefix("zone.txt:1:1: the file is larger than 256 MiB") == true)
    }
}
