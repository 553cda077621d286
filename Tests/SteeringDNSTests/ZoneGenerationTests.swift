import DNSTestSupport
import SteeringDNS
import Testing

/// `$GENERATE`, as BIND defines it.
@Suite struct ZoneGenerationTests {
    private static let directives = """
        $GENERATE 1-3 a$ A 192.0.2.$
        $GENERATE 1-7/3 b${0,3} 60 IN CNAME c${10,4,x}.d${-1}
        $GENERATE 10-11 e${0,0,o}-${0,2,X}-${5,5,d}-$$ IN A 192.0.2.1
        $GENERATE 0-1 ${0,8,n}g A 192.0.2.1
        $GENERATE 255-256 ${0,3,n}.g3 in 5 A 192.0.2.1
        $GENERATE 255-256 ${0,1,n}.g1 A 192.0.2.1
        $GENERATE 255-256 ${0,0,N}.g0 A 192.0.2.1
        $GENERATE 4000-4001 ${0,9,N}.g9 A 192.0.2.1
        $GENERATE 1-2 m$ MX "10 mail$"
        $GENERATE 1-2 t$ TXT "a b$"
        $GENERATE 1-2 q$ TXT "\\"a b\\" c$"
        $GENERATE 1-2 s$ TXT a\\032b$
        $GENERATE 1-2 u$ TXT \\$a$
        $GENERATE 0-2 $.0.2.192.in-addr.arpa. PTR h$
        $generate 5-5 @ AAAA 2001:db8::$ ; comment
        $GENERATE 1-2 *.w$ A 192.0.2.$

        """
    private static let top = "$ORIGIN example.com.\n$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns.example.net.\n"

    @Test("BIND generates the same records") func bind() throws {
        let folder = ZoneFolder()
        let text = Self.top + Self.directives.replacing(" $.0.2.192.in-addr.arpa.", with: " $.reverse")
        let ours = try lines(text, origin: nil, defaultTTL: nil)
        let file = folder.write(text, to: "zone")
        let theirs = try Tool.run("named-compilezone -q -i none -k ignore -s full -o - example.com \(file)")
            .split(separator: "\n").map { $0.split { $0 == " " || $0 == "\t" }.joined(separator: " ") }
        #expect(theirs.filter { $0.contains(" IN ") }.sorted() == ours.sorted())
        #expect(ours.count == 36)
    }

    @Test("a number is replaced everywhere, and the owner before it stays") func records() throws {
        #expect(
            try lines("first A 192.0.2.9\n$GENERATE 0-20/10 h$-$ TXT $ x$\n  A 192.0.2.8") == [
                "first.example.com. 300 IN A 192.0.2.9", "h0-0.example.com. 300 IN TXT \"0\" \"x0\"",
                "h10-10.example.com. 300 IN TXT \"10\" \"x10\"", "h20-20.example.com. 300 IN TXT \"20\" \"x20\"",
                "first.example.com. 300 IN A 192.0.2.8",
            ])
        let file = try ZoneFile(
            Array("\n$GENERATE 1-3 h$ A 192.0.2.$\n".utf8), named: "f", origin: try DNSName("a"), defaultTTL: 1)
        #expect(file.lines == [2, 2, 2])
        #expect(try zone("$GENERATE 0-65535 h$ A 192.0.2.1").count == 65_536)
    }

    @Test(
        "an error has the place of the directive or its word",
        arguments: [
            ("$GENERATE", 10, "where the range should be"), ("$GENERATE 1-2", 14, "where the owner should be"),
            ("$GENERATE 1-2 h$", 1, "where the class, TTL or type should be"),
            ("$GENERATE 1-2 h$ A", 1, "the generated record \"h1 A\" is refused: the line ends where the IPv4 address"),
            ("$GENERATE 1 h$ A 192.0.2.1", 11, "\"1\" is not a range; write START-STOP"),
            ("$GENERATE 2-1 h$ A 192.0.2.1", 11, "is not a range"),
            ("$GENERATE 1-2/0 h$ A 192.0.2.1", 11, "is not a range"),
            ("$GENERATE 1-2/ h$ A 192.0.2.1", 11, "is not a range"),
            ("$GENERATE 1-2/1/1 h$ A 192.0.2.1", 11, "is not a range"),
            ("$GENERATE -1-2 h$ A 192.0.2.1", 11, "is not a range"),
            ("$GENERATE 1-2147483648 h$ A 192.0.2.1", 11, "is not a range"),
            ("$GENERATE \"1-2\" h$ A 192.0.2.1", 11, "is not a range"),
            ("$GENERATE 0-1048576 h$ A 192.0.2.1", 11, "more than 1048576 numbers; let a policy"),
            ("$GENERATE 1-2 h${1,2,3} A 192.0.2.1", 1, "\"${1,2,3}\" is not ${OFFSET,WIDTH,BASE}; write a number"),
            ("$GENERATE 1-2 h${} A 192.0.2.1", 1, "is not ${OFFSET"),
            ("$GENERATE 1-2 h${1 A 192.0.2.1", 1, "is not ${OFFSET"),
            ("$GENERATE 1-2 h${1,256} A 192.0.2.1", 1, "is not ${OFFSET"),
            ("$GENERATE 1-2 h${1,2,d,d} A 192.0.2.1", 1, "is not ${OFFSET"),
            ("$GENERATE 1-2 h${-2} A 192.0.2.1", 1, "the offset -2 makes 1 negative; write a larger one"),
            (
                "$GENERATE 250-256 h$ A 192.0.2.$", 1,
                "\"h256 A 192.0.2.256\" is refused: \"192.0.2.256\" is not an IP address"
            ),
            ("$GENERATE 1-2 h${0,64} A 192.0.2.1", 1, "longer than 63"),
            ("$GENERATE 1-2 h$ AA 192.0.2.1", 1, "\"AA\" is not a known type"),
            ("$GENERATE 1-2 h$ CH A 192.0.2.1", 18, "class CH is not served"),
        ] as [(String, Int, String)])
    func refused(text: String, column: Int, sentence: String) throws {
        let error = try #require(try refusal("\n" + text), "nothing is refused")
        #expect("\(error.line):\(error.column)" == "2:\(column)", "\(error)")
        #expect(error.message.contains(sentence), "\(error)")
    }

    @Test("generated records count towards the size of a zone") func size() throws {
        let long = (0..<20).map { _ in String(repeating: "x", count: 60) }.joined(separator: " ")
        let error = try refusal("$GENERATE 1-1048576 h$ TXT \(long)\n")
        #expect(error?.message.contains("larger than 256 MiB with its generated records") == true)
    }
}
