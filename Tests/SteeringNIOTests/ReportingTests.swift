import KernelTestSupport
import Testing

/// What services report to swift-metrics and say by swift-log, of real traffic.
@Suite(.kernel)
struct ReportingTests {
    @Test("Counters and events are what clients met, from when the reporter runs until the socket is withdrawn")
    func report() throws {
        let output = try Scene.run(
            "steering-nio-probe report",
            """
            said() { await grep -q "$1" $log || echo "never $1"; }
            # Stays open for a moment: a FIN that overtakes the last ACK is looked up once more.
            knock() { (exec 3<>/dev/tcp/$1 && sleep 0.05) 2>/dev/null && echo -n "open " || echo -n "refused "; }
            knock 192.0.2.1/80
            said "socket registered"; said changes=1
            for host in 1 2 3; do knock 192.0.2.$host/80; done
            knock 2001:db8:7::9/80
            knock 192.0.2.1/81; knock 192.0.2.1/81; knock 192.0.2.1/82
            said changes=2; said "bindings without a socket"
            kill -TERM $server
            said "socket unregistered"
            knock 192.0.2.1/80
            said ended
            echo
            sed "s/.* probe *: //; s/127.0.0.1:[0-9]*/LISTENER/" $log
            """)
        // Registering is beside the first report: which of the two comes first is not said.
        let all = output.split(separator: "\n").map(String.init)
        // The pool has both families, and the server listens in one: that is said once.
        let missing = "destinations=web tcp/IPv6 label=web [SteeringNIO] bindings without a socket"
        #expect(all.count { $0.hasPrefix(missing) } == 1, "\(output)")
        let lines = all.filter { !$0.hasPrefix(missing) }
        #expect(lines.first == "refused open open open refused refused refused refused refused ")
        #expect(
            Set(lines.dropFirst(2).prefix(2)) == [
                "label=web socket=LISTENER [SteeringNIO] socket registered",
                "bindings=6 changes=1 [SteeringNIO] policy in force",
            ], "\(output)")
        // IPv6 has no socket: a miss. What was counted before the reporter ran is not its.
        #expect(
            lines.dropFirst(4).joined(separator: "\n") == """
                bindings=8 changes=2 [SteeringNIO] policy in force
                label=web socket=LISTENER [SteeringNIO] socket unregistered
                error=the steering was detached and steers nothing any more: attach a new one [SteeringNIO] \
                counters not read; trying again
                steering_bindings [] 8.0, then 8.0
                steering_incompatible_total ["web", "IPv4", "tcp"] 0
                steering_incompatible_total ["web", "IPv6", "tcp"] 0
                steering_lookups_total ["web", "IPv4", "tcp"] 4
                steering_lookups_total ["web", "IPv6", "tcp"] 1
                steering_misses_total ["web", "IPv4", "tcp"] 1
                steering_misses_total ["web", "IPv6", "tcp"] 1
                steering_passed_total [] 1
                steering_policy_changes_total [] 1
                steering_refused_total [] 2
                steering_sockets ["web", "IPv4", "tcp"] 1.0, then 0.0
                steering_sockets ["web", "IPv6", "tcp"] 0.0, then 0.0
                ended
                """, "\(output)")
    }
}
