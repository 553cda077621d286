import NIOCore
import NIOEmbedded
import Testing

@testable import PoolMoves

/// The times in a server's counters, which are in the Prometheus text format.
struct ServerTimesTests {
    private static let read = "steer_dns_policy_read_seconds 1700000000.250"

    @Test("Lines in any order, between the head of the response, comments and other counters")
    func order() {
        let lines = [
            "HTTP/1.1 200 OK\r", "Content-Length: 100\r", "\r",
            "# HELP steer_dns_policy_read_seconds When reading began",
            "# TYPE steer_dns_policy_read_seconds gauge", Self.read, "steer_dns_queries_total{transport=\"udp\"} 7",
            "steer_dns_pool_since_seconds{pool=\"web\"} 1700000001.000",
            "steer_dns_pool_since_seconds{pool=\"a.b_c-d\"} 1700000002", "",
        ]
        let expected = ServerTimes(
            read: 1_700_000_000.25, pools: ["web": 1_700_000_001, "a.b_c-d": 1_700_000_002])
        #expect(ServerTimes(metrics: lines.joined(separator: "\n")) == expected)
        #expect(ServerTimes(metrics: lines.reversed().joined(separator: "\n")) == expected)
        #expect(ServerTimes(metrics: lines.joined(separator: "\r\n")) == expected)
    }

    @Test("Labels are escaped, in any order, and may have a comma at the end; a line may have a timestamp")
    func labels() {
        let text = #"""
            steer_dns_pool_since_seconds{pool="a \"quoted\" \\ one\n{,} #"} 5
            steer_dns_pool_since_seconds{site="x}",pool="web",other="pool=\"no\""}	6 1700000000000
            steer_dns_pool_since_seconds{pool="comma",} 7
            """#
        #expect(
            ServerTimes(metrics: text + "\n" + Self.read)?.pools
                == ["a \"quoted\" \\ one\n{,} #": 5, "web": 6, "comma": 7])
    }

    @Test(
        "Numbers with exponents and signs",
        arguments: [
            ("1.7e9", 1.7e9), ("1.7E+09", 1.7e9), ("+1700000000", 1.7e9), ("17000000000e-1", 1.7e9),
            ("253402300799", 253_402_300_799),
        ])
    func numbers(_ text: String, _ value: Double) {
        #expect(ServerTimes(metrics: "steer_dns_policy_read_seconds \(text)")?.read == value)
    }

    @Test(
        "What is no time is ignored, so that nothing is computed with it",
        arguments: [
            "0", "-1", "NaN", "+Inf", "inf", "1e300", "253402300800", "", "x", "17000,5", "1 2 3", "0x",
            String(repeating: "9", count: 10_000),
        ])
    func noTimes(_ text: String) {
        #expect(ServerTimes(metrics: "steer_dns_policy_read_seconds \(text)\n") == nil)
        let times = ServerTimes(metrics: "\(Self.read)\nsteer_dns_pool_since_seconds{pool=\"web\"} \(text)\n")
        #expect(times == ServerTimes(read: 1_700_000_000.25, pools: [:]))
    }

    @Test(
        "Damaged lines are ignored, and the others are not",
        arguments: [
            "steer_dns_pool_since_seconds{pool=\"web\"", "steer_dns_pool_since_seconds{pool=\"web} 5",
            "steer_dns_pool_since_seconds{pool=web} 5", "steer_dns_pool_since_seconds{pool} 5",
            "steer_dns_pool_since_seconds{\"web\"} 5", "steer_dns_pool_since_seconds{pool=\"web\"}5",
            "steer_dns_pool_since_seconds{pool=\"web\\", "steer_dns_pool_since_seconds{pool=\"web\" x} 5",
            "steer_dns_pool_since_seconds{,} 5", "steer_dns_pool_since_seconds 5", "{pool=\"web\"} 5", " ", "{", "}",
            "\0",
            "xsteer_dns_pool_since_seconds{pool=\"web\"} 5", "steer_dns_pool_since_seconds_total{pool=\"web\"} 5",
            "steer_dns_pool_since_seconds{xpool=\"web\"} 5", "# steer_dns_pool_since_seconds{pool=\"web\"} 5",
            "steer_dns_pool_since_seconds{pool=\"web\(String(repeating: "x", count: 1 << 20))\"} 5 6 7",
        ])
    func damaged(_ line: String) {
        let pools = "steer_dns_pool_since_seconds{pool=\"other\"} 6"
        let times = ServerTimes(metrics: [line, Self.read, pools, line].joined(separator: "\n"))
        #expect(times == ServerTimes(read: 1_700_000_000.25, pools: ["other": 6]))
    }

    @Test("Counters without the time of reading are not those of a server that answers by a policy")
    func absent() {
        #expect(ServerTimes(metrics: "") == nil)
        #expect(ServerTimes(metrics: "steer_dns_pool_since_seconds{pool=\"web\"} 5\n") == nil)
        #expect(ServerTimes(metrics: "node_boot_time_seconds 1700000000\n") == nil)
    }

    @Test("Random bytes are parsed, and mean nothing")
    func noise() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2_000 {
            let bytes = (0..<Int.random(in: 0...60)).map { _ in
                Array("{}\"\\=,# \n9e.a\u{e9}".utf8).randomElement(using: &generator)!
            }
            #expect(ServerTimes(metrics: String(decoding: bytes, as: UTF8.self)) == nil)
        }
    }

    @Test("A response is collected from pieces; one that does not end is given up")
    func response() throws {
        for (limit, isWhole) in [(100, true), (99, false)] {
            let channel = EmbeddedChannel()
            let whole = channel.eventLoop.makePromise(of: String.self)
            try channel.pipeline.syncOperations.addHandler(MetricsRequest(whole, limit: limit))
            channel.connect(to: try .init(unixDomainSocketPath: "/x"), promise: nil)
            let request = try #require(try channel.readOutbound(as: ByteBuffer.self))
            #expect(String(buffer: request).hasPrefix("GET /metrics HTTP/1.1\r\n"))
            for _ in 0..<10 where channel.isActive {
                try channel.writeInbound(ByteBuffer(string: String(repeating: "x", count: 10)))
            }
            if isWhole {
                channel.pipeline.fireChannelInactive()
                #expect(try whole.futureResult.wait() == String(repeating: "x", count: 100))
            } else {
                #expect(throws: MetricsRequest.TooLong.self) { try whole.futureResult.wait() }
                #expect(!channel.isActive)
            }
        }
    }
}
