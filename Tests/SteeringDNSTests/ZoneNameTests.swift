import DNSTestSupport
import SteeringDNS
import Testing

@Suite struct ZoneNameTests {
    @Test(
        "a name has the wire form that RFC 1035 gives it",
        arguments: [
            (".", "00"),
            ("com", "03636f6d00"),
            ("com.", "03636f6d00"),
            ("www.Example.com", "03777777074578616d706c6503636f6d00"),
            ("*.example", "012a076578616d706c6500"),
            ("a\\.b.c", "03612e62016300"),
            ("a\\\\b", "03615c6200"),
            ("\\000\\255\\032x", "0400ff207800"),
            ("\\@.\\$", "0140012400"),
            ("_443._tcp", "045f343433045f74637000"),
            ("a\\ b", "0361206200"),
        ])
    func wire(text: String, expected: String) throws {
        let name = try DNSName(text)
        #expect(hexadecimal(name.wire) == expected)
        #expect(DNSName(wire: name.wire) == name)
        #expect(try DNSName(name.description).wire == name.wire)
    }

    @Test(
        "a name is printed with a dot at the end and the escapes it needs",
        arguments: [
            (".", "."), ("com", "com."), ("Www.Example.COM.", "Www.Example.COM."), ("a\\.b", "a\\.b."),
            ("\\a", "a."), ("\\065", "A."), ("a\\032b\\127\\200", "a\\032b\\127\\200."),
            ("\\\"\\(\\)\\;\\@\\$\\\\", "\\\"\\(\\)\\;\\@\\$\\\\."),
            ("'!#%&*+,-/:<=>?[]^_`{|}~", "'!#%&*+,-/:<=>?[]^_`{|}~."),
        ])
    func description(text: String, expected: String) throws {
        #expect(try DNSName(text).description == expected)
    }

    @Test(
        "a text that is no name is refused with the reason and the remedy",
        arguments: [
            ("", "it is empty"), ("..", "a label is empty"), (".com", "a label is empty"), ("a..b", "a label is empty"),
            ("a b", "write it as \\032"), ("a\tb", "control character"), ("a\u{7F}", "control character"),
            ("b\u{FC}cher", "xn--"), ("a\\", "a backslash needs"), ("a\\25", "a backslash needs"),
            ("a\\256", "a backslash needs"), ("a\\12x", "a backslash needs"), ("a\\\t", "a backslash needs"),
            ("a;b", "write \\;"), ("a\"b", "write \\\""), ("(a", "write \\("), ("a)", "write \\)"),
            (String(repeating: "a", count: 64), "longer than 63"),
            (String(repeating: "abcdefg.", count: 32), "longer than 255"),
            (String(repeating: "a.", count: 5_000), "longer than 255"),
        ])
    func refused(text: String, reason: String) {
        let error = #expect(throws: DNSNameError.self) { try DNSName(text) }
        #expect(error?.message.contains(reason) == true, "\(String(describing: error))")
        #expect(error?.message.contains("; ") == true, "an error names a remedy")
        #expect((error?.message.utf8.count ?? 0) < 400)
    }

    @Test("labels of 63 bytes and names of 255 are the longest") func longest() throws {
        let label = String(repeating: "a", count: 63)
        let name = try DNSName([label, label, label, String(repeating: "b", count: 61)].joined(separator: "."))
        #expect(name.wire.count == 255)
        #expect(name.labelCount == 4)
        #expect(throws: DNSNameError.self) {
            try DNSName([label, label, label, String(repeating: "b", count: 62)].joined(separator: "."))
        }
    }

    @Test("names are equal without regard to the case of ASCII letters, and to nothing else") func equality() throws {
        let name = try DNSName("wWw.example.COM")
        #expect(try name == DNSName("www.EXAMPLE.com."))
        #expect(try name.hashValue == DNSName("www.EXAMPLE.com.").hashValue)
        #expect(try name != DNSName("www.example.org"))
        #expect(try name != DNSName("www.example"))
        // [ and { differ in the bit that tells capitals from small letters, and so do @ and `.
        #expect(try DNSName("a[b") != DNSName("a{b"))
        #expect(try DNSName("\\@") != DNSName("`"))
        #expect(try DNSName("\\225") != DNSName("\\193"))
        #expect(try DNSName("a\\.b") != DNSName("a.b"))
    }

    @Test("a name knows its ancestors, by whole labels") func ancestors() throws {
        let name = try DNSName("a.b.Example.com")
        let zone = try DNSName("example.COM")
        #expect(name.isBelow(zone) && name.isAtOrBelow(zone))
        #expect(zone.isAtOrBelow(zone) && !zone.isBelow(zone))
        #expect(!zone.isAtOrBelow(name))
        #expect(name.isBelow(.root) && !DNSName.root.isBelow(.root) && DNSName.root.isAtOrBelow(.root))
        #expect(try !DNSName("badexample.com").isAtOrBelow(zone))
        // The label ends with bytes that look like "example.com" in wire form.
        #expect(try !DNSName("x\\007example\\003com").isAtOrBelow(zone))
        #expect(name.parent?.description == "b.Example.com.")
        #expect(DNSName.root.parent == nil)
        #expect(name.labelCount == 4 && DNSName.root.labelCount == 0)
        var steps = 0
        var next: DNSName? = name
        while let parent = next?.parent { (next, steps) = (parent, steps + 1) }
        #expect(steps == 4 && next == .root)
    }

    @Test(
        "bytes that are not exactly one uncompressed name are none",
        arguments: [
            [], [1], [1, 97], [0, 0], [1, 97, 0, 0], [64] + [UInt8](repeating: 97, count: 64) + [0], [0xC0, 12],
            [UInt8](repeating: 1, count: 256) + [0],
        ] as [[UInt8]])
    func wireRefused(bytes: [UInt8]) {
        #expect(DNSName(wire: bytes) == nil)
    }

    @Test("types are read by name and by number, in either case") func types() throws {
        #expect(RecordType("a") == .A && RecordType("Https") == .HTTPS && RecordType("type257") == .CAA)
        #expect(RecordType("TYPE65535")?.description == "TYPE65535")
        #expect(RecordType(rawValue: 1).description == "A")
        for text in ["", "TYPE", "TYPE65536", "TYPE-1", "TYPE+1", "AA", "B", "TYPE1x", "\u{17F}oa", "nsec3parameters"] {
            #expect(RecordType(text) == nil, "\(text)")
        }
        for number in UInt16.min...UInt16.max {
            let type = RecordType(rawValue: number)
            if RecordType(type.description) != type { Issue.record("\(type)") }
        }
    }
}
