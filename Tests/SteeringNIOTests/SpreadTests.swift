import Glibc
import KernelTestSupport
import Testing

/// How groups of workers share what comes, asked by clients that are kept on a processor.
@Suite(.kernel)
struct SpreadTests {
    private static let processors = sysconf(CInt(_SC_NPROCESSORS_ONLN))
    private static let spread = "python3 \(Scene.file("spread.py"))"
    static let hasSeveral = processors > 1 || KernelTests.areRequired

    @Test("Thousands of connections are spread evenly over four workers")
    func evenly() throws {
        let output = try Scene.run("steering-nio-probe workers", "\(Self.spread) tcp 4000 192.0.2.0/24")
        let counts = output.matches(of: /worker (\d): (\d+)/).compactMap { Int($0.2) }
        // Were each sent at random, 1,000 each with a deviation of 27.
        #expect(counts.count == 4 && counts.reduce(0, +) == 4000, "\(output)")
        #expect(counts.allSatisfy { (800...1200).contains($0) }, "\(output)")
    }

    @Test(
        "What arrives on a processor goes to its worker, and to others when that one is closed",
        .enabled(if: hasSeveral, "needs two processors"), arguments: ["tcp", "udp"],
        ["192.0.2.0/24", "2001:db8:7::/64"])
    func byCPU(transport: String, prefix: String) throws {
        // Numbered as they were made: IPv4 first; of datagrams the workers of a family, and then its two anchors.
        let anchors = transport == "udp" ? 2 : 0
        let first = prefix.contains(":") ? Self.processors + anchors : 0
        let ask = "\(Self.spread) \(transport)"
        let output = try Scene.run(
            "steering-nio-probe by-cpu",
            """
            for processor in $(seq 0 \(Self.processors - 1)); do
                taskset --cpu-list $processor \(ask) 200 \(prefix)
            done
            taskset --cpu-list 0 \(ask) close=\(first + 1) \(prefix)
            taskset --cpu-list 1 \(ask) 200 \(prefix)
            taskset --cpu-list 0 \(ask) 200 \(prefix) | grep -c nobody
            """)
        let expected =
            (0..<Self.processors).map { "worker \(first + $0 + 1): 200" }
            + ["closed worker \(first + 1)", "worker \(first + 2): 200", "0"]
        #expect(output == expected.joined(separator: "\n") + "\n")
    }

    @Test(
        "Only anchors are registered, get what no worker is there for, and stand in for each other",
        .enabled(if: hasSeveral, "needs two processors"))
    func anchors() throws {
        let (one, other) = (Self.processors + 1, Self.processors + 2)
        let ask = "taskset --cpu-list 0 \(Self.spread) udp"
        let output = try Scene.run(
            "steering-nio-probe by-cpu",
            """
            grep receivers $log
            \(ask) close=1 192.0.2.0/24
            \(ask) 400 192.0.2.0/24 | tee $log.all | grep -c nobody
            grep -cE "worker (\(one)|\(other)):" $log.all; rm $log.all
            \(ask) close=\(one) 192.0.2.0/24
            \(ask) 400 192.0.2.0/24 | grep -c nobody
            taskset --cpu-list 1 \(Self.spread) udp 200 192.0.2.0/24
            """)
        #expect(
            output == """
                \(2 * (Self.processors + 2)) receivers, 4 of them registered
                closed worker 1
                0
                2
                closed worker \(one)
                0
                worker 2: 200

                """)
    }
}
