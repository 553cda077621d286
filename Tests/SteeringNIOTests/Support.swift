import Foundation
import KernelTestSupport

/// A program of this package in a fresh network namespace, and clients of the system's in another that reaches
/// 192.0.2.0/24, 198.51.100.0/24 and 2001:db8:7::/64 by way of it.
enum Scene {
    /// Runs a program and, once it says that it answers, a client's commands.
    ///
    /// - Parameters:
    ///   - server: The program's name, and its arguments.
    ///   - client: Shell commands; `$server` is the program's process, `$log` a file with what it has said, `here` runs
    ///     a command where the server is, `await` a command until it succeeds.
    /// - Returns: What the commands printed.
    static func run(_ server: String, _ client: String) throws -> String {
        let words = server.split(separator: " ", maxSplits: 1).map(String.init)
        let path = try Programs.path(of: words[0])
        let script = """
            unshare -n sleep 600 & away=$!
            while [ "$(readlink /proc/self/ns/net)" = "$(readlink /proc/$away/ns/net)" ]; do sleep 0.02; done
            ip link add server type veth peer name client netns $away
            ip link set server up
            ip address add 203.0.113.1/30 dev server
            ip address add 2001:db8:ffff::1/64 dev server nodad
            for prefix in 192.0.2.0/24 198.51.100.0/24; do ip route add local $prefix dev lo; done
            ip -6 route add local 2001:db8:7::/64 dev lo
            for limit in ipv4/icmp_ratelimit ipv6/icmp/ratelimit; do echo 0 >/proc/sys/net/$limit; done
            log=$(mktemp)
            \(path) \(words.count > 1 ? words[1] : "") >$log 2>&1 & server=$!
            # As long as it is at work: on a crowded machine a thousand channels take their time.
            for _ in $(seq 2000); do
                grep -qE "answering|serving" $log || ! kill -0 $server 2>/dev/null && break; sleep 0.05
            done
            grep -qE "answering|serving" $log || cat $log
            export server log
            timeout $((10 * PATIENCE)) nsenter -t $away -n bash -s <<"END"
            here() { nsenter -t $server -n "$@"; }
            await() { for _ in $(seq $((20 * PATIENCE))); do "$@" && return; sleep 0.05; done; }
            ip link set lo up
            ip link set client up
            ip address add 203.0.113.2/30 dev client
            ip address add 2001:db8:ffff::2/64 dev client nodad
            ip route add default via 203.0.113.1
            ip -6 route add default via 2001:db8:ffff::1
            \(client)
            END
            kill -9 $server $away 2>/dev/null; rm $log
            """
        return try Programs.run(script).output
    }

    /// A file beside the tests.
    static func file(_ name: String) -> String {
        URL(filePath: #filePath).deletingLastPathComponent().appending(path: name).path
    }
}
