import DNSTestSupport
import Foundation
import KernelTestSupport
import Testing

/// Exit codes, output that is lost, and files after a failure.
@Suite struct OperationsTests {
    private static let policy = """
        pools: { web: { prefixes: 192.0.2.0/24, drained-from: drained.txt } }
        names:
          zones: [zone]
          policies:
            - { name: far, site: fra, pool: web, ttl: 1 }
            - { name: default, pool: web, ttl: 1 }

        """

    struct Run {
        let code: Int, output: String
    }

    /// A directory with a policy, in which commands run. `$D` is steer-dns.
    final class Place {
        let folder: String

        init() throws { folder = try DNSBed.folder(OperationsTests.policy, ["zone": Example.zone]) }

        deinit { _ = try? shell("rm -rf \(folder)") }

        /// Runs a script; the output has both streams.
        func run(_ script: String) throws -> Run {
            let text = try shell(
                "cd \(folder); D=\(try Programs.path(of: "steer-dns")); ( \(script) ) >.said 2>&1; echo $?; cat .said")
            let parts = text.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
            return Run(code: try #require(Int(parts[0])), output: String(parts[1]))
        }

        func expect(
            _ script: String, _ code: Int, _ words: String = "", _ location: SourceLocation = #_sourceLocation
        ) throws {
            let run = try run(script)
            #expect(
                run.code == code && (words.isEmpty || run.output.contains(words)), "\(script): \(run)",
                sourceLocation: location)
        }
    }

    private let place: Place

    init() throws { place = try Place() }

    @Test(
        "Output that is lost is an error, in every verb",
        arguments: [
            "help", "--version", "check policy.yaml", "check policy.yaml --json", "help zone",
            "ask a.example.com --policy policy.yaml", "zone --policy policy.yaml --origin example.com",
        ])
    func full(words: String) throws {
        try place.expect("$D \(words) >/dev/full", 1, "No space left on device")
        try place.expect("$D \(words) >&-", 1, "Bad file descriptor")
        try place.expect("$D \(words) >/dev/null", 0)
    }

    @Test("What is typed wrong is said with the usage of its verb, and the exit code 64")
    func usage() throws {
        for (words, hint) in [
            ("zone --policy policy.yaml --origin example.com --output ''", "--output is empty"),
            ("zone --policy policy.yaml --origin a..b", "a..b"), ("ask a.example.com FOO --policy policy.yaml", "FOO"),
            ("ask a.example.com A --policy policy.yaml --from here", "here"), ("check", "<file>"),
            ("drain 192.0.2.0/33 --policy policy.yaml", "192.0.2.0/33"),
            ("drain 192.0.2.0/25 --policy policy.yaml --reload=-100", "--reload is 0 to"),
            ("undrain x --policy policy.yaml", "\"x\" is not a prefix"),
            ("serve --policy policy.yaml --listen here", "here"),
            ("serve --policy policy.yaml --workers 0", "--workers is"),
        ] {
            let run = try place.run("$D \(words)")
            let verb = words.split(separator: " ")[0]
            #expect(run.code == 64 && run.output.hasPrefix("steer-dns: "), "\(words): \(run)")
            #expect(run.output.contains(hint) && run.output.contains("\nUsage: steer-dns \(verb) "), "\(run)")
            #expect(run.output.contains("See 'steer-dns \(verb) --help'"), "\(run)")
        }
        #expect(try shell("ls \(place.folder)") == "policy.yaml\nzone\n")
    }

    @Test("A site that no policy is for is an error, and the sites are named")
    func sites() throws {
        for words in [
            "check policy.yaml", "ask a.example.com A --policy policy.yaml",
            "zone --policy policy.yaml --origin example.com",
            "serve --policy policy.yaml --listen 127.0.0.1:0",
        ] {
            try place.expect(
                "timeout $PATIENCE $D \(words) --site far", 1,
                "policy.yaml: no policy is for the site far: its sites are fra; elsewhere leave --site out")
        }
        try place.expect("$D check policy.yaml --site fra", 0)
        try place.expect("sed -i /fra/d policy.yaml; $D check policy.yaml --site fra", 1, ": leave --site out")
    }

    @Test("drain changes nothing and ends with 1, or says what it did, and ends with 0 or 2")
    func drain() throws {
        let drain = "$D drain 192.0.2.0/25 --policy policy.yaml"
        let refused = try place.run("\(drain) --server 127.0.0.1:1")
        #expect(
            refused.code == 1
                && refused.output == """
                    steer-dns: cannot read the counters of the server at 127.0.0.1:1 (Connection refused): run steer-dns \
                    serve with --metrics 127.0.0.1:1

                    """,
            "\(refused)")
        try place.expect("test -e drained.txt", 1)
        let lost = try place.run("\(drain) --reload 0 >/dev/full")
        #expect(lost.code == 2, "\(lost)")
        #expect(
            lost.output == "steer-dns: 192.0.2.0/25 is drained, but the output could not be written completely (No "
                + "space left on device): send it elsewhere\n", "\(lost)")
        try place.expect("grep -c . drained.txt", 0, "1\n")
        try place.expect("\(drain) --reload 0 --wait", 0, "the last answer expired")
        try place.expect("$D undrain 192.0.2.0/25 --policy policy.yaml >/dev/full", 2, "is answered again, but")
        try place.expect("$D undrain 192.0.2.0/25 --policy policy.yaml", 1, "nothing was changed")
    }

    @Test("A server that ends while drain waits for it: drained, and the exit code 2")
    func serverEnds() throws {
        let server = """
            import socket, time
            server = socket.create_server(("127.0.0.1", 0))
            print(server.getsockname()[1], flush=True)
            for _ in range(2):
                client = server.accept()[0]
                client.recv(4096)
                client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\nsteer_dns_policy_read_seconds 1\\n"
                    b'steer_dns_pool_since_seconds{pool="web"} 1\\n')
                client.close()
            """
        try server.write(toFile: "\(place.folder)/server.py", atomically: true, encoding: .utf8)
        try place.expect(
            """
            python3 server.py >port & server=$!
            until [ -s port ]; do sleep 0.1; done
            $D drain 192.0.2.0/25 --policy policy.yaml --wait --server 127.0.0.1:$(cat port)
            """, 2, "192.0.2.0/25 is drained, but cannot read the counters")
    }

    @Test("The file of drained prefixes keeps owner and mode; links are followed, or refused")
    func file() throws {
        let drain = "$D drain --policy policy.yaml --reload 0"
        try place.expect("\(drain) 192.0.2.0/32; stat -c %a drained.txt", 0, "\n644\n")
        try place.expect(
            """
            chown 1234:4321 drained.txt; chmod 640 drained.txt
            \(drain) 192.0.2.1/32; stat -c '%u %g %a' drained.txt; ls -A
            """, 0, "\n1234 4321 640\n.said\ndrained.txt\npolicy.yaml\nzone\n")
        // One who may write the folder, but cannot give files away.
        try place.expect(
            """
            chmod 666 drained.txt; chmod 777 .; before=$(cat drained.txt)
            setpriv --reuid 65534 --regid 65534 --clear-groups \(drain) 192.0.2.2/32
            """, 1, "drained.txt cannot be written, Operation not permitted: run this as the file's owner, or as root")
        try place.expect("stat -c '%u %g %a' drained.txt; ls -A; grep -c . drained.txt", 0, "1234 4321 666\n")
        try place.expect("mv drained.txt real.txt; ln -s real.txt drained.txt; \(drain) 192.0.2.3/32", 0)
        try place.expect("test -L drained.txt; grep -c . real.txt", 0, "3\n")
        try place.expect(
            "rm real.txt; \(drain) 192.0.2.4/32", 1, "drained.txt is a symbolic link to no file: create that file")
        try place.expect("test -L drained.txt && ! test -e real.txt", 0)
    }

    @Test("On a full disk the file stays as it was, and nothing is left beside it")
    func fullDisk() throws {
        let run = try place.run(
            """
            unshare -m bash -c '
                mkdir full; mount -t tmpfs -o size=16k tmpfs full
                sed -i s,drained.txt,full/drained.txt, policy.yaml
                echo 192.0.2.9/32 >full/drained.txt
                cat /dev/zero >full/rest 2>/dev/null
                '$D' drain 192.0.2.0/25 --policy policy.yaml; echo $?; ls -A full; cat full/drained.txt'
            """)
        #expect(
            run.output.hasSuffix(
                "full/drained.txt cannot be written, No space left on device: make room\n1\ndrained.txt\nrest\n192.0.2.9/32\n"
            ), "\(run)")
    }

    @Test("A server notices that the file of drained prefixes is removed")
    func removed() throws {
        let policy = """
            pools: { web: { prefixes: 192.0.2.0/31, drained-from: drained.txt } }
            names: { zones: [zone], policies: [{ name: default, pool: web, select: fixed }] }

            """
        let bed = try DNSBed(policy, ["zone": Example.zone, "drained.txt": "192.0.2.0/32\n"])
        func answer() throws -> String {
            try shell("dig @\(bed.address) -p \(bed.port) +short x.example.com")
        }
        try verify(answer(), is: "192.0.2.1\n")
        try shell("rm \(bed.folder)/drained.txt")
        try eventually("the file is missed") { try answer() == "192.0.2.0\n" }
        try bed.replace("drained.txt", with: "192.0.2.0/32\n")
        try eventually("the file is there again") { try answer() == "192.0.2.1\n" }
        // The zone file is no such file: while an editor replaces it, nothing happens.
        try shell("rm \(bed.folder)/zone; sleep 1")
        #expect(try !bed.server.error.contains("not reloaded"))
    }

    @Test("A server reads included files again when one changes")
    func included() throws {
        let policy = """
            include: pools.yaml
            names: { zones: [zone], policies: [{ name: default, pool: web }] }

            """
        let bed = try DNSBed(policy, ["zone": Example.zone, "pools.yaml": "pools: { web: 192.0.2.1/32 }\n"])
        func answer() throws -> String {
            try shell("dig @\(bed.address) -p \(bed.port) +short x.example.com")
        }
        try verify(answer(), is: "192.0.2.1\n")
        try bed.replace("pools.yaml", with: "pools: { web: 192.0.2.2/32 }\n")
        try eventually("the included file is read again") { try answer() == "192.0.2.2\n" }
        try bed.replace("pools.yaml", with: "pools: { web: 192.0.2.3 }\n")
        try eventually("the error names it") {
            try bed.server.error.contains("pools.yaml:1:15: 192.0.2.3 is an address")
        }
        try verify(answer(), is: "192.0.2.2\n")
    }

    @Test("What cannot be listened on is said in the system's words")
    func listeners() throws {
        let metrics = try DNSBed(options: "--metrics 127.0.0.1:0")
        let port = try #require(try metrics.server.output.firstMatch(of: /http:\/\/127.0.0.1:(\d+)/)).output.1
        let run = try place.run(
            "timeout $PATIENCE $D serve --policy policy.yaml --listen 127.0.0.1:0 --metrics 127.0.0.1:\(port)")
        #expect(run.code == 1, "\(run)")
        #expect(
            run.output.contains(
                "steer-dns: cannot serve the counters on 127.0.0.1:\(port) (Address already in use): choose another"),
            "\(run)")
        let text = run.output
        #expect(!text.contains("errno") && !text.contains("NIO") && !text.contains("bind("), "\(text)")
    }
}
