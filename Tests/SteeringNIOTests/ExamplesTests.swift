import KernelTestSupport
import Testing

/// Each example, asked by clients that know nothing of it.
@Suite(.kernel)
struct ExamplesTests {
    @Test("nio-http tells curl the address that it asked, of both families")
    func nioHTTP() throws {
        let output = try Scene.run(
            "nio-http 192.0.2.0/24 2001:db8:7::/64",
            """
            curl -sS --max-time $PATIENCE http://192.0.2.77/ http://192.0.2.255/ "http://[2001:db8:7::abc]/"
            curl -sS --max-time $PATIENCE http://192.0.2.77:81/ 2>&1 | grep -o "t connect to server"
            kill -TERM $server; while here kill -0 $server 2>/dev/null; do sleep 0.05; done; echo ended
            """)
        #expect(
            output
                == "you asked 192.0.2.77:80\nyou asked 192.0.2.255:80\nyou asked [2001:db8:7::abc]:80\n"
                + "t connect to server\nended\n")
    }

    @Test(
        "nio-http serves wrk without an error, with new connections and with lasting ones",
        .enabled(if: installed("wrk"), "needs wrk: scripts/test installs it"))
    func nioHTTPUnderLoad() throws {
        let output = try Scene.run(
            "nio-http 192.0.2.0/24",
            """
            wrk -t 1 -c 8 -d 1 --timeout $PATIENCE http://192.0.2.7/
            wrk -t 1 -c 8 -d 1 --timeout $PATIENCE -H "Connection: close" http://192.0.2.99/
            """)
        #expect(!output.contains("Socket errors") && !output.contains("Non-2xx"), "\(output)")
        let requests = output.matches(of: /(\d+) requests in/).compactMap { Int($0.1) }
        #expect(requests.count == 2 && requests.allSatisfy { $0 > 0 }, "\(output)")
    }

    @Test("nio-http needs no privilege where steerd holds its sockets, and connections wait while it is away")
    func nioHTTPAtSteerd() async throws {
        let bpffs = try TestFileSystem()
        let folder = "\(bpffs.path).files"
        try shell(
            """
            mkdir -m 0755 \(folder); cat >\(folder)/policy.yaml <<END
            labels: { web: { allow: { users: 65534 } } }
            bindings: [{ label: web, protocols: tcp, prefixes: [192.0.2.0/24, "2001:db8:7::/64"], ports: 80 }]
            END
            """)
        defer { _ = try? shell("rm -r \(folder)") }
        let user = "setpriv --reuid 65534 --regid 65534 --clear-groups env STEERD=\(folder)/steerd.sock"
        let output = try Scene.run(
            "steerd --policy \(folder)/policy.yaml --socket \(folder)/steerd.sock --bpffs \(bpffs.path)",
            """
            start() { nsenter -t $server -n \(user) \(try Programs.path(of: "nio-http")) >$log.$1 2>&1 & first=$!; }
            ready() { await grep -q answering $log.$1; cat $log.$1 >&2; }
            start 1; ready 1 2>/dev/null
            curl -sS --max-time $PATIENCE http://192.0.2.77/ "http://[2001:db8:7::abc]/"
            kill -TERM $first; wait $first
            curl -sS --max-time $PATIENCE http://192.0.2.78/ & waiting=$!
            sleep 0.5
            kill -0 $waiting && echo waiting
            kill $waiting
            start 2; ready 2 2>/dev/null
            curl -sS --max-time $PATIENCE http://192.0.2.79/
            kill -TERM $first; wait $first; rm $log.1 $log.2
            """)
        #expect(
            output
                == "you asked 192.0.2.77:80\nyou asked [2001:db8:7::abc]:80\nwaiting\nyou asked 192.0.2.79:80\n")
    }

    @Test("any-port is knocked at on any port by TCP and UDP, and says by whom")
    func anyPort() throws {
        let output = try Scene.run(
            "any-port 192.0.2.0/24 2001:db8:7::/64",
            """
            for place in 192.0.2.7/1 192.0.2.7/2323 192.0.2.7/65535 2001:db8:7::5/22; do
                exec 3<>/dev/tcp/$place
                read -t 0.3 -u 3; [ $? -gt 128 ] && echo waits
            done
            echo hello | socat -t 0.1 - UDP:192.0.2.9:161
            echo hello | socat -t 0.1 - "UDP:[2001:db8:7::9]:53"
            whole() { [ $(wc -l <$log) -ge 7 ]; }; await whole
            sed "s/203.0.113.2:[0-9]*/client/; s/.2001:db8:ffff::2.:[0-9]*/client/" $log
            """)
        #expect(
            output == """
                waits
                waits
                waits
                waits
                answering on every port
                tcp client -> 192.0.2.7:1
                tcp client -> 192.0.2.7:2323
                tcp client -> 192.0.2.7:65535
                tcp client -> [2001:db8:7::5]:22
                udp client -> 192.0.2.9:161, 6 bytes
                udp client -> [2001:db8:7::9]:53, 6 bytes

                """)
    }

    @Test("udp-echo answers socat from where it was asked")
    func udpEcho() throws {
        let output = try Scene.run(
            "udp-echo 192.0.2.0/24 2001:db8:7::/64",
            """
            echo one | socat -t 10 - UDP:192.0.2.99:7777,readbytes=4
            echo two | socat -t 10 - "UDP:[2001:db8:7::77]:1,readbytes=4"
            """)
        #expect(output == "one\ntwo\n")
    }

    @Test(
        "udp-echo answers 10,000 random addresses and ports, none from elsewhere",
        arguments: ["192.0.2.0/24", "2001:db8:7::/64"])
    func udpPairs(prefix: String) throws {
        let output = try Scene.run("udp-echo \(prefix)", "python3 \(Scene.file("udp-pairs.py")) 10000 \(prefix)")
        #expect(output == "10000 answered, 0 wrong, 0 silent\n")
    }

    @Test("virtual-hosts has two sites on one port, by prefix")
    func virtualHosts() throws {
        let output = try Scene.run(
            "virtual-hosts red=192.0.2.0/25 blue=192.0.2.128/25 blue=198.51.100.0/24 red=2001:db8:7::/64",
            """
            curl -sS --max-time $PATIENCE http://192.0.2.1/ http://192.0.2.200/ http://198.51.100.7/ "http://[2001:db8:7::1]/"
            """)
        #expect(
            output
                == "red at 192.0.2.1:80\nblue at 192.0.2.200:80\nblue at 198.51.100.7:80\nred at [2001:db8:7::1]:80\n")
    }

    @Test("least-privilege changes its policy without any capability, in any thread")
    func leastPrivilege() throws {
        let output = try Scene.run(
            "least-privilege 192.0.2.0/24",
            """
            for port in 8000 8001 8002; do
                curl -sS --max-time $PATIENCE http://192.0.2.7:$port/
                await grep -q "port $((port + 1))" $log
            done
            curl -sS --max-time $PATIENCE http://192.0.2.7:8000/ 2>&1 | grep -o "t connect to server"
            sed -n "s/CapPrm:\\t//p; s/CapEff:\\t//p" /proc/$server/task/*/status | sort -u
            """)
        #expect(
            output == """
                no capability, next at port 8001
                no capability, next at port 8002
                no capability, next at port 8003
                t connect to server
                0000000000000000

                """)
    }
}

/// Whether a program is on the path.
func installed(_ program: String) -> Bool {
    (try? Programs.run("command -v \(program)").exitCode) == 0 || KernelTests.areRequired
}
