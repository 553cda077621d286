import DNSTestSupport
import Glibc
import SteeringDNS
import Testing

/// Zone files that include others.
@Suite struct ZoneInclusionTests {
    private let folder = ZoneFolder()

    /// Reads the file `zone` of the folder.
    private func read(_ files: [String: String]) throws -> ZoneFile {
        for (name, text) in files { _ = folder.write(text, to: name) }
        return try ZoneFile(
            Array((files["zone"] ?? "").utf8), named: "\(folder.path)/zone", directory: folder.path,
            origin: try DNSName("example.com"), defaultTTL: nil)
    }

    private func lines(_ files: [String: String]) throws -> [String] { try read(files).records.map(ZoneFile.text) }

    /// The error, with paths from the folder on.
    private func refusal(_ files: [String: String]) throws -> String {
        do {
            _ = try read(files)
            return ""
        } catch let error as ZoneFileError { return error.description.replacing("\(folder.path)/", with: "") }
    }

    @Test("an included file has the origin that is given, and its origin and owner do not last") func origins() throws {
        let inner = "www A 192.0.2.1\n$ORIGIN deep\nx A 192.0.2.2\n$TTL 7\ny A 192.0.2.3\n"
        let expected = [
            "top.example.com. 60 IN A 192.0.2.9", "www.example.com. 60 IN A 192.0.2.1",
            "x.deep.example.com. 60 IN A 192.0.2.2", "y.deep.example.com. 7 IN A 192.0.2.3",
            "top.example.com. 7 IN A 192.0.2.8",
        ]
        #expect(
            try lines(["zone": "$TTL 60\ntop A 192.0.2.9\n$INCLUDE inner\n  A 192.0.2.8\n", "inner": inner]) == expected
        )
        #expect(
            try lines(["zone": "$TTL 60\ntop A 192.0.2.9\n$include \"inner\" sub ; c\n  A 192.0.2.8\n", "inner": inner])
                == expected.map { line in
                    line.hasPrefix("top") ? line : line.replacing("example.com", with: "sub.example.com")
                })
        // A file may begin with the owner of the record above, as in BIND.
        #expect(
            try lines(["zone": "$TTL 60\ntop A 192.0.2.9\n$INCLUDE inner", "inner": "  A 192.0.2.7"])
                == ["top.example.com. 60 IN A 192.0.2.9", "top.example.com. 60 IN A 192.0.2.7"])
    }

    @Test("BIND reads the same records") func bind() throws {
        let files = [
            "zone": """
            $ORIGIN example.com.
            $TTL 60
            @ SOA ns h 1 2 3 4 5
            @ NS ns.example.net.
            top A 192.0.2.9
            $INCLUDE \(folder.path)/inner sub
              TXT after
            after A 192.0.2.6

            """,
            "inner": "  AAAA 2001:db8::7\n$ORIGIN deep\nx A 192.0.2.2\n$TTL 7\ny A 192.0.2.3\n",
        ]
        let ours = try lines(files)
        let file = "\(folder.path)/zone"
        let theirs = try Tool.run("named-compilezone -q -i none -s full -o - example.com \(file) 2>&1").split(
            separator: "\n"
        )
        .map { $0.split { $0 == " " || $0 == "\t" }.joined(separator: " ") }
        #expect(theirs.filter { $0.contains(" IN ") }.sorted() == ours.sorted())
    }

    @Test("paths start from the including file's directory") func directories() throws {
        _ = try Tool.run("mkdir -p \(folder.path)/a/b")
        let files = [
            "zone": "$TTL 1\n$INCLUDE a/one\n", "a/one": "$INCLUDE b/two\n",
            "a/b/two": "$INCLUDE \(folder.path)/three\n",
            "three": "x A 192.0.2.1\n",
        ]
        let file = try read(files)
        #expect(file.records.map(ZoneFile.text) == ["x.example.com. 1 IN A 192.0.2.1"])
        #expect(
            file.includedFiles == ["a/one", "a/b/two", "three"].map { "\(folder.path)/\($0)" })
        #expect(file.file(of: 0) == "\(folder.path)/three")
        #expect(file.lines == [1])
    }

    @Test(
        "errors name the included file and the line in it",
        arguments: [
            ("\n\nw A 192.0.2\n", "inner:3:5: \"192.0.2\" is not an IP address"),
            ("w A (", "inner:1:5: this parenthesis is never closed"),
            ("\u{FEFF}w A 192.0.2.1", "inner:1:1: the file begins with a byte order mark"),
            ("$INCLUDE gone", "inner:1:10: "), ("$INCLUDE", "inner:1:9: the line ends where the name of the file"),
            ("$INCLUDE other a..b.", "inner:1:16: \"a..b.\" is not a domain name"),
            ("$INCLUDE other a b", "inner:1:18: \"b\" follows the end of $INCLUDE"),
            ("$INCLUDE inner", "inner:1:10: \"inner\" is being read already, so it would include itself"),
            ("$INCLUDE link", "inner:1:10: \"link\" is being read already"),
            ("$INCLUDE other", "other:1:10: \"inner\" is being read already"),
            ("$INCLUDE .", "it is a directory"), ("$INCLUDE pipe", "it is not a regular file"),
            ("$INCLUDE /dev/zero", "inner:1:10: \"/dev/zero\" cannot be read, it is not a regular file"),
        ] as [(String, String)])
    func refused(inner: String, sentence: String) throws {
        _ = try Tool.run("mkfifo \(folder.path)/pipe; ln -s inner \(folder.path)/link")
        let message = try refusal(["zone": "$TTL 1\n$INCLUDE inner\n", "inner": inner, "other": "$INCLUDE inner\n"])
        #expect(message.contains(sentence), "\(message)")
    }

    @Test("a zone of a policy cannot include itself") func policy() throws {
        _ = folder.write("$TTL 1\n$INCLUDE zone\n", to: "zone")
        let errors = try NamePolicyFile.errors(
            of:
                "names: { zones: [{ file: \(folder.path)/zone, origin: example.com }], policies: [{ name: d, outcome: pass }] }",
            [:])
        #expect(errors.contains("zone:2:10: \"zone\" is being read already"), "\(errors)")
    }

    @Test("files may be 16 deep") func depth() throws {
        var files = ["zone": "$TTL 1\n$INCLUDE f1\n"]
        for number in 1..<16 { files["f\(number)"] = "$INCLUDE f\(number + 1)\n" }
        files["f16"] = "x A 192.0.2.1\n"
        #expect(try lines(files).count == 1)
        files["f16"] = "$INCLUDE f17\n"
        files["f17"] = "x A 192.0.2.1\n"
        #expect(try refusal(files).hasPrefix("f16:1:10: files include each other more than 16 deep"))
    }

    @Test("there are limits on the number of files and their bytes") func limits() throws {
        let once = "$INCLUDE empty\n"
        #expect(
            try refusal(["zone": String(repeating: once, count: 10_001), "empty": ""])
                == "zone:10001:10: more than 10,000 files are included; join some of them")
        _ = folder.write("", to: "large")
        _ = try Tool.run("head -c 100M /dev/zero | tr '\\0' '\\n' >\(folder.path)/large")
        let message = try refusal(["zone": "$INCLUDE large\n$INCLUDE large\n$INCLUDE large\n"])
        #expect(message.hasPrefix("zone:3:10: the zone is larger than 256 MiB with the files that it includes"))
    }

    @Test("text that is in no file includes nothing") func noDirectory() throws {
        #expect(
            refusalText("$INCLUDE x")
                == "zone.txt:1:10: $INCLUDE needs a file that its path is relative to; put the lines of that file here")
    }

    @Test("problems of the whole zone name the included file") func problems() throws {
        let file = try read([
            "zone": "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns.example.net.\n$INCLUDE inner\nw A 192.0.2.1\n",
            "inner": "\nw CNAME x\n",
        ])
        do {
            _ = try CheckedZone(file, origin: try DNSName("example.com"))
            Issue.record("nothing is refused")
        } catch let error as ZoneProblems {
            #expect(
                error.description.replacing("\(folder.path)/", with: "").hasPrefix(
                    "zone:5: the A record of w.example.com. is beside the CNAME record at line 2 of inner"), "\(error)")
        }
    }
}
