import Foundation
import KernelTestSupport
import Testing

/// The example, as a user meets it: bad input is one sentence and exit code 1, nothing else.
@Suite(.kernel)
struct EchoServerTests {
    private func run(_ arguments: String) throws -> (output: String, exitCode: Int32) {
        try Programs.run("timeout $PATIENCE \(try Programs.path(of: "echo-server")) \(arguments)")
    }

    @Test(
        "Bad input is named with its remedy",
        arguments: [
            ("--prefix 192.0.2.1/24", "192.0.2.0/24"), ("--prefix 192.0.2.1", "192.0.2.1/32"),
            ("--prefix 192.0.2.0/24 --ports 70000", "70000"), ("--prefix 192.0.2.0/24 --ports 9-1", "1-9"),
            ("--prefix 192.0.2.0/24 --ports ''", "all"), ("", "--prefix"), ("--pool-file /nonexistent", "/nonexistent"),
        ])
    func badInput(arguments: String, hint: String) throws {
        let (output, exitCode) = try run(arguments)
        #expect(exitCode == 1, "\(output)")
        #expect(output.hasPrefix("Error: ") && output.contains(hint), "\(output)")
        #expect(output.split(separator: "\n").count == 1, "\(output)")
    }

    @Test("Without the capabilities it says which it needs")
    func withoutCapabilities() throws {
        let (output, exitCode) = try Programs.run(
            "setpriv --reuid 65534 --clear-groups --inh-caps -all --bounding-set -all "
                + "\(try Programs.path(of: "echo-server")) --prefix 192.0.2.0/24")
        #expect(exitCode == 1)
        #expect(output.contains("CAP_BPF and CAP_NET_ADMIN"), "\(output)")
    }

    /// Shell commands that start a server, and go on once it answers; `$log` has what it says.
    private func started(_ server: String) -> String {
        "log=$(mktemp); \(server) >$log & until grep -q answering $log || ! kill -0 $!; do sleep 0.05; done"
    }

    @Test("A prefix that is not routed is named with the command; the end is clean")
    func notRouted() throws {
        let server = try Programs.path(of: "echo-server")
        let (output, _) = try Programs.run(
            "\(started("\(server) --prefix 2001:db8:7::/48")); kill -TERM $!; wait $!; echo code $?; cat $log; rm $log"
        )
        #expect(output.contains("ip -6 route add local 2001:db8:7::/48 dev lo"), "\(output)")
        #expect(output.contains("answering on 2001:db8:7::/48"))
        #expect(output.contains("code 0"))
    }

    @Test("The README's example answers socat as it stands there")
    func readme() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let lines = try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8).split(separator: "\n")
        let server = try #require(lines.first { $0.hasPrefix("sudo .build/debug/echo-server ") })
            .replacing("sudo .build/debug/echo-server", with: try Programs.path(of: "echo-server"))
        let client = try #require(lines.first { $0.hasPrefix("socat - TCP:192.0.2.") }).prefix { $0 != "#" }
        let (output, _) = try Programs.run(
            "\(started(String(server))); echo hello from here | timeout $PATIENCE \(client); kill $!; wait $!; rm $log")
        #expect(output == "hello from here\n")
    }

    @Test("With few descriptors it answers by UDP from many ports, and goes on to take connections")
    func fewDescriptors() throws {
        let server = try Programs.path(of: "echo-server")
        let (output, _) = try Programs.run(
            """
            \(started("prlimit --nofile=64 \(server) --prefix 192.0.2.0/24 --ports all --add-routes"))
            for port in $(seq 7000 7060); do
                echo $port | timeout $PATIENCE socat -t $PATIENCE - UDP:192.0.2.9:$port,shut-none,readbytes=5
            done | sort -u | wc -l
            echo hello | timeout $PATIENCE socat -t $PATIENCE - TCP:192.0.2.9:7,shut-none,readbytes=6
            kill $!; wait $!; rm $log
            """)
        #expect(output == "61\nhello\n")
    }
}
